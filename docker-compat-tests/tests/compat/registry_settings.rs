//! What the administrator says about registries: private authorities, client certificates, insecure ones, mirrors, a proxy;
//! and images that other tools made. Ours only: each needs a daemon with settings of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use docker_compat_tests::daemon::{busybox_tar, scratch};
use docker_compat_tests::proxy::{Fault, Proxy};
use docker_compat_tests::recipe::{Packing, Recipe, tar_of};
use docker_compat_tests::registry::{Options, Registry, tool};
use docker_compat_tests::{Daemon, Scope, own_address};

/// A daemon with a configuration file, and certificates for `host` beside it.
fn daemon(json: &str, certificates: &[(&str, PathBuf, &str)]) -> Option<(Daemon, PathBuf)> {
    if std::env::var("LIGHTER_COMPAT_HOST").is_ok_and(|h| !h.is_empty()) {
        eprintln!("left out on the reference daemon: it is started with other settings");
        return None;
    }
    let settings = scratch("settings");
    for (host, from, name) in certificates {
        let dir = settings.join("certs.d").join(host);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::copy(from, dir.join(name)).unwrap();
    }
    let file = settings.join("daemon.json");
    std::fs::write(&file, json).unwrap();
    let daemon = Daemon::start_in(&scratch("set"), &["--config-file", file.to_str().unwrap()]);
    Some((daemon, settings))
}

fn done(settings: &Path) {
    std::fs::remove_dir_all(settings).unwrap();
}

fn put(registry: &Registry, repository: &str) {
    Recipe::new(true, vec![(tar_of(&[("f", repository.as_bytes())]), Packing::Gzip)]).put(registry, repository, "latest");
}

#[test]
fn a_private_authority_and_client_certificates() {
    let Some(address) = own_address() else { return };
    let registry = Registry::with(Options { client_certificates: true, ..Options::default() });
    put(&registry, "private");
    let host = format!("{address}:{}", registry.port);
    let (certificate, key) = registry.client();

    let authority = vec![(host.as_str(), registry.authority(), "ca.crt")];
    let Some((without, settings)) = daemon("{}", &authority) else { return };
    let out = without.docker(&["pull", &format!("{host}/private")]);
    assert!(out.fails(1).contains("tls: certificate required"), "{}", out.stderr);
    drop(without);
    done(&settings);

    let mut all = authority;
    all.push((host.as_str(), certificate, "client.cert"));
    let Some((lonely, settings)) = daemon("{}", &all) else { return };
    let out = lonely.docker(&["pull", &format!("{host}/private")]);
    assert!(out.fails(1).contains("CA certificates must use the extension .crt"), "{}", out.stderr);
    drop(lonely);
    done(&settings);

    all.push((host.as_str(), key, "client.key"));
    let Some((with, settings)) = daemon("{}", &all) else { return };
    with.docker(&["pull", &format!("{host}/private")]).ok();
    drop(with);
    done(&settings);
}

#[test]
fn an_insecure_registry_beyond_loopback() {
    let Some(address) = own_address() else { return };
    let registry = Registry::start();
    put(&registry, "plain");
    let host = format!("{address}:{}", registry.port);
    let Some((strict, settings)) = daemon("{}", &[]) else { return };
    let out = strict.docker(&["pull", &format!("{host}/plain")]);
    assert!(out.fails(1).ends_with("http: server gave HTTP response to HTTPS client"), "{}", out.stderr);
    drop(strict);
    done(&settings);
    let Some((lax, settings)) = daemon(&format!(r#"{{"insecure-registries": ["{host}"]}}"#), &[]) else { return };
    lax.docker(&["pull", &format!("{host}/plain")]).ok();
    drop(lax);
    done(&settings);
}

#[test]
fn a_proxy_on_the_way() {
    let Some(address) = own_address() else { return };
    let registry = Registry::start();
    put(&registry, "far");
    let host = format!("{address}:{}", registry.port);
    let proxy = Proxy::start(registry.port, |_, _| Fault::None);
    let json = format!(
        r#"{{"insecure-registries": ["{host}"], "proxies": {{"http-proxy": "http://anna:secret@127.0.0.1:{}", "no-proxy": "x.example"}}}}"#,
        proxy.port
    );
    let Some((daemon, settings)) = daemon(&json, &[]) else { return };
    let info = daemon.http("GET", "/info", None).json();
    let shown = format!("http://xxxxx:xxxxx@127.0.0.1:{}/", proxy.port);
    assert_eq!((&info["HttpProxy"], &info["NoProxy"]), (&serde_json::json!(shown), &serde_json::json!("x.example")));
    assert_eq!(info["RegistryConfig"]["IndexConfigs"][&host]["Secure"], false);
    daemon.docker(&["pull", "-q", &format!("{host}/far")]).ok();
    let through = proxy.seen();
    assert!(through.iter().any(|s| s.path == format!("http://{host}/v2/far/manifests/latest")), "{through:?}");
    assert!(through.iter().all(|s| s.header("proxy-authorization") == "Basic YW5uYTpzZWNyZXQ="));
    // What is on this machine is not reached through it.
    let before = proxy.seen().len();
    daemon.docker(&["pull", "-q", &registry.name("far")]).ok();
    assert_eq!(proxy.seen().len(), before);
    drop(daemon);
    done(&settings);
}

#[test]
fn mirrors_stand_in_for_docker_hub() {
    let registry = Registry::start();
    put(&registry, "library/mirrored");
    let broken = Proxy::start(registry.port, |seen, _| match seen.path.contains("/manifests/") {
        true => Fault::Answer(500, "", String::new()),
        false => Fault::None,
    });
    let json = format!(r#"{{"registry-mirrors": ["http://localhost:{}", "http://localhost:{}/"]}}"#, broken.port, registry.port);
    let Some((daemon, settings)) = daemon(&json, &[]) else { return };
    let out = daemon.docker(&["pull", "mirrored"]);
    assert!(out.lines().contains(&"latest: Pulling from library/mirrored"), "{}", out.stdout);
    assert_eq!(out.lines().last(), Some(&"docker.io/library/mirrored:latest"));
    assert_eq!(daemon.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok(), "mirrored:latest");
    assert!(broken.seen().iter().any(|s| s.path.contains("/manifests/")), "the first mirror was asked first");
    drop(daemon);
    done(&settings);
}

#[test]
fn images_of_other_makers() {
    let t = Scope::new();
    let registry = Registry::start();
    let dir = scratch("makers");
    let archive = format!("docker-archive:{}", busybox_tar().display());
    let skopeo = |args: &[&str]| {
        let out = Command::new(tool("skopeo")).args(["--insecure-policy", "copy", "--dest-tls-verify=false"]).args(args).output();
        let out = out.expect("skopeo runs");
        assert!(out.status.success(), "skopeo {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    };
    let to = |tag: &str| format!("docker://{}", registry.name(&format!("made:{tag}")));
    skopeo(&["--format", "oci", &archive, &to("oci")]);
    skopeo(&["--format", "v2s2", &archive, &to("docker")]);
    skopeo(&["--format", "oci", "--dest-compress-format", "zstd", &archive, &to("zstd")]);
    let layout = format!("oci:{}/layout:one", dir.display());
    skopeo(&[&archive, &layout]);
    let image = format!("{}/layout:one", dir.display());
    let out = Command::new(tool("umoci"))
        .args(["config", "--image", &image, "--config.label", "by=umoci"])
        .output()
        .expect("umoci runs");
    assert!(out.status.success(), "umoci: {}", String::from_utf8_lossy(&out.stderr));
    skopeo(&[&layout, &to("umoci")]);
    for tag in ["oci", "docker", "zstd", "umoci"] {
        let name = registry.name(&format!("made:{tag}"));
        t.docker(&["pull", "-q", &name]).ok();
        let run = t.docker(&["run", "--rm", "--network", "none", &name, "echo", tag]);
        assert_eq!(run.ok(), tag);
        let label = t.docker(&["image", "inspect", "-f", "{{index .Config.Labels \"by\"}}", &name]);
        assert_eq!(label.ok() == "umoci", tag == "umoci");
        t.docker(&["rmi", &name]).ok();
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
