//! What the host does for a bridge's addresses: the option `com.docker.network.bridge.gateway_mode_ipv4`, and that of IPv6.

use crate::networks::{SERVER, address, fetched, serves};
use crate::ports::ask;
use docker_compat_tests::registry::free_port;
use docker_compat_tests::{Scope, eventually};
use serde_json::{Value, json};

const IPV4: &str = "com.docker.network.bridge.gateway_mode_ipv4";
const IPV6: &str = "com.docker.network.bridge.gateway_mode_ipv6";

fn option(key: &str, mode: &str) -> String {
    format!("{key}={mode}")
}

/// Serves the word on a second port, too.
fn server(t: &Scope, flags: &[&str]) -> String {
    let id = t.detached(flags, &format!("mkdir -p /v; echo hello >/v/index.html; httpd -p 81 -h /v; {SERVER}"));
    serves(t, &id);
    id
}

fn ports(t: &Scope, id: &str) -> Value {
    t.inspect(id)["NetworkSettings"]["Ports"].clone()
}

#[test]
fn routed_ports_are_open_at_the_containers_address_and_take_none_of_the_hosts() {
    let t = Scope::new();
    let net = t.network("routed", &["--opt", &option(IPV4, "routed")]);
    let other = t.network("other", &[]);
    let port = free_port();
    let publish = ["--network", &net, "-p", &format!("{port}:80")];
    let id = server(&t, &publish);
    assert_eq!(ports(&t, &id), json!({"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": ""}]}));
    let listed = t.daemon.http("GET", &format!("/containers/json?filters={{%22id%22:[%22{id}%22]}}"), None).json();
    assert_eq!(listed[0]["Ports"], json!([{"IP": "0.0.0.0", "PrivatePort": 80, "Type": "tcp"}]));
    let stranger = t.sleeper(&["--network", &other]);
    let at = address(&t, &id, &net);
    eventually("a published port is reached from elsewhere", || (fetched(&t, &stranger, &at, "80") == "hello").then_some(()));
    assert_eq!(fetched(&t, &stranger, &at, "81"), "", "another is not");
    t.docker(&["exec", &stranger, "ping", "-c", "1", "-W", "5", &at]).ok();
    drop(std::net::TcpListener::bind(("0.0.0.0", port)).expect("the host's port is free"));
    // So a second container can have it as well.
    let second = server(&t, &publish);
    eventually("the second is reached, too", || {
        (fetched(&t, &stranger, &address(&t, &second, &net), "80") == "hello").then_some(())
    });
    assert_eq!(fetched(&t, &stranger, &at, "80"), "hello");
}

#[test]
fn unprotected_ports_are_published_as_ever() {
    let t = Scope::new();
    let net = t.network("wide", &["--opt", &option(IPV4, "nat-unprotected")]);
    let other = t.network("other", &[]);
    let port = free_port().to_string();
    let id = server(&t, &["--network", &net, "-p", &format!("0.0.0.0:{port}:80")]);
    assert_eq!(ports(&t, &id), json!({"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": port}]}));
    let stranger = t.sleeper(&["--network", &other]);
    assert_eq!(fetched(&t, &stranger, &address(&t, &id, &net), "81"), "", "networks of one daemon are apart");
    eventually("by the host's port", || (ask(&format!("127.0.0.1:{port}")) == "hello").then_some(()));
}

#[test]
fn where_it_is_isolated_the_host_has_no_address() {
    let t = Scope::new();
    let net = t.network("alone", &["--internal", "--subnet", "10.77.45.0/24", "--opt", &option(IPV4, "isolated")]);
    let shown = t.daemon.http("GET", &format!("/networks/{net}"), None).json();
    assert_eq!(shown["IPAM"]["Config"], json!([{"Subnet": "10.77.45.0/24"}]), "{shown}");
    assert_eq!(shown["Options"], json!({IPV4: "isolated"}));
    let id = t.detached(&["--network", &net], SERVER);
    serves(&t, &id);
    let at = t.inspect(&id)["NetworkSettings"]["Networks"][&net].clone();
    assert_eq!((&at["IPAddress"], &at["Gateway"]), (&"10.77.45.1".into(), &"".into()), "the first is not the host's: {at}");
    let friend = t.sleeper(&["--network", &net]);
    assert_eq!(fetched(&t, &friend, "10.77.45.1", "80"), "hello");
}

#[test]
fn of_ipv6_alone() {
    let t = Scope::new();
    let subnet = ["--ipv6", "--subnet", "fd00:77:46::/64"];
    let net = t.network("six", &[&subnet[..], &["--opt", &option(IPV6, "routed")]].concat());
    let port = free_port().to_string();
    let id = server(&t, &["--network", &net, "-p", &format!("{port}:80")]);
    let both = [json!({"HostIp": "0.0.0.0", "HostPort": port}), json!({"HostIp": "::", "HostPort": ""})];
    assert_eq!(ports(&t, &id), json!({"80/tcp": both}));
}

#[test]
fn what_is_refused() {
    let t = Scope::new();
    for key in [IPV4, IPV6] {
        for (mode, status, words) in [
            ("odd", 400, format!("failed to parse {key} value: odd (unknown gateway mode odd)")),
            ("", 400, format!("failed to parse {key} value:  (unknown gateway mode )")),
            ("isolated", 500, "gateway mode 'isolated' can only be used for an internal network".to_owned()),
        ] {
            let body = json!({"Name": t.name("refused"), "Options": {key: mode}}).to_string();
            let answer = t.daemon.http("POST", "/networks/create", Some(&body));
            assert_eq!(answer.error(status), words);
        }
    }
}
