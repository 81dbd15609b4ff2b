//! `docker run`: the three networks that are always there, and another container's.

use docker_compat_tests::{Scope, cli};

#[test]
fn none_has_loopback_only() {
    let t = Scope::new();
    assert_eq!(
        t.sh(
            &["--network", "none"],
            "ls /sys/class/net; cat /sys/class/net/lo/operstate; ip -4 addr show lo | grep -c 127.0.0.1"
        ),
        "lo\nunknown\n1"
    );
    let id = t.sleeper(&[]);
    let shown = t.inspect(&id);
    assert_eq!(shown["HostConfig"]["NetworkMode"], "none");
    assert_eq!(shown["NetworkSettings"]["Networks"]["none"]["IPAddress"], "");
}

#[test]
fn host_is_the_hosts() {
    let t = Scope::new();
    let inside = t.sh(&["--network", "host"], "readlink /proc/self/ns/net; hostname");
    let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(inside, format!("{}\n{}", ours.display(), name.trim()));
}

#[test]
fn bridge_is_the_default_with_address_and_gateway() {
    let t = Scope::new();
    let id = t
        .docker(&["run", "-d", "busybox", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"])
        .ok()
        .to_owned();
    let shown = t.inspect(&id);
    let bridge = &shown["NetworkSettings"]["Networks"]["bridge"];
    let address = bridge["IPAddress"].as_str().unwrap();
    let gateway = bridge["Gateway"].as_str().unwrap();
    assert!(address.parse::<std::net::Ipv4Addr>().is_ok(), "{bridge}");
    assert!(matches!(shown["HostConfig"]["NetworkMode"].as_str(), Some("bridge" | "default")));
    assert_eq!(bridge["MacAddress"].as_str().map(str::len), Some(17));
    assert_eq!(bridge["NetworkID"].as_str().map(str::len), Some(64));
    let inside = t.docker(&[
        "exec",
        &id,
        "sh",
        "-c",
        "ip -4 -o addr show eth0 | awk '{print $4}'; ip route | awk '/default/{print $3}'; cat /etc/hosts",
    ]);
    let text = inside.ok();
    assert!(text.contains(&format!("{address}/{}", bridge["IPPrefixLen"])), "{text}");
    assert!(text.lines().any(|l| l == gateway), "{text}");
    assert!(text.lines().any(|l| l == format!("{address}\t{}", &id[..12])), "{text}");
    // The gateway answers, and the host reaches the container.
    t.docker(&["exec", &id, "ping", "-c", "1", "-W", "5", gateway]).ok();
}

#[test]
fn containers_reach_each_other_and_the_host_reaches_them() {
    let t = Scope::new();
    let server = t
        .docker(&["run", "-d", "busybox", "sh", "-c", "mkdir /www; echo served >/www/index.html; httpd -f -p 80 -h /www"])
        .ok()
        .to_owned();
    let address = t.inspect(&server)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].as_str().unwrap().to_owned();
    docker_compat_tests::eventually("the server answers the host", || {
        let address = format!("{address}:80").parse().unwrap();
        std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_secs(1)).ok()
    });
    // busybox's static wget crashes in glibc's resolver on Debian 12; nc does not.
    let request = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {address} 80");
    let got = t.docker(&["run", "--rm", "busybox", "sh", "-c", &request]);
    assert!(got.ok().ends_with("served"), "{got:?}");
}

#[test]
fn resolvers_are_the_hosts_or_those_given() {
    let t = Scope::new();
    let out = t.sh(&["--dns", "10.9.8.7", "--dns-search", "example.test", "--dns-option", "ndots:3"], "cat /etc/resolv.conf");
    for line in ["nameserver 10.9.8.7", "search example.test", "options ndots:3"] {
        assert!(out.lines().any(|l| l == line), "{line} in {out}");
    }
    let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let wanted = host.lines().find(|l| l.starts_with("nameserver ") && !l.contains("127.") && !l.contains("::1"));
    if let Some(line) = wanted {
        let out = t.docker(&["run", "--rm", "busybox", "cat", "/etc/resolv.conf"]);
        assert!(out.ok().lines().any(|l| l.trim() == line.trim()), "{line} in {}", out.stdout);
    }
}

#[test]
fn addresses_are_distinct_and_come_back() {
    let t = Scope::new();
    let address = |id: &str| t.inspect(id)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].as_str().unwrap().to_owned();
    let command = ["run", "-d", "busybox", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"];
    let first = t.docker(&command).ok().to_owned();
    let second = t.docker(&command).ok().to_owned();
    assert_ne!(address(&first), address(&second));
    t.docker(&["stop", &first]).ok();
    cli::wait_state(t.daemon, &first, "exited");
    assert_eq!(address(&first), "", "a stopped container has no address");
    t.docker(&["start", &first]).ok();
    assert_ne!(address(&first), "");
}

#[test]
fn another_containers_network() {
    let t = Scope::new();
    let first = t.sleeper(&["--network", "none"]);
    let ours = t.docker(&["exec", &first, "readlink", "/proc/self/ns/net"]).ok().to_owned();
    assert_eq!(t.sh(&["--network", &format!("container:{first}")], "readlink /proc/self/ns/net"), ours);
}

#[test]
fn unknown_network_is_refused() {
    let t = Scope::new();
    let out = t.docker(&["run", "--rm", "--network", "no-such-network", "busybox", "true"]);
    assert!(out.code == 125, "{out:?}");
    assert!(out.stderr.contains("network no-such-network not found"), "{}", out.stderr);
}

#[test]
fn port_of_a_container_without_ports() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    assert_eq!(t.docker(&["port", &id]).ok(), "");
    let out = t.docker(&["port", &id, "80"]);
    let text = out.fails(1);
    assert!(text.contains(&format!("No public port '80' published for {id}")), "{text}");
    let out = t.docker(&["port", "no-such-container"]);
    assert!(out.fails(1).contains("No such container: no-such-container"));
}

#[test]
fn exposed_ports_are_recorded() {
    let t = Scope::new();
    let id = t.docker(&["create", "--expose", "80", "--expose", "53/udp", "busybox"]).ok().to_owned();
    assert_eq!(t.inspect(&id)["Config"]["ExposedPorts"], serde_json::json!({"53/udp": {}, "80/tcp": {}}));
}

#[test]
fn a_link_leads_to_another_container() {
    let t = Scope::new();
    let name = t.name("target");
    let target = t.sleeper(&["--network", "bridge", "--name", &name, "-e", "FOO=bar", "--expose", "80"]);
    let address = t.inspect(&target)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].as_str().unwrap().to_owned();
    let link = format!("{name}:al");
    let seen = t.sh(&["--network", "bridge", "--link", &link], "env; grep -w al /etc/hosts | head -n1 | cut -f1");
    for line in [
        &format!("AL_PORT=tcp://{address}:80"),
        &format!("AL_PORT_80_TCP_ADDR={address}"),
        "AL_PORT_80_TCP_PROTO=tcp",
        "AL_ENV_FOO=bar",
        &address,
    ] {
        assert!(seen.lines().any(|l| l == line), "{line}: {seen}");
    }
    let running = t.sleeper(&["--network", "bridge", "--link", &link]);
    let exec = t.docker(&["exec", "-e", "AL_ENV_FOO=mine", &running, "env"]);
    let lines: Vec<&str> = exec.ok().lines().collect();
    assert!(lines.contains(&"AL_ENV_FOO=mine") && lines.contains(&format!("AL_PORT=tcp://{address}:80").as_str()), "{lines:?}");
    let linked = t.docker(&["create", "--link", &link, "busybox"]).ok().to_owned();
    let shown = t.inspect(&linked)["HostConfig"]["Links"][0].as_str().unwrap().to_owned();
    assert!(shown.starts_with(&format!("/{name}:/")) && shown.ends_with("/al"), "{shown}");
    t.docker(&["kill", &target]).ok();
    assert!(t.docker(&["start", &linked]).fails(1).contains("Cannot link to a non running container: /"));
}
