//! What containers of this engine are like from the inside: the things that dockerd's containers have.

mod support;

use lighter_domain::container::{MountKind, MountPoint};
use lighter_domain::host_config::{DeviceMapping, Mount, MountType, TmpfsOptions, Ulimit};
use lighter_domain::{Container, ExecConfig, Exit};
use lighter_engine::conformance::{self, Fixture};
use lighter_engine::{AttachOptions, StartFailure};
use std::sync::Arc;
use tokio::io::AsyncReadExt as _;

async fn setup() -> Fixture {
    support::fixture("none").await
}

async fn on_the_bridge() -> Fixture {
    support::fixture("bridge").await
}

/// Runs a shell script to its end; standard output and error, mixed, and how it ended.
async fn sh(f: &Fixture, script: &str, change: impl FnOnce(&mut Container)) -> (String, Exit) {
    try_sh(f, script, change).await.expect("start")
}

async fn try_sh(f: &Fixture, script: &str, change: impl FnOnce(&mut Container)) -> Result<(String, Exit), StartFailure> {
    let container = f.container_with(&["sh", "-c", script], change);
    f.engine.review(&container)?;
    f.engine.create(&container).await?;
    let options = AttachOptions { stdin: false, stdout: true, stderr: true };
    let mut session = f.engine.attach().expect("attach").attach(&container, options).await?;
    f.engine.start(&container).await?;
    let mut text = Vec::new();
    let mut head = [0; 8];
    if container.config.tty {
        session.output.read_to_end(&mut text).await.expect("read");
    } else {
        while session.output.read_exact(&mut head).await.is_ok() {
            let (_, len) = lighter_engine::stdcopy::parse_header(head).expect("a header");
            let mut piece = vec![0; len as usize];
            session.output.read_exact(&mut piece).await.expect("a frame");
            text.extend(piece);
        }
    }
    let exit = f.engine.wait(&container.id).await?;
    f.engine.cleanup(&container.id).await?;
    Ok((String::from_utf8_lossy(&text).into_owned(), exit))
}

async fn out(f: &Fixture, script: &str, change: impl FnOnce(&mut Container)) -> String {
    let (text, exit) = sh(f, script, change).await;
    assert_eq!(exit.code, 0, "{text}");
    text.trim_end().to_owned()
}

fn bind(source: &str, destination: &str, rw: bool) -> MountPoint {
    MountPoint {
        kind: MountKind::Bind,
        name: String::new(),
        source: source.into(),
        destination: destination.into(),
        driver: String::new(),
        mode: String::new(),
        rw,
        propagation: "rprivate".into(),
        create_source: true,
        recursive: true,
        subpath: String::new(),
        image_id: String::new(),
        copy_up: false,
        anonymous: false,
    }
}

#[test]
fn security() {
    conformance::run(setup, async |f: Arc<Fixture>| {
        let status = out(&f, "grep -E 'CapEff|CapBnd|CapPrm|CapInh|Seccomp:|NoNewPrivs' /proc/self/status", |_| {}).await;
        for line in ["CapInh:\t0000000000000000", "CapPrm:\t00000000a80425fb", "CapEff:\t00000000a80425fb"] {
            assert!(status.contains(line), "{status}");
        }
        assert!(status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t0"), "{status}");
        let user = out(&f, "id -u; grep -E 'CapEff|CapBnd' /proc/self/status", |c| c.config.user = "1000:1000".into()).await;
        assert!(user.contains("CapEff:\t0000000000000000") && user.contains("CapBnd:\t00000000a80425fb"), "{user}");
        let status = out(&f, "grep NoNewPrivs /proc/self/status", |c| {
            c.host_config.security_opt = vec!["no-new-privileges".into()];
        });
        assert!(status.await.ends_with('1'));
        let dropped = out(&f, "grep CapEff /proc/self/status", |c| {
            c.host_config.cap_drop = Some(vec!["ALL".into()]);
            c.host_config.cap_add = Some(vec!["CHOWN".into()]);
        });
        assert!(dropped.await.ends_with("0000000000000001"));
        let free = out(&f, "grep Seccomp: /proc/self/status", |c| c.host_config.security_opt = vec!["seccomp=unconfined".into()]);
        assert!(free.await.ends_with('0'));
        let (text, exit) = sh(&f, "mkdir /mnt && mount -t tmpfs x /mnt", |_| {}).await;
        assert!(exit.code != 0 && text.contains("ermi"), "{text}");
        let (_, exit) = sh(&f, "mknod /disk b 8 0 && head -c1 /disk", |_| {}).await;
        assert_ne!(exit.code, 0, "the device may be made, but not opened");
    });
}

#[test]
fn masked_and_read_only_paths() {
    conformance::run(setup, async |f: Arc<Fixture>| {
        for script in [
            "test -z \"$(cat /proc/kcore | head -c1)\" && test -z \"$(ls /sys/firmware)\" && test -z \"$(cat /proc/interrupts)\"",
            "! echo 0 > /proc/sys/kernel/core_pattern",
            "! mkdir /sys/fs/cgroup/memory/mine && ! echo 1 > /sys/fs/cgroup/pids/pids.max",
            "test -d /sys/fs/cgroup/memory",
        ] {
            out(&f, script, |_| {}).await;
        }
        let unmasked = "test -n \"$(cat /proc/interrupts)\" && echo x > /proc/sys/kernel/domainname";
        out(&f, unmasked, |c| {
            c.host_config.masked_paths = Some(Vec::new());
            c.host_config.readonly_paths = Some(Vec::new());
        })
        .await;
        let (_, exit) = sh(&f, "echo x > /file", |c| c.host_config.readonly_rootfs = true).await;
        assert_ne!(exit.code, 0);
        out(&f, "echo x > /dev/shm/x && echo x > /run/x", |c| {
            c.host_config.readonly_rootfs = true;
            c.host_config.tmpfs.insert("/run".into(), String::new());
        })
        .await;
    });
}

#[test]
fn privileged_sees_everything() {
    conformance::run(setup, async |f: Arc<Fixture>| {
        let script = "grep -E 'CapEff|Seccomp:' /proc/self/status; mkdir /mnt && mount -t tmpfs x /mnt && echo mounted; \
                      mkdir /sys/fs/cgroup/pids/sub && echo made";
        let text = out(&f, script, |c| c.host_config.privileged = true).await;
        assert!(text.contains("Seccomp:\t0") && text.contains("mounted") && text.contains("made"), "{text}");
        let ours = std::fs::read_to_string("/proc/self/status").expect("a status");
        let ours = ours.lines().find_map(|l| l.strip_prefix("CapBnd:\t")).expect("a set");
        assert!(text.contains(&format!("CapEff:\t{ours}")), "{text}");
    });
}

#[test]
fn environment_names_and_directories() {
    conformance::run(setup, async |f: Arc<Fixture>| {
        let env = out(&f, "env", |c| {
            c.config.hostname = "box".into();
            c.config.env = vec!["PATH=/bin:/usr/bin".into(), "A=1".into(), "A=2".into()];
        })
        .await;
        for line in ["PATH=/bin:/usr/bin", "HOSTNAME=box", "A=2", "HOME=/root"] {
            assert!(env.lines().any(|l| l == line), "{env}");
        }
        let named = |c: &mut Container| {
            c.config.hostname = "box".into();
            c.config.domainname = "example.org".into();
        };
        let names =
            out(&f, "hostname; cat /proc/sys/kernel/domainname /etc/hostname; cat /etc/hosts /etc/resolv.conf", named).await;
        assert!(names.starts_with("box\nexample.org\nbox\n127.0.0.1\tlocalhost"), "{names}");
        let made = |c: &mut Container| c.config.working_dir = "/made/for/me".into();
        assert_eq!(out(&f, "pwd; ls -d /made", made).await, "/made/for/me\n/made");
        let failed = try_sh(&f, "true", |c| c.config.working_dir = "/bin/sh".into()).await.unwrap_err();
        assert!(failed.error.message().contains("Cannot mkdir"), "{}", failed.error);
        assert_eq!(out(&f, "id -u; id -g; id -G", |c| c.host_config.group_add = vec!["77".into()]).await, "0\n0\n0 10 77");
        let failed = try_sh(&f, "true", |c| c.config.user = "nobodyatall".into()).await.unwrap_err();
        assert_eq!(failed.error.message(), "unable to find user nobodyatall: no matching entries in passwd file");
        let term = out(&f, "echo $TERM; tty; stty size", |c| {
            c.config.tty = true;
            c.host_config.console_size = Some((33, 111));
        })
        .await;
        assert_eq!(term.replace('\r', ""), "xterm\n/dev/pts/0\n33 111");
    });
}

#[test]
fn mounts() {
    conformance::run(setup, async |f: Arc<Fixture>| {
        let dir = tempfile::tempdir().expect("a directory");
        let source = dir.path().join("new/deep");
        let source = source.to_str().expect("UTF-8").to_owned();
        let with = |rw| {
            let source = source.clone();
            move |c: &mut Container| c.mounts = vec![bind(&source, "/data", rw)]
        };
        out(&f, "echo hello > /data/file", with(true)).await;
        assert_eq!(std::fs::read_to_string(format!("{source}/file")).expect("it was written"), "hello\n");
        let (_, exit) = sh(&f, "echo no > /data/file", with(false)).await;
        assert_ne!(exit.code, 0);
        let file = format!("{source}/file");
        assert_eq!(out(&f, "cat /etc/one", |c| c.mounts = vec![bind(&file, "/etc/one", true)]).await, "hello");
        let inside = |c: &mut Container| {
            c.mounts = vec![bind(&source, "/data", true)];
            c.config.working_dir = "/data/below".into();
        };
        assert_eq!(out(&f, "pwd", inside).await, "/data/below");
        let tmpfs = |c: &mut Container| {
            c.host_config.tmpfs.insert("/t1".into(), "size=1m,mode=700".into());
            c.host_config.mounts = vec![Mount {
                mount_type: MountType::Tmpfs,
                source: String::new(),
                target: "/t2".into(),
                read_only: false,
                consistency: String::new(),
                bind: None,
                volume: None,
                image: None,
                tmpfs: Some(TmpfsOptions { size_bytes: 2 << 20, mode: 0o1770, options: Vec::new() }),
            }];
            c.host_config.shm_size = 8 << 20;
        };
        let text = out(&f, "stat -c %a /t1 /t2; df -k /t1 /t2 /dev/shm | awk 'NR>1{print $2}'", tmpfs).await;
        assert_eq!(text, "700\n1770\n1024\n2048\n8192");
    });
}

#[test]
fn limits_and_namespaces() {
    conformance::run(setup, async |f: Arc<Fixture>| {
        let limited = |c: &mut Container| {
            let host = &mut c.host_config;
            (host.memory, host.pids_limit, host.nano_cpus) = (64 << 20, Some(20), 500_000_000);
            host.ulimits = vec![Ulimit { name: "nofile".into(), soft: 100, hard: 200 }];
            host.oom_score_adj = 500;
            host.sysctls.insert("net.ipv4.ip_forward".into(), "1".into());
        };
        let script = "cd /sys/fs/cgroup 2>/dev/null; cat memory/memory.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us; \
                      ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_forward \
                      /proc/sys/net/ipv4/ip_unprivileged_port_start";
        if std::path::Path::new("/sys/fs/cgroup/memory").exists() {
            assert_eq!(out(&f, script, limited).await, "67108864\n20\n50000\n100\n200\n500\n1\n0");
        }
        if std::path::Path::new("/sys/fs/cgroup/pids").exists() {
            let few = f.container_with(&["sleep", "3600"], |c| c.host_config.pids_limit = Some(1));
            f.engine.create(&few).await.expect("create");
            f.engine.start(&few).await.expect("start");
            let exec = ExecConfig { cmd: vec!["true".into()], ..ExecConfig::default() };
            let id = lighter_domain::id::random_hex64();
            // One more can be looked in with, whatever the limit.
            let session = f.engine.exec().expect("exec").exec(&few, &id, &exec).await.expect("an exec at the limit");
            assert_eq!(session.exit.await.expect("its end"), 0);
            f.engine.signal(&few.id, lighter_domain::Signal::KILL).await.expect("kill");
            f.engine.wait(&few.id).await.expect("wait");
        }
        let (_, exit) = sh(&f, "cat /dev/zero | head -c 100m | tail", |c| {
            (c.host_config.memory, c.host_config.memory_swap) = (16 << 20, 16 << 20);
        })
        .await;
        assert!(exit.oom_killed, "{exit:?}");
        assert_eq!(out(&f, "echo $$; ls /proc | grep -c '^[0-9]'", |_| {}).await.lines().next(), Some("1"));
        let shared = out(&f, "echo $$; for n in net uts ipc; do readlink /proc/self/ns/$n; done", |c| {
            c.host_config.pid_mode = "host".into();
            c.host_config.network_mode = "host".into();
            c.host_config.uts_mode = "host".into();
            c.host_config.ipc_mode = "host".into();
            c.config.hostname = String::new();
        })
        .await;
        let lines: Vec<&str> = shared.lines().collect();
        assert_ne!(lines[0], "1");
        for (line, ns) in lines[1..].iter().zip(["net", "uts", "ipc"]) {
            let ours = std::fs::read_link(format!("/proc/self/ns/{ns}")).expect("a namespace");
            assert_eq!(*line, ours.to_str().expect("UTF-8"), "{ns}");
        }
        let device = DeviceMapping {
            path_on_host: "/dev/full".into(),
            path_in_container: "/dev/brim".into(),
            cgroup_permissions: "rw".into(),
        };
        let (text, _) = sh(&f, "echo x > /dev/brim", |c| c.host_config.devices = vec![device]).await;
        assert!(text.contains("No space"), "{text}");
        let first = out(&f, "cat /proc/1/comm; ps | wc -l", |c| c.host_config.init = Some(true)).await;
        assert!(first.starts_with("docker-init") || first.starts_with("lighter-init"), "{first}");
    });
}

#[test]
fn files_left_by_one_run_are_there_in_the_next() {
    conformance::run(setup, async |f: Arc<Fixture>| {
        let container = f.container(&["sh", "-c", "test -e /kept && exit 5; echo x > /kept"]);
        f.engine.create(&container).await.expect("create");
        for code in [0, 5] {
            f.engine.start(&container).await.expect("start");
            assert_eq!(f.engine.wait(&container.id).await.expect("wait").code, code);
            f.engine.cleanup(&container.id).await.expect("cleanup");
        }
        assert!(f.engine.size_rw(&container.id).await.expect("size").is_some_and(|n| n > 0));
    });
}

#[test]
fn the_bridge_has_an_address_and_a_gateway() {
    conformance::run(on_the_bridge, async |f: Arc<Fixture>| {
        let bridge = f.engine.networks().expect("networks").list().await.expect("list").remove(0);
        let gateway = bridge.ipam.pools[0].gateway.expect("a gateway");
        let container = f.container(&[
            "sh",
            "-c",
            &format!("ping -c1 -w5 {gateway} > /dev/null && ip addr show eth0; cat /etc/hosts; sleep 3600"),
        ]);
        f.engine.create(&container).await.expect("create");
        let options = AttachOptions { stdin: false, stdout: true, stderr: true };
        let mut session = f.engine.attach().expect("attach").attach(&container, options).await.expect("attach");
        let started = f.engine.start(&container).await.expect("start");
        let status = &started.placement.networks["bridge"];
        assert_eq!(status.network_id, bridge.id);
        let ip = status.ip.expect("an address").to_string();
        let mut text = String::new();
        while text.matches(&ip).count() < 2 {
            let mut piece = [0; 1024];
            let n = session.output.read(&mut piece).await.expect("read");
            assert!(n > 0, "it ended: {text}");
            text.push_str(&String::from_utf8_lossy(&piece[..n]));
        }
        f.engine.signal(&container.id, lighter_domain::Signal::KILL).await.expect("kill");
        f.engine.wait(&container.id).await.expect("wait");
    });
}
