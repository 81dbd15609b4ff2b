//! docker push, login, manifest inspect, search: to a registry on loopback and back.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use docker_compat_tests::recipe::{Packing, Recipe, tar_of};
use docker_compat_tests::registry::{Options, PASSWORD, Registry, SCHEMA2, USER};
use docker_compat_tests::{Scope, http};
use serde_json::{Value, json};

/// An image of two layers that only this daemon has, under `name`.
fn make(t: &Scope, name: &str) {
    let layer = tar_of(&[("made", name.as_bytes())]);
    t.docker_with_input(&["import", "-", name], &layer).ok();
}

fn push(t: &Scope, name: &str, query: &str, auth: &str) -> Vec<Value> {
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    let answer =
        client.request("POST", &format!("/v1.47/images/{name}/push?{query}"), &[("X-Registry-Auth", auth)], None).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn push_tells_and_pull_gets_it_back() {
    let t = Scope::new();
    let registry = Registry::start();
    let name = registry.name("mine:v1");
    make(&t, &name);
    let id = t.docker(&["images", "-q", "--no-trunc", &name]).ok().to_owned();

    let said = push(&t, &registry.name("mine"), "tag=v1", "e30=");
    assert_eq!(said[0], json!({"status": format!("The push refers to repository [{}]", registry.name("mine"))}));
    let states: Vec<&str> = said.iter().filter(|l| l["id"].is_string()).filter_map(|l| l["status"].as_str()).collect();
    assert_eq!((states.first(), states.last()), (Some(&"Preparing"), Some(&"Pushed")), "{said:?}");
    let aux = &said.last().unwrap()["aux"];
    let (digest, size) = (aux["Digest"].as_str().unwrap(), aux["Size"].as_u64().unwrap());
    assert_eq!(aux["Tag"], "v1");
    assert_eq!(said[said.len() - 2], json!({"status": format!("v1: digest: {digest} size: {size}")}));
    let by_digest = registry.name(&format!("mine@{digest}"));
    assert_eq!(t.docker(&["image", "inspect", &name]).json()[0]["RepoDigests"], json!([by_digest]));
    assert_eq!(registry.raw_manifest("mine", "v1")["mediaType"], SCHEMA2);

    // Again nothing is sent; under another name the layer is lent.
    let again = t.docker(&["push", &name]);
    assert!(again.lines().iter().any(|l| l.ends_with(": Layer already exists")), "{}", again.stdout);
    assert_eq!(*again.lines().last().unwrap(), format!("v1: digest: {digest} size: {size}"));
    let other = registry.name("other:v2");
    t.docker(&["tag", &name, &other]).ok();
    let lent = t.docker(&["push", &other]);
    assert!(lent.lines().iter().any(|l| l.ends_with(": Mounted from mine")), "{}", lent.stdout);

    t.docker(&["rmi", "-f", &id]).ok();
    let back = t.docker(&["pull", &name]);
    assert!(back.lines().contains(&format!("Digest: {digest}").as_str()), "{}", back.stdout);
    assert_eq!(t.docker(&["images", "-q", "--no-trunc", &name]).ok(), id);
    t.docker(&["rmi", &name]).ok();
}

#[test]
fn a_pulled_manifest_is_pushed_as_it_is() {
    let t = Scope::new();
    let (one, two) = (Registry::start(), Registry::start());
    let layers = vec![(tar_of(&[("a", t.mark.as_bytes())]), Packing::Gzip), (tar_of(&[("b", t.mark.as_bytes())]), Packing::Gzip)];
    let digest = Recipe::new(false, layers).put(&one, "x", "latest")["digest"].as_str().unwrap().to_owned();
    t.docker(&["pull", &one.name("x")]).ok();
    t.docker(&["tag", &one.name("x"), &two.name("y")]).ok();
    let out = t.docker(&["push", &two.name("y")]);
    if t.daemon.is_lighter("it writes manifests anew") {
        assert!(out.lines().last().unwrap().starts_with(&format!("latest: digest: {digest} size: ")), "{}", out.stdout);
    }
    t.docker(&["rmi", &one.name("x"), &two.name("y")]).ok();
}

#[test]
fn all_tags_and_refusals() {
    let t = Scope::new();
    let registry = Registry::start();
    let name = registry.name("many");
    for tag in ["one", "two"] {
        make(&t, &format!("{name}:{tag}"));
    }
    let out = t.docker(&["push", "-a", &name]);
    for tag in ["one", "two"] {
        assert!(out.lines().iter().any(|l| l.starts_with(&format!("{tag}: digest: sha256:"))), "{}", out.stdout);
    }
    let error = |said: Vec<Value>| said.last().unwrap()["error"].as_str().unwrap_or_default().to_owned();
    assert_eq!(error(push(&t, &name, "tag=nope", "e30=")), format!("tag does not exist: {name}:nope"));
    let missing = registry.name("nothing");
    assert_eq!(error(push(&t, &missing, "tag=x", "e30=")), format!("An image does not exist locally with the tag: {missing}"));
    for tag in ["one", "two"] {
        t.docker(&["rmi", &format!("{name}:{tag}")]).ok();
    }
}

#[test]
fn login_push_and_pull_with_authentication() {
    let t = Scope::new();
    let registry = Registry::with(Options { basic: true, ..Options::default() });
    let host = registry.host();
    let login = |password: &str| {
        let body = json!({"username": USER, "password": password, "serveraddress": host}).to_string();
        t.daemon.http("POST", "/auth", Some(&body))
    };
    assert_eq!(login("wrong").error(500), format!("login attempt to http://{host}/v2/ failed with status: 401 Unauthorized"));
    let right = login(PASSWORD);
    assert_eq!((right.status, right.json()), (200, json!({"IdentityToken": "", "Status": "Login Succeeded"})));

    let name = registry.name("secret:1");
    make(&t, &name);
    let refused = push(&t, &registry.name("secret"), "tag=1", "e30=");
    assert_eq!(refused.last().unwrap()["error"], "no basic auth credentials");
    // The client keeps the login of this test apart from others'.
    let config = docker_compat_tests::daemon::scratch("login");
    let dir = config.to_str().unwrap();
    let said = t.docker_with_input(&["--config", dir, "login", "-u", USER, "--password-stdin", &host], PASSWORD.as_bytes());
    assert!(said.ok().contains("Login Succeeded"), "{}", said.stdout);
    t.docker(&["--config", dir, "push", &name]).ok();
    t.docker(&["rmi", &name]).ok();
    t.docker(&["--config", dir, "pull", &name]).ok();
    t.docker(&["rmi", &name]).ok();
    std::fs::remove_dir_all(&config).unwrap();
    if let Some(roots) = &t.daemon.roots {
        for entry in std::fs::read_dir(roots.join("data")).unwrap().flatten().filter(|e| e.path().is_file()) {
            let bytes = std::fs::read(entry.path()).unwrap();
            let has = bytes.windows(PASSWORD.len()).any(|w| w == PASSWORD.as_bytes());
            assert!(!has, "the password is in {}", entry.path().display());
        }
    }
}

#[test]
fn distribution_and_manifest_inspect() {
    let t = Scope::new();
    let registry = Registry::start();
    // Of OCI's manifests dockerd tells no platform.
    let recipe = Recipe::new(false, vec![(tar_of(&[("m", t.mark.as_bytes())]), Packing::Gzip)]);
    let descriptor = recipe.put(&registry, "d/e", "latest");
    let answer = t.daemon.http("GET", &format!("/distribution/{}/json", registry.name("d/e:latest")), None);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let said = answer.json();
    assert_eq!(
        said["Descriptor"],
        json!({"mediaType": descriptor["mediaType"], "digest": descriptor["digest"], "size": descriptor["size"]})
    );
    assert_eq!(said["Platforms"], json!([{"architecture": recipe.architecture, "os": "linux"}]));
    let missing = t.daemon.http("GET", &format!("/distribution/{}/json", registry.name("d/e:nope")), None);
    assert_eq!(missing.error(404), "manifest unknown: manifest unknown");
    let manifest = t.docker(&["manifest", "inspect", "--insecure", &registry.name("d/e:latest")]).json();
    assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(1));
}

#[test]
fn search_asks_the_index() {
    let t = Scope::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let results = json!([
            {"name": "busybox", "description": "small", "star_count": 3, "is_official": true, "is_automated": false},
            {"name": "foo/bar", "description": "x", "star_count": 0, "is_official": false, "is_automated": false},
        ]);
        let body = json!({"query": "busy", "num_results": 2, "results": results}).to_string();
        for stream in listener.incoming().flatten() {
            let mut line = String::new();
            if BufReader::new(&stream).read_line(&mut line).is_err() || !line.starts_with("GET") {
                continue;
            }
            let body = if line.contains("/v1/search?q=busy&n=") { body.as_str() } else { "{}" };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = (&stream).write_all(format!("{head}{body}").as_bytes());
        }
    });
    let rows = t.docker(&["search", "--format", "{{.Name}} {{.StarCount}} {{.IsOfficial}}", &format!("localhost:{port}/busy")]);
    assert_eq!(rows.lines(), ["busybox 3 [OK]", "foo/bar 0 "]);
    let filtered = http::encode(r#"{"is-official":["true"]}"#);
    let found = t.daemon.http("GET", &format!("/images/search?term=localhost:{port}/busy&filters={filtered}"), None).json();
    assert_eq!(
        found,
        json!([{"star_count": 3, "is_official": true, "name": "busybox", "is_automated": false, "description": "small"}])
    );
    let bad = t.daemon.http("GET", &format!("/images/search?term=localhost:{port}/busy&limit=500"), None);
    assert!(
        bad.error(if t.daemon.kind == docker_compat_tests::Kind::Lighter { 400 } else { bad.status })
            .contains("outside the range of [1, 100]")
    );
    let registry = Registry::start();
    let without = t.daemon.http("GET", &format!("/images/search?term={}", registry.name("busy")), None);
    assert_eq!(without.error(500), "Unexpected status code 404");
}
