//! Pulls through a proxy that breaks things.

use std::time::Duration;

use docker_compat_tests::proxy::{Fault, Proxy};
use docker_compat_tests::recipe::{Packing, Recipe, noise, tar_of};
use docker_compat_tests::registry::Registry;
use docker_compat_tests::{Scope, eventually};

/// A repository `x` with one layer of about `size` bytes that does not compress.
fn big(t: &Scope, registry: &Registry, size: usize) {
    let content = noise(u64::from(std::process::id()) + size as u64, size);
    let recipe = Recipe::new(true, vec![(tar_of(&[("big", &content), ("mark", t.mark.as_bytes())]), Packing::Gzip)]);
    recipe.put(registry, "x", "latest");
}

fn is_layer(path: &str) -> bool {
    path.contains("/blobs/")
}

/// Requests for the layer: that of the configuration, which is never broken here, comes first.
fn layer_requests(proxy: &Proxy) -> Vec<String> {
    let blobs = proxy.blobs();
    let config = blobs.first().map(|first| first.path.clone()).unwrap_or_default();
    blobs.into_iter().filter(|b| b.path != config).map(|b| b.header("range").to_owned()).collect()
}

/// The rule that breaks the layer's answers in turn; the configuration is what is asked for first.
fn breaking(faults: Vec<Fault>) -> impl Fn(&docker_compat_tests::proxy::Seen, usize) -> Fault + Send + Sync {
    let config = std::sync::OnceLock::new();
    move |seen, before| {
        if !seen.is_blob() || !is_layer(&seen.path) || *config.get_or_init(|| seen.path.clone()) == seen.path {
            return Fault::None;
        }
        faults.get(before).cloned().unwrap_or(Fault::None)
    }
}

#[test]
fn a_cut_download_goes_on_where_it_was() {
    let t = Scope::new();
    if !t.daemon.is_lighter("it asks for the configuration last, and waits longer between attempts") {
        return;
    }
    let registry = Registry::start();
    big(&t, &registry, 2_000_000);
    let proxy = Proxy::start(
        registry.port,
        breaking(vec![Fault::Cut(300_000), Fault::Cut(400_000), Fault::Delay(Duration::from_millis(200))]),
    );
    t.docker(&["pull", &proxy.name("x")]).ok();
    let ranges = layer_requests(&proxy);
    assert_eq!(ranges.len(), 3, "{ranges:?}");
    assert_eq!(ranges[0], "");
    let starts: Vec<u64> =
        ranges[1..].iter().map(|r| r.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap()).collect();
    assert!(starts[0] > 0 && starts[0] <= 300_000 && starts[1] > starts[0], "{ranges:?}");
    t.docker(&["rmi", &proxy.name("x")]).ok();
}

#[test]
fn wrong_bytes_are_fetched_again_and_never_kept() {
    let t = Scope::new();
    if !t.daemon.is_lighter("it waits longer between attempts") {
        return;
    }
    let registry = Registry::start();
    big(&t, &registry, 600_000);
    let proxy = Proxy::start(registry.port, breaking(vec![Fault::Corrupt(200_000), Fault::Truncate(1000)]));
    let out = t.docker(&["pull", &proxy.name("x")]);
    assert!(out.ok().contains("Status: Downloaded newer image"), "{}", out.stdout);
    assert!(layer_requests(&proxy).len() >= 3);
    let saved = t.daemon.http("GET", &format!("/images/{}/get", proxy.name("x")), None);
    assert!(saved.status == 200 && saved.body.len() > 600_000);
    t.docker(&["rmi", &proxy.name("x")]).ok();

    let always = Proxy::start(registry.port, breaking(vec![Fault::Corrupt(5000); 20]));
    let failed = t.docker(&["pull", &always.name("x")]);
    assert!(failed.fails(1).contains("filesystem layer verification failed for digest sha256:"), "{}", failed.stderr);
    assert_eq!(t.daemon.http("GET", &format!("/images/{}/json", always.name("x")), None).status, 404);
}

#[test]
fn errors_of_the_registry_are_told() {
    let t = Scope::new();
    let registry = Registry::start();
    big(&t, &registry, 1000);
    let limited = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#;
    let proxy = Proxy::start(registry.port, move |seen, _| match seen.path.contains("/manifests/") {
        true => Fault::Answer(429, "Content-Type: application/json\r\n", limited.to_owned()),
        false => Fault::None,
    });
    let out = t.docker(&["pull", &proxy.name("x")]);
    assert!(out.fails(1).ends_with("toomanyrequests: You have reached your pull rate limit."), "{}", out.stderr);
    let denied = Proxy::start(registry.port, |seen, _| match seen.path.contains("/manifests/") {
        true => {
            let challenge =
                "WWW-Authenticate: Bearer realm=\"http://127.0.0.1:9/t\",service=\"s\",error=\"insufficient_scope\"\r\n";
            Fault::Answer(401, challenge, String::new())
        }
        false => Fault::None,
    });
    let out = t.docker(&["pull", &denied.name("x")]);
    if t.daemon.is_lighter("it words this by the repository's registry") {
        assert!(!out.fails(1).is_empty());
    }
}

#[test]
fn tokens_are_got_for_what_is_needed() {
    let t = Scope::new();
    let registry = Registry::start();
    big(&t, &registry, 1000);
    let gate = Proxy::start(registry.port, |seen, _| {
        let port = seen.header("host").rsplit(':').next().unwrap_or_default().to_owned();
        if seen.path.starts_with("/token?") {
            // `anna:pass word`
            let believed = seen.header("authorization") == "Basic YW5uYTpwYXNzIHdvcmQ=";
            let scoped = seen.path.contains("scope=repository%3Ax%3Apull");
            return match believed && scoped {
                true => Fault::Answer(200, "", r#"{"token":"open sesame","expires_in":300}"#.to_owned()),
                false => {
                    let body = r#"{"details":"incorrect username or password"}"#;
                    Fault::Answer(401, "Content-Type: application/json\r\n", body.to_owned())
                }
            };
        }
        if seen.header("authorization") == "Bearer open sesame" {
            return Fault::None;
        }
        let challenge: &'static str =
            format!("WWW-Authenticate: Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"test\"\r\n").leak();
        Fault::Answer(401, challenge, String::new())
    });
    let config = docker_compat_tests::daemon::scratch("token");
    let auths = format!(r#"{{"auths":{{"localhost:{}":{{"auth":"YW5uYTpwYXNzIHdvcmQ="}}}}}}"#, gate.port);
    std::fs::write(config.join("config.json"), auths).unwrap();
    t.docker(&["--config", config.to_str().unwrap(), "pull", &gate.name("x")]).ok();
    let tokens = gate.seen().iter().filter(|s| s.path.starts_with("/token?")).count();
    assert_eq!(tokens, 1, "one token does for all");
    t.docker(&["rmi", &gate.name("x")]).ok();
    let nobody = t.docker(&["pull", &gate.name("x")]);
    assert!(nobody.fails(1).ends_with("unauthorized: incorrect username or password"), "{}", nobody.stderr);
    std::fs::remove_dir_all(&config).unwrap();
}

#[test]
fn one_download_for_many_pulls() {
    let t = Scope::new();
    let registry = Registry::start();
    big(&t, &registry, 500_000);
    let proxy = Proxy::start(registry.port, breaking(vec![Fault::Hold(100_000)]));
    let held = proxy.name("x");
    if !t.daemon.is_lighter("it asks for the configuration last") {
        return;
    }
    let pulls = [t.spawn(&["pull", &held]), t.spawn(&["pull", &held]), t.spawn(&["pull", &held])];
    eventually("all three wait for the layer", || {
        let heads = proxy.seen().iter().filter(|s| s.method == "GET" && s.path.contains("/manifests/")).count();
        (heads >= 3 && layer_requests(&proxy).len() == 1).then_some(())
    });
    proxy.release();
    for pull in pulls {
        pull.wait().ok();
    }
    assert_eq!(layer_requests(&proxy).len(), 1);
    t.docker(&["rmi", &held]).ok();
}

#[test]
fn a_pull_ends_with_its_client() {
    let t = Scope::new();
    if !t.daemon.is_lighter("it asks for the configuration last") {
        return;
    }
    let registry = Registry::start();
    big(&t, &registry, 500_000);
    let proxy = Proxy::start(registry.port, breaking(vec![Fault::Hold(100_000)]));
    let pull = t.spawn(&["pull", &proxy.name("x")]);
    eventually("the layer is under way", || (layer_requests(&proxy).len() == 1).then_some(()));
    drop(pull);
    proxy.release();
    // The next one goes on with what came, in a request of its own.
    t.docker(&["pull", &proxy.name("x")]).ok();
    assert_eq!(layer_requests(&proxy).len(), 2);
    t.docker(&["rmi", &proxy.name("x")]).ok();
}
