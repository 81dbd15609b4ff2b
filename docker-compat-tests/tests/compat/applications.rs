//! Two whole applications, of `docker-compat-tests/apps`, with the programs that people use.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::OnceLock;

use docker_compat_tests::{Daemon, Project, eventually, repository, target_dir};
use serde_json::Value;

/// Has the image of the applications in the daemon.
fn image() {
    static LOADED: OnceLock<()> = OnceLock::new();
    LOADED.get_or_init(|| {
        let script = repository().join("scripts/apps-image.sh");
        let made = Command::new(&script).output().expect("scripts/apps-image.sh runs");
        assert!(made.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&made.stderr));
        let tar = target_dir().join("images/apps.tar");
        Daemon::get().docker(&["load", "-q", "-i", tar.to_str().unwrap()]).ok();
    });
}

/// A project of the files of `apps/NAME`.
fn application(name: &str) -> Project {
    image();
    let from = repository().join("docker-compat-tests/apps").join(name);
    let read = |file: &std::path::Path| std::fs::read_to_string(file).unwrap();
    let project = Project::new(&read(&from.join("compose.yaml")));
    for entry in std::fs::read_dir(&from).unwrap() {
        let path = entry.unwrap().path();
        project.write(path.file_name().unwrap().to_str().unwrap(), &read(&path));
    }
    project
}

/// One request to a service's published port: status and body.
fn request(address: &str, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).ok()?;
    let head = format!("{method} {path} HTTP/1.0\r\nHost: shop\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(head.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn shop(address: &str) -> Value {
    let (status, body) = request(address, "GET", "/", "").expect("the shop answers");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn a_shop_keeps_its_orders() {
    let p = application("shop");
    p.up(&["--wait"]);
    let address = p.compose(&["port", "web", "80"]).ok().to_owned();
    for what in ["bread", "salt"] {
        assert_eq!(request(&address, "POST", "/", what).unwrap().0, 201);
    }
    let first = shop(&address);
    assert_eq!(first["orders"], serde_json::json!(["bread", "salt"]));
    assert_eq!(shop(&address)["visits"], 2);
    // Nothing has changed, so nothing is made anew; but the job runs again.
    let ids: Vec<_> = ["web", "app", "db", "cache"].map(|s| p.id(s)).into();
    p.up(&["--wait"]);
    assert_eq!(ids, ["web", "app", "db", "cache"].map(|s| p.id(s)));
    // The application moves, and nginx finds it.
    p.up(&["--wait", "--force-recreate", "--no-deps", "app"]);
    let moved = eventually("nginx finds the application again", || {
        let (status, body) = request(&address, "GET", "/", "")?;
        (status == 200).then(|| serde_json::from_str::<Value>(&body).unwrap())
    });
    assert_ne!(moved["by"], first["by"]);
    // The database is not to be reached but by its neighbours.
    let lost = p.compose(&["exec", "-T", "web", "python3", "-c", "import socket; socket.gethostbyname('db')"]);
    assert_eq!(lost.code, 1, "{lost:?}");
    p.compose(&["down"]).ok();
    assert_eq!(p.leftovers().iter().filter(|l| l.starts_with("volume")).count(), 2);
    p.up(&["--wait"]);
    let address = p.compose(&["port", "web", "80"]).ok().to_owned();
    let again = shop(&address);
    assert_eq!(again["orders"], serde_json::json!(["bread", "salt"]));
    assert!(again["visits"].as_i64().unwrap() > 2, "{again}");
    p.down();
}

#[test]
fn a_balancer_follows_its_backends() {
    let p = application("balancer");
    let socket = p.daemon.socket.display().to_string();
    let name = p.name.clone();
    p.write(".env", &format!("DOCKER_SOCKET={socket}\nCOMPOSE_PROJECT_NAME={name}\n"));
    p.up(&["--scale", "worker=2"]);
    let address = p.compose(&["port", "balancer", "80"]).ok().to_owned();
    follows(&address, 2);
    let mut by = std::collections::BTreeSet::new();
    eventually("both have answered", || {
        by.insert(request(&address, "GET", "/", "")?.1);
        (by.len() == 2).then_some(())
    });
    for wanted in [4, 1, 3] {
        p.up(&["--scale", &format!("worker={wanted}")]);
        follows(&address, wanted);
    }
    let one = p.ids("worker")[0].clone();
    p.daemon.docker(&["kill", &one]).ok();
    follows(&address, 2);
    p.daemon.docker(&["start", &one]).ok();
    follows(&address, 3);
    p.down();
}

/// Waits until the balancer knows so many backends.
fn follows(address: &str, wanted: usize) {
    eventually(&format!("the balancer knows {wanted} backends"), || {
        let (_, body) = request(address, "GET", "/backends", "")?;
        (serde_json::from_str::<Vec<String>>(&body).ok()?.len() == wanted).then_some(())
    });
}
