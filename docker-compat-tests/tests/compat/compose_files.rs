//! What a compose file can ask for.

use crate::compose::{IDLE, found, project};
use docker_compat_tests::Scope;

#[test]
fn configs_and_secrets() {
    let p = project(
        r#"
services:
  a:
    <<: *idle
    environment: {FROM: compose}
    configs:
      - plain
      - {source: written, target: /etc/written, mode: 0400, uid: "1000"}
      - {source: env, target: /etc/env}
    secrets: [password, {source: token, target: other}]
configs:
  plain: {file: ./plain.conf}
  written: {content: "written here"}
  env: {environment: HOME}
secrets:
  password: {file: ./password}
  token: {environment: PATH}
"#,
    );
    p.write("plain.conf", "plain");
    p.write("password", "secret");
    p.up(&[]);
    assert_eq!(p.sh("a", "cat /plain /run/secrets/password"), "plainsecret");
    assert_eq!(p.sh("a", "cat /etc/written"), "written here");
    assert_eq!(p.sh("a", "stat -c '%a %u' /etc/written"), "400 1000");
    assert_eq!(p.sh("a", "cat /etc/env"), std::env::var("HOME").unwrap());
    assert_eq!(p.sh("a", "cat /run/secrets/other"), std::env::var("PATH").unwrap());
    // A second time, nothing of this is different.
    let id = p.id("a");
    p.up(&[]);
    assert_eq!(p.id("a"), id);
}

#[test]
fn networks_with_aliases_and_addresses() {
    let p = project(
        r#"
services:
  a:
    <<: *idle
    networks:
      front: {aliases: [www, site], ipv4_address: 10.77.60.10}
      back: {aliases: [inner], mac_address: "02:42:0a:4d:3d:05"}
  b: {<<: *idle, networks: [front], links: ["a:linked"]}
  c: {<<: *idle, networks: [back], extra_hosts: ["somewhere=192.0.2.9", "gate:host-gateway"], dns_search: [corp.test]}
  peer: {<<: *idle, network_mode: "service:b", depends_on: [b]}
  alone: {<<: *idle, network_mode: none}
  plain: {<<: *idle, network_mode: bridge}
networks:
  front:
    ipam: {config: [{subnet: 10.77.60.0/24, gateway: 10.77.60.1}]}
    driver_opts: {com.docker.network.driver.mtu: "1400"}
    labels: {of: mine}
  back: {internal: true}
"#,
    );
    p.up(&[]);
    for name in ["a", "www", "site", "linked"] {
        assert_eq!(found(&p, "b", name), ["10.77.60.10"], "{name}");
    }
    // With the dot, for this client looks for nothing else than names below the search domain.
    assert_eq!(found(&p, "c", "inner.").len(), 1);
    assert!(found(&p, "c", "www.").is_empty(), "an alias of another network");
    assert_eq!(found(&p, "peer", "site"), ["10.77.60.10"]);
    assert_eq!(p.sh("peer", "hostname -i"), p.sh("b", "hostname -i"));
    assert_eq!(p.sh("b", "cat /sys/class/net/eth0/mtu"), "1400");
    assert_eq!(p.sh("alone", "ls /sys/class/net"), "lo");
    assert!(p.sh("c", "cat /etc/hosts").contains("192.0.2.9\tsomewhere"));
    assert!(p.sh("c", "cat /etc/resolv.conf").contains("search corp.test"));
    assert!(p.sh("a", "cat /sys/class/net/eth*/address").contains("02:42:0a:4d:3d:05"));
    assert_eq!(p.sh("c", "ip route | grep -c default; true"), "0", "an internal network has no way out");
    let again = p.up(&[]);
    assert!(!again.stderr.contains("Recreate"), "{}", again.stderr);
    p.down();
}

#[test]
fn external_networks_and_volumes_stay() {
    let t = Scope::new();
    let net = t.network("ext", &[]);
    let volume = t.name("vol");
    let missing = format!(
        "{IDLE}\nservices:\n  a: {{<<: *idle, networks: [n], volumes: ['data:/data']}}\n\
         networks: {{n: {{name: {net}, external: true}}}}\nvolumes: {{data: {{name: {volume}, external: true}}}}\n"
    );
    let p = docker_compat_tests::Project::new(&missing);
    let out = p.compose(&["up", "-d"]);
    assert!(out.fails(1).contains(&format!("external volume \"{volume}\" not found")), "{}", out.stderr);
    t.docker(&["volume", "create", &volume]).ok();
    let other = t.sleeper(&["--network", &net]);
    p.up(&[]);
    p.sh("a", "echo kept >/data/word");
    assert_eq!(t.docker(&["exec", &other, "nslookup", "a"]).ok().matches("Address: ").count(), 1);
    p.down();
    assert_eq!(t.sh(&["-v", &format!("{volume}:/data")], "cat /data/word"), "kept");
    t.docker(&["volume", "rm", &volume]).ok();
    t.docker(&["network", "inspect", &net]).ok();
}

#[test]
fn limits_and_settings_of_a_service() {
    let p = project(
        r#"
services:
  a:
    <<: *idle
    init: true
    restart: on-failure:3
    ulimits: {nofile: {soft: 512, hard: 1024}}
    sysctls: {net.ipv4.ip_local_port_range: "20000 30000"}
    cap_add: [SYS_TIME]
    read_only: true
    tmpfs: [/scratch]
    working_dir: /tmp
    user: "1000"
    hostname: itself
    labels: {of: mine}
    shm_size: 16m
    expose: ["80"]
    logging: {options: {max-size: 1m}}
    deploy:
      replicas: 2
      resources:
        limits: {cpus: "0.5", memory: 64M, pids: 100}
        reservations: {memory: 32M}
"#,
    );
    p.up(&[]);
    assert_eq!(p.ids("a").len(), 2);
    let id = &p.ids("a")[0];
    let shown = p.daemon.docker(&["inspect", id]).json();
    let host = &shown[0]["HostConfig"];
    assert_eq!((&host["Memory"], &host["MemoryReservation"]), (&(64 << 20).into(), &(32 << 20).into()));
    assert_eq!((&host["NanoCpus"], &host["PidsLimit"]), (&500_000_000.into(), &100.into()));
    assert_eq!(host["RestartPolicy"], serde_json::json!({"Name": "on-failure", "MaximumRetryCount": 3}));
    assert_eq!((&host["Init"], &host["ReadonlyRootfs"]), (&true.into(), &true.into()));
    let script = "ulimit -n; cat /proc/sys/net/ipv4/ip_local_port_range; id -u; pwd; hostname; touch /x 2>&1 | grep -c Read-only";
    assert_eq!(p.sh("a", script), "512\n20000\t30000\n1000\n/tmp\nitself\n1");
}

#[test]
fn profiles_env_files_extends_and_includes() {
    let p = project(
        r#"
include: [more/more.yaml]
services:
  base: {<<: *idle, profiles: [debug], environment: {FROM: base}}
  a:
    extends: {service: base}
    profiles: !reset []
    env_file: [one.env, {path: missing.env, required: false}]
    environment: {VALUE: "${VALUE:-none}", SET: "${SET}"}
"#,
    );
    p.write(".env", "SET=by dotenv\n");
    p.write("one.env", "ONE=1\nFROM=file\n");
    p.write("more/more.yaml", "services:\n  included: {image: busybox, command: [sleep, '1000'], init: true}\n");
    p.up(&[]);
    assert_eq!(p.sh("a", "echo $FROM $ONE $VALUE $SET"), "base 1 none by dotenv");
    assert!(p.ids("base").is_empty());
    p.id("included");
    p.compose(&["--profile", "debug", "up", "-d"]).ok();
    assert_eq!(p.compose(&["--profile", "debug", "ps", "-q", "base"]).lines().len(), 1);
    p.compose(&["--profile", "debug", "down", "-v", "-t", "0"]).ok();
    assert!(p.leftovers().is_empty());
}

#[test]
fn volumes_of_all_kinds() {
    let p = project(
        r#"
services:
  a:
    <<: *idle
    volumes:
      - named:/named
      - ./here:/bound:ro
      - {type: tmpfs, target: /ram, tmpfs: {size: 1048576}}
      - {type: volume, source: named, target: /part, volume: {subpath: sub}}
    depends_on: {maker: {condition: service_completed_successfully}}
  maker: {<<: *idle, command: ["mkdir", "-p", "/named/sub"], volumes: ["named:/named"]}
  plain: {<<: *idle, volumes: ["named:/named", "./here:/bound:ro"]}
  b: {<<: *idle, volumes_from: [plain]}
volumes:
  named: {labels: {of: mine}}
"#,
    );
    p.write("here/file", "bound");
    p.up(&[]);
    assert_eq!(p.sh("a", "cat /bound/file; touch /bound/x 2>/dev/null || echo read-only"), "boundread-only");
    p.sh("a", "echo part >/part/file");
    assert_eq!(p.sh("b", "cat /named/sub/file /bound/file"), "part\nbound");
    assert_eq!(p.sh("a", "df -k /ram | tail -1 | awk '{print $2}'"), "1024");
    assert!(p.compose(&["volumes", "-q"]).ok().contains(&format!("{}_named", p.name)));
    p.down();
}

#[test]
fn hooks_after_the_start() {
    let p = project(
        r#"
services:
  a:
    <<: *idle
    post_start: [{command: ["sh", "-c", "echo hooked >/hook"], user: root}]
"#,
    );
    p.up(&[]);
    assert_eq!(p.sh("a", "cat /hook"), "hooked");
}

#[test]
fn a_taken_port_is_named() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let p = project(&format!("services:\n  a: {{<<: *idle, ports: ['127.0.0.1:{port}:80']}}\n  b: {{<<: *idle}}\n"));
    let out = p.compose(&["up", "-d"]);
    let text = out.fails(1);
    assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
    if p.daemon.is_lighter("dockerd does not say who holds a port") {
        assert!(text.contains(&format!("{}", std::process::id())), "{text}");
    }
    drop(holder);
    p.up(&[]);
}
