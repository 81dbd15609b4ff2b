//! Networks that users make, as their containers find them.

use docker_compat_tests::Scope;

/// Serves the word on port 80 until it is stopped.
pub(crate) const SERVER: &str = "mkdir /w; echo hello >/w/index.html; trap 'exit 0' TERM; httpd -f -p 80 -h /w & wait";

/// The address on a network.
#[track_caller]
pub(crate) fn address(t: &Scope, id: &str, network: &str) -> String {
    let shown = t.inspect(id);
    let at = &shown["NetworkSettings"]["Networks"][network];
    at["IPAddress"].as_str().unwrap_or_else(|| panic!("{id} is not on {network}: {shown}")).to_owned()
}

/// What a container gets from a server of ours; nothing where it gets none. (busybox's static wget crashes in glibc's resolver
/// on Debian 12; nc does not.)
pub(crate) fn fetched(t: &Scope, id: &str, host: &str, port: &str) -> String {
    let script = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 4 nc -w 3 {host} {port}");
    let out = t.docker(&["exec", id, "sh", "-c", &script]);
    out.stdout.lines().last().unwrap_or_default().trim().to_owned()
}

/// Waits until the server answers somebody who can reach it.
#[track_caller]
pub(crate) fn serves(t: &Scope, id: &str) {
    docker_compat_tests::eventually("the server answers itself", || (fetched(t, id, "127.0.0.1", "80") == "hello").then_some(()));
}

#[test]
fn containers_meet_on_their_network_only() {
    let t = Scope::new();
    let (red, blue) = (t.network("red", &[]), t.network("blue", &["--subnet", "10.77.20.0/24"]));
    let server = t.detached(&["--network", &red], SERVER);
    serves(&t, &server);
    let friend = t.sleeper(&["--network", &red]);
    let stranger = t.sleeper(&["--network", &blue]);
    let both = t.sleeper(&["--network", &red, "--network", &blue]);
    let there = address(&t, &server, &red);
    assert_eq!(fetched(&t, &friend, &there, "80"), "hello");
    assert_eq!(fetched(&t, &both, &there, "80"), "hello");
    assert_eq!(fetched(&t, &stranger, &there, "80"), "");
    assert!(address(&t, &both, &blue).starts_with("10.77.20."));
    let interfaces = t.docker(&["exec", &both, "ls", "/sys/class/net"]);
    assert_eq!(interfaces.ok().split_whitespace().collect::<Vec<_>>(), ["eth0", "eth1", "lo"]);
    // Whoever is on it keeps it.
    let refused = t.docker(&["network", "rm", &red]);
    assert!(refused.fails(1).contains("has active endpoints"), "{}", refused.stderr);
}

#[test]
fn what_was_asked_of_a_network_is_so() {
    let t = Scope::new();
    let flags = [
        "--subnet",
        "10.77.21.0/24",
        "--gateway",
        "10.77.21.254",
        "--ip-range",
        "10.77.21.128/25",
        "--aux-address",
        "router=10.77.21.129",
        "--opt",
        "com.docker.network.driver.mtu=1300",
    ];
    let net = t.network("asked", &flags);
    let one = t.sleeper(&["--network", &net]);
    let given = address(&t, &one, &net);
    let last: u8 = given.rsplit('.').next().unwrap().parse().unwrap();
    assert!(given.starts_with("10.77.21.") && last >= 128 && last != 129, "{given}");
    let script = "ip route | awk '/default/{print $3}'; cat /sys/class/net/eth0/mtu";
    assert_eq!(t.docker(&["exec", &one, "sh", "-c", script]).ok(), "10.77.21.254\n1300");
    let mine = t.name("static");
    let mac = "02:42:0a:4d:15:07";
    t.sleeper(&["--network", &net, "--ip", "10.77.21.7", "--mac-address", mac, "--name", &mine]);
    let shown =
        t.docker(&["exec", &mine, "sh", "-c", "ip -4 -o addr show eth0 | awk '{print $4}'; cat /sys/class/net/eth0/address"]);
    assert_eq!(shown.ok(), format!("10.77.21.7/24\n{mac}"));
    let taken = t.docker(&["run", "--rm", "--network", &net, "--ip", "10.77.21.7", "busybox", "true"]);
    assert!(taken.fails(125).contains("Address already in use"), "{}", taken.stderr);
    let overlap = t.docker(&["network", "create", "--subnet", "10.77.0.0/16", &t.name("overlap")]);
    assert!(overlap.fails(1).contains("Pool overlaps with other one on this address space"), "{}", overlap.stderr);
}

#[test]
fn internal_networks_have_no_way_out_and_quiet_ones_none_among_them() {
    let t = Scope::new();
    let inner = t.network("inner", &["--internal"]);
    let quiet = t.network("quiet", &["--opt", "com.docker.network.bridge.enable_icc=false"]);
    let server = t.detached(&["--network", &inner], SERVER);
    serves(&t, &server);
    let friend = t.sleeper(&["--network", &inner]);
    assert_eq!(fetched(&t, &friend, &address(&t, &server, &inner), "80"), "hello");
    assert_eq!(t.docker(&["exec", &friend, "sh", "-c", "ip route | grep -c default || true"]).ok(), "0");
    let server = t.detached(&["--network", &quiet], SERVER);
    serves(&t, &server);
    let other = t.sleeper(&["--network", &quiet]);
    assert_eq!(fetched(&t, &other, &address(&t, &server, &quiet), "80"), "");
    let gateway = t.docker(&["exec", &other, "sh", "-c", "ping -c 1 -W 5 $(ip route | awk '/default/{print $3}')"]);
    gateway.ok();
}

#[test]
fn ipv6() {
    let t = Scope::new();
    let net = t.network("six", &["--ipv6", "--subnet", "fd00:77:22::/64"]);
    let server = t.detached(&["--network", &net, "--ip6", "fd00:77:22::99"], SERVER);
    serves(&t, &server);
    let friend = t.sleeper(&["--network", &net]);
    let shown = t.inspect(&friend);
    let at = &shown["NetworkSettings"]["Networks"][&net];
    assert_eq!((at["GlobalIPv6PrefixLen"].as_u64(), at["IPv6Gateway"].as_str()), (Some(64), Some("fd00:77:22::1")), "{at}");
    assert!(at["IPAddress"].as_str().is_some_and(|ip| !ip.is_empty()), "IPv4 it has, too: {at}");
    t.docker(&["exec", &friend, "ping", "-6", "-c", "1", "-W", "5", "fd00:77:22::99"]).ok();
    assert_eq!(fetched(&t, &friend, "fd00:77:22::99", "80"), "hello");
}

#[test]
fn macvlan_without_a_parent_is_among_its_containers() {
    let t = Scope::new();
    if !t.daemon.is_lighter("it wants interfaces of the kind dummy, which not every kernel has") {
        return;
    }
    let net = t.network("mac", &["--driver", "macvlan", "--subnet", "10.77.23.0/24"]);
    let server = t.detached(&["--network", &net], SERVER);
    serves(&t, &server);
    let friend = t.sleeper(&["--network", &net]);
    assert_eq!(fetched(&t, &friend, &address(&t, &server, &net), "80"), "hello");
    let odd = t.docker(&["network", "create", "-d", "macvlan", "-o", "macvlan_mode=odd", &t.name("odd")]);
    assert!(odd.fails(1).contains("macvlan mode 'odd' is not valid"), "{}", odd.stderr);
}

#[test]
fn another_containers_network_is_shared_with_all_that_belongs_to_it() {
    let t = Scope::new();
    let net = t.network("shared", &[]);
    let owner = t.name("owner");
    t.detached(&["--network", &net, "--name", &owner, "--hostname", "host-of-owner", "--add-host", "other:10.1.2.3"], SERVER);
    serves(&t, &owner);
    let script = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc 127.0.0.1 80 | tail -n 1; hostname; grep -c 10.1.2.3 /etc/hosts";
    assert_eq!(t.sh(&["--network", &format!("container:{owner}")], script), "hello\nhost-of-owner\n1");
    let stopped = t.docker(&["stop", &owner]);
    stopped.ok();
    let refused = t.docker(&["run", "--rm", "--network", &format!("container:{owner}"), "busybox", "true"]);
    let words = format!("cannot join network namespace of a non running container: container {owner} is exited");
    assert!(refused.fails(125).contains(&words), "{}", refused.stderr);
}

#[test]
fn the_bridge_has_the_name_that_it_was_given() {
    let t = Scope::new();
    // Fifteen bytes are all that the kernel allows.
    let name = format!("lb{:x}", std::process::id());
    let option = format!("com.docker.network.bridge.name={name}");
    let net = t.network("named", &["--opt", &option]);
    let path = format!("/sys/class/net/{name}/bridge");
    assert!(std::path::Path::new(&path).exists());
    t.docker(&["network", "rm", &net]).ok();
    assert!(!std::path::Path::new(&path).exists());
}
