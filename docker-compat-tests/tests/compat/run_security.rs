//! `docker run`: what the process may do and see.

use docker_compat_tests::Scope;

fn status_line(t: &Scope, flags: &[&str], key: &str) -> String {
    t.sh(flags, &format!("awk '/^{key}:/{{print $2}}' /proc/self/status"))
}

#[test]
fn default_capabilities() {
    let t = Scope::new();
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(status_line(&t, &[], set), "00000000a80425fb", "{set}");
    }
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(status_line(&t, &[], set), "0000000000000000", "{set}");
    }
}

#[test]
fn capabilities_added_and_dropped() {
    let t = Scope::new();
    assert_eq!(status_line(&t, &["--cap-drop", "ALL"], "CapEff"), "0000000000000000");
    assert_eq!(status_line(&t, &["--cap-drop", "all", "--cap-add", "NET_RAW"], "CapEff"), "0000000000002000");
    assert_eq!(status_line(&t, &["--cap-add", "CAP_SYS_ADMIN"], "CapEff"), "00000000a82425fb");
    assert_eq!(status_line(&t, &["--cap-add", "sys_time", "--cap-drop", "chown"], "CapEff"), "00000000aa0425fa");
    let all = status_line(&t, &["--cap-add", "ALL", "--security-opt", "seccomp=unconfined"], "CapEff");
    let host = std::fs::read_to_string("/proc/self/status").unwrap();
    let bound = host.lines().find_map(|l| l.strip_prefix("CapBnd:\t")).unwrap();
    assert_eq!(all, bound);
    let out = t.docker(&["create", "--cap-add", "NONSENSE", "busybox"]);
    let text = out.fails(1);
    assert!(text.contains("invalid CapAdd: unknown capability: \"CAP_NONSENSE\""), "{text}");
}

#[test]
fn a_user_keeps_the_bounding_set_only() {
    let t = Scope::new();
    assert_eq!(status_line(&t, &["-u", "app"], "CapEff"), "0000000000000000");
    assert_eq!(status_line(&t, &["-u", "app"], "CapBnd"), "00000000a80425fb");
}

#[test]
fn seccomp_and_no_new_privileges() {
    let t = Scope::new();
    assert_eq!(status_line(&t, &[], "Seccomp"), "2");
    assert_eq!(status_line(&t, &["--security-opt", "seccomp=unconfined"], "Seccomp"), "0");
    assert_eq!(status_line(&t, &[], "NoNewPrivs"), "0");
    assert_eq!(status_line(&t, &["--security-opt", "no-new-privileges"], "NoNewPrivs"), "1");
    assert_eq!(status_line(&t, &["--security-opt", "no-new-privileges", "-u", "app"], "Seccomp"), "2");
    // The profile bites: unshare needs CAP_SYS_ADMIN.
    assert!(t.sh(&[], "unshare -U true 2>&1; true").contains("not permitted"));
    assert!(t.sh(&[], "mount -t tmpfs none /tmp 2>&1; true").contains("permission denied"));
}

#[test]
fn privileged() {
    let t = Scope::new();
    assert_eq!(status_line(&t, &["--privileged"], "Seccomp"), "0");
    let caps = status_line(&t, &["--privileged"], "CapEff");
    let host = std::fs::read_to_string("/proc/self/status").unwrap();
    assert_eq!(Some(caps.as_str()), host.lines().find_map(|l| l.strip_prefix("CapBnd:\t")));
    t.sh(&["--privileged"], "mount -t tmpfs none /mnt 2>/dev/null || { mkdir -p /mnt && mount -t tmpfs none /mnt; }");
    assert_eq!(t.sh(&["--privileged"], "grep ' /sys ' /proc/mounts | cut -d' ' -f4 | cut -d, -f1"), "rw");
    assert_eq!(t.sh(&["--privileged"], "grep -c ' /proc/kcore ' /proc/mounts; true"), "0", "nothing is masked");
    let devices = t.sh(&["--privileged"], "ls /dev | wc -l");
    assert!(devices.trim().parse::<u32>().unwrap() > 15, "the host's devices are there: {devices}");
}

#[test]
fn masked_and_read_only_paths() {
    let t = Scope::new();
    let out = t.sh(&[], "for p in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug; do [ -e $p ] && wc -c <$p; done; ls -A /proc/acpi /proc/scsi /sys/firmware 2>/dev/null | grep -v : | wc -w; true");
    assert!(out.lines().all(|l| l.trim() == "0"), "masked paths are empty: {out}");
    for path in ["/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/irq/x", "/proc/bus/x", "/sys/x"] {
        let out = t.sh(&[], &format!("(echo x >{path}) 2>&1; true"));
        assert!(
            ["Read-only", "ermission denied", "nonexistent", "No such file"].iter().any(|m| out.contains(m)),
            "{path}: {out}"
        );
    }
    assert_eq!(t.sh(&[], "grep -E '^proc /proc/sys proc' /proc/mounts | cut -d' ' -f4 | cut -d, -f1"), "ro");
    assert_eq!(t.sh(&[], "grep ' /sys ' /proc/mounts | cut -d' ' -f4 | cut -d, -f1"), "ro");
}

#[test]
fn device_nodes_as_docker_makes_them() {
    let t = Scope::new();
    let out = t.sh(&[], "cd /dev; for d in null zero full random urandom tty; do stat -c '%n %t:%T %a %F' $d; done; ls -1 | sort | tr '\\n' ' '; for l in fd stdin stdout stderr ptmx; do readlink $l; done | tr '\\n' ' '; stat -c %a shm mqueue pts | tr '\\n' ' '");
    for line in ["null 1:3 666", "zero 1:5 666", "full 1:7 666", "random 1:8 666", "urandom 1:9 666", "tty 5:0 666"] {
        assert!(out.contains(line), "{line} in {out}");
    }
    assert!(out.contains("fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"), "{out}");
    assert!(out.contains("/proc/self/fd /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 pts/ptmx"), "{out}");
    assert!(out.contains("1777 1777"), "{out}");
    let out = t.sh(&["-t"], "stat -c %F /dev/console; stat -c '%t:%T' /dev/console");
    assert!(out.contains("character special file"), "a terminal gives /dev/console: {out}");
}

#[test]
fn an_unlisted_device_cannot_be_opened() {
    let t = Scope::new();
    let out = t.sh(&[], "mknod /tmp/kmsg c 1 11 && cat /tmp/kmsg 2>&1 | head -c 200; true");
    assert!(out.contains("not permitted"), "{out}");
}

#[test]
fn a_device_given_by_flag() {
    let t = Scope::new();
    assert_eq!(t.sh(&["--device", "/dev/null:/dev/mine:rw"], "stat -c '%t:%T' /dev/mine && echo x >/dev/mine"), "1:3");
    let out = t.docker(&["run", "--rm", "--network", "none", "--device", "/dev/no-such-device", "busybox", "true"]);
    // 127 because the CLI finds "no such file or directory" in the text.
    let text = out.fails(127);
    assert!(
        text.contains(
            "error gathering device information while adding custom device \"/dev/no-such-device\": no such file or directory"
        ),
        "{text}"
    );
}

#[test]
fn read_only_root() {
    let t = Scope::new();
    let out = t.sh(
        &["--read-only", "--tmpfs", "/scratch"],
        "(touch /x) 2>&1; touch /scratch/y && echo ok; touch /dev/shm/z && echo shm",
    );
    assert!(out.contains("Read-only file system") && out.ends_with("ok\nshm"), "{out}");
    assert!(t.sh(&["--read-only"], "(echo x >>/etc/hosts) 2>&1; true").contains("Read-only file system"));
    assert_eq!(t.sh(&[], "echo x >>/etc/hosts && echo writable"), "writable");
}

#[test]
fn namespaces_are_the_containers_own() {
    let t = Scope::new();
    for namespace in ["pid", "net", "ipc", "uts", "mnt"] {
        let inside = t.sh(&[], &format!("readlink /proc/self/ns/{namespace}"));
        let ours = std::fs::read_link(format!("/proc/self/ns/{namespace}")).unwrap();
        assert_ne!(inside, ours.display().to_string(), "{namespace}");
    }
    assert_eq!(t.sh(&[], "echo $$"), "1");
    let shown = t.sh(&["--pid", "host"], "readlink /proc/self/ns/pid");
    assert_eq!(shown, std::fs::read_link("/proc/self/ns/pid").unwrap().display().to_string());
    let shown = t.sh(&["--ipc", "host", "--uts", "host"], "readlink /proc/self/ns/ipc; readlink /proc/self/ns/uts");
    let ours = ["ipc", "uts"].map(|n| std::fs::read_link(format!("/proc/self/ns/{n}")).unwrap().display().to_string());
    assert_eq!(shown, ours.join("\n"));
}

#[test]
fn init_reaps_and_forwards() {
    let t = Scope::new();
    let first = t.sh(&["--init"], "tr '\\0' ' ' </proc/1/cmdline; echo; echo $$");
    let mut lines = first.lines();
    assert!(lines.next().unwrap().contains("init"), "{first}");
    assert_ne!(lines.next(), Some("1"), "the program is not pid 1");
    t.docker(&["run", "--rm", "--init", "--network", "none", "busybox", "sh", "-c", "exit 5"]).fails(5);
    // Orphans do not stay as zombies.
    let id = t.docker(&["run", "-d", "--init", "--network", "none", "busybox", "sh", "-c", "sleep 1000"]).ok().to_owned();
    t.docker(&["exec", &id, "sh", "-c", "(sh -c 'true' &) ; true"]).ok();
    docker_compat_tests::eventually("no zombie is left", || {
        let zombies = t.docker(&["exec", &id, "sh", "-c", "grep -l 'State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l"]);
        (zombies.ok().trim() == "0").then_some(())
    });
}

#[test]
fn unknown_security_option_is_refused() {
    let t = Scope::new();
    let out = t.docker(&["create", "--security-opt", "nonsense=1", "busybox"]);
    let text = out.fails(1);
    assert!(text.contains("invalid --security-opt 2: \"nonsense=1\"") || text.contains("invalid --security-opt"), "{text}");
}

#[test]
fn a_seccomp_profile_of_the_user() {
    let t = Scope::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("profile.json");
    std::fs::write(
        &file,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":1}]}"#,
    )
    .unwrap();
    let flag = format!("seccomp={}", file.display());
    let out = t.sh(&["--security-opt", &flag], "mkdir /made 2>&1; true");
    assert!(out.contains("not permitted"), "{out}");
}
