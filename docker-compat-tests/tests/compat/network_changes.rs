//! `network connect` and `disconnect` under containers that run.

use crate::networks::{SERVER, address, fetched, serves};
use docker_compat_tests::Scope;

#[test]
fn connected_and_disconnected_while_it_runs() {
    let t = Scope::new();
    let (red, blue) = (t.network("red", &[]), t.network("blue", &["--subnet", "10.77.30.0/24"]));
    let server = t.detached(&["--network", &red], SERVER);
    serves(&t, &server);
    let friend = t.sleeper(&["--network", &blue]);
    t.docker(&["network", "connect", "--ip", "10.77.30.9", &blue, &server]).ok();
    assert_eq!(address(&t, &server, &blue), "10.77.30.9");
    assert_eq!(fetched(&t, &friend, "10.77.30.9", "80"), "hello");
    let hosts = t.docker(&["exec", &server, "cat", "/etc/hosts"]);
    assert!(hosts.ok().contains(&format!("10.77.30.9\t{}", &server[..12])), "{}", hosts.stdout);
    let again = t.docker(&["network", "connect", &blue, &server]);
    assert!(again.fails(1).contains("already exists in network"), "{}", again.stderr);

    t.docker(&["network", "disconnect", &blue, &server]).ok();
    assert_eq!(fetched(&t, &friend, "10.77.30.9", "80"), "");
    let hosts = t.docker(&["exec", &server, "cat", "/etc/hosts"]);
    assert!(!hosts.ok().contains("10.77.30.9"), "{}", hosts.stdout);
    assert!(t.inspect(&server)["NetworkSettings"]["Networks"][&blue].is_null());
    let gone = t.docker(&["network", "disconnect", &blue, &server]);
    assert!(gone.fails(1).contains("is not connected to"), "{}", gone.stderr);
}

#[test]
fn the_way_out_and_the_ports_move_along() {
    let t = Scope::new();
    let (a, b) = (t.network("a", &[]), t.network("b", &[]));
    let server = t.detached(&["--network", &b, "-p", "80"], SERVER);
    serves(&t, &server);
    let port = || {
        let shown = t.docker(&["port", &server, "80/tcp"]);
        shown.stdout.lines().next().unwrap_or_default().rsplit(':').next().unwrap().to_owned()
    };
    let first = port();
    let asked = || match port() {
        port if port.is_empty() => String::new(),
        port => crate::ports::ask(&format!("127.0.0.1:{port}")),
    };
    assert_eq!(asked(), "hello");
    let gateway = |net: &str| t.inspect(&server)["NetworkSettings"]["Networks"][net]["Gateway"].as_str().map(str::to_owned);
    let default = || t.docker(&["exec", &server, "sh", "-c", "ip route | awk '/default/{print $3}'"]).ok().to_owned();
    assert_eq!(Some(default()), gateway(&b));
    // By its name it comes first.
    t.docker(&["network", "connect", &a, &server]).ok();
    assert_eq!(Some(default()), gateway(&a));
    assert_eq!(asked(), "hello");
    t.docker(&["network", "disconnect", &a, &server]).ok();
    assert_eq!(Some(default()), gateway(&b));
    assert_eq!(asked(), "hello");
    t.docker(&["network", "disconnect", &b, &server]).ok();
    assert_eq!(default(), "");
    assert_eq!(asked(), "");
    // Even while it leads nowhere, and where the port was chosen, it is the container's.
    if t.daemon.is_lighter("it chooses another with each of these changes") {
        assert_eq!(crate::ports::ask(&format!("127.0.0.1:{first}")), "");
        t.docker(&["network", "connect", &b, &server]).ok();
        assert_eq!((port(), asked().as_str()), (first, "hello"));
    }
}

#[test]
fn connected_to_a_network_that_is_made_before_the_start() {
    let t = Scope::new();
    let (id, later) = (t.docker(&["create", "busybox", "sleep", "1000"]).ok().to_owned(), t.name("later"));
    t.docker(&["network", "connect", &later, &id]).ok();
    assert!(t.inspect(&id)["NetworkSettings"]["Networks"][&later].is_object());
    let early = t.docker(&["start", &id]);
    assert!(early.fails(1).contains(&format!("network {later} not found")), "{}", early.stderr);
    let made = t.network("later", &[]);
    t.docker(&["start", &id]).ok();
    assert!(!address(&t, &id, &made).is_empty() && !address(&t, &id, "bridge").is_empty());
    let missing = t.docker(&["network", "connect", &t.name("never"), &id]);
    assert!(missing.fails(1).contains("not found"), "{}", missing.stderr);
}
