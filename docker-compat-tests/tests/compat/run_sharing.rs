//! What containers can have in common: namespaces of processes and IPC, and mounts that propagate.

use docker_compat_tests::Scope;
use std::process::Command;

#[test]
fn a_process_namespace_of_another_container() {
    let t = Scope::new();
    let donor = t.sleeper(&["--name", &t.name("donor")]);
    let seen = t.sh(&["--pid", &format!("container:{}", t.name("donor"))], "cat /proc/1/cmdline | tr '\\0' ' '; echo; echo $$");
    let (first, own) = seen.split_once('\n').unwrap();
    assert!(first.contains("trap 'exit 0' TERM"), "{seen}");
    assert_ne!(own, "1");
    let made = t.docker(&["create", "--pid", &format!("container:{}", t.name("donor")), "busybox", "true"]).ok().to_owned();
    assert_eq!(t.inspect(&made)["HostConfig"]["PidMode"], format!("container:{donor}"));
    t.docker(&["rename", &t.name("donor"), &t.name("renamed")]).ok();
    t.docker(&["start", &made]).ok();
}

#[test]
fn processes_end_with_the_namespace_that_they_joined() {
    let t = Scope::new();
    let donor = t.sleeper(&[]);
    let guest = t.sleeper(&["--pid", &format!("container:{donor}")]);
    assert_eq!(t.docker(&["exec", &guest, "sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' ' | wc -w"]).ok().trim().len(), 2);
    t.docker(&["kill", &donor]).ok();
    assert_eq!(t.docker(&["wait", &guest]).ok(), "137");
    let again = t.docker(&["start", &guest]);
    let words = format!("failed to join PID namespace: container {donor} is not running");
    assert!(again.stderr.contains(&words), "{}", again.stderr);
}

#[test]
fn shared_memory_of_a_shareable_container() {
    let t = Scope::new();
    let donor = t.sleeper(&["--ipc", "shareable", "--shm-size", "2m"]);
    t.docker(&["exec", &donor, "sh", "-c", "echo from-donor > /dev/shm/note"]).ok();
    let guest = t.sleeper(&["--ipc", &format!("container:{donor}")]);
    assert_eq!(t.docker(&["exec", &guest, "cat", "/dev/shm/note"]).ok(), "from-donor");
    t.docker(&["exec", &guest, "sh", "-c", "echo from-guest > /dev/shm/answer"]).ok();
    assert_eq!(t.docker(&["exec", &donor, "cat", "/dev/shm/answer"]).ok(), "from-guest");
    let ns = |id: &str| t.docker(&["exec", id, "ls", "-l", "/proc/self/ns/ipc"]).ok().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(ns(&donor), ns(&guest));
    for id in [&donor, &guest] {
        let mount = t.docker(&["exec", id, "grep", " /dev/shm ", "/proc/self/mountinfo"]).ok().to_owned();
        assert!(mount.contains("nosuid,nodev,noexec") && mount.contains("size=2048k"), "{mount}");
    }
}

#[test]
fn joining_is_refused_where_there_is_nothing_to_join() {
    let t = Scope::new();
    let private = t.sleeper(&[]);
    let out = t.docker(&["run", "--ipc", &format!("container:{private}"), "busybox", "true"]);
    let words = format!(
        "failed to join IPC namespace: container {private}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
    );
    assert!(out.fails(125).contains(&words), "{}", out.stderr);
    let idle = t.docker(&["create", "--ipc", "shareable", "busybox", "true"]).ok().to_owned();
    let out = t.docker(&["run", "--ipc", &format!("container:{idle}"), "busybox", "true"]);
    let words = format!("failed to join IPC namespace: container {idle} is not running");
    assert!(out.fails(125).contains(&words), "{}", out.stderr);
    for flag in ["--ipc", "--pid"] {
        let out = t.docker(&["create", flag, "container:no-such-one", "busybox", "true"]);
        assert!(out.fails(1).contains("No such container: no-such-one"), "{}", out.stderr);
    }
}

/// A directory that is a shared mount of the machine, while this lives.
struct SharedMount(tempfile::TempDir);

impl SharedMount {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for args in [&["-t", "tmpfs", "none"][..], &["--make-shared"]] {
            assert!(Command::new("mount").args(args).arg(dir.path()).status().unwrap().success());
        }
        Self(dir)
    }
    fn path(&self) -> String {
        self.0.path().display().to_string()
    }
}

impl Drop for SharedMount {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-R", "-l"]).arg(self.0.path()).status();
    }
}

#[test]
fn mounts_made_in_a_shared_bind_reach_the_host() {
    let t = Scope::new();
    let shared = SharedMount::new();
    let bind = format!("{}:/mnt:shared", shared.path());
    let id = t.sleeper(&["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "-v", &bind]);
    t.docker(&["exec", &id, "sh", "-c", "mkdir /mnt/inner && mount -t tmpfs none /mnt/inner && echo x > /mnt/inner/file"]).ok();
    assert_eq!(std::fs::read_to_string(format!("{}/inner/file", shared.path())).unwrap(), "x\n");
    // And the other way.
    let outer = format!("{}/outer", shared.path());
    std::fs::create_dir(&outer).unwrap();
    assert!(Command::new("mount").args(["-t", "tmpfs", "none", &outer]).status().unwrap().success());
    std::fs::write(format!("{outer}/file"), "y\n").unwrap();
    assert_eq!(t.docker(&["exec", &id, "cat", "/mnt/outer/file"]).ok(), "y");
}

#[test]
fn mounts_of_the_host_reach_a_slave_bind_and_none_come_back() {
    let t = Scope::new();
    let shared = SharedMount::new();
    let bind = format!("{}:/mnt:rslave", shared.path());
    let id = t.sleeper(&["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "-v", &bind]);
    let outer = format!("{}/outer", shared.path());
    std::fs::create_dir(&outer).unwrap();
    assert!(Command::new("mount").args(["-t", "tmpfs", "none", &outer]).status().unwrap().success());
    std::fs::write(format!("{outer}/file"), "y\n").unwrap();
    assert_eq!(t.docker(&["exec", &id, "cat", "/mnt/outer/file"]).ok(), "y");
    t.docker(&["exec", &id, "sh", "-c", "mkdir /mnt/inner && mount -t tmpfs none /mnt/inner && echo x > /mnt/inner/file"]).ok();
    assert!(std::fs::read_to_string(format!("{}/inner/file", shared.path())).is_err());
}

#[test]
fn a_mount_that_is_not_shared_is_refused_for_sharing() {
    let t = Scope::new();
    let private = SharedMount::new();
    assert!(Command::new("mount").args(["--make-private"]).arg(private.path()).status().unwrap().success());
    for (mode, words) in [("shared", "a shared mount"), ("rslave", "a shared or slave mount")] {
        let path = private.path();
        let out = t.docker(&["run", "--rm", "-v", &format!("{path}:/mnt:{mode}"), "busybox", "true"]);
        assert!(out.stderr.contains(&format!("path {path} is mounted on {path} but it is not {words}")), "{}", out.stderr);
    }
}

#[test]
fn the_hosts_control_groups_can_be_bound() {
    let t = Scope::new();
    let top = |path: &str| {
        let mut names: Vec<String> =
            std::fs::read_dir(path).unwrap().flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    let host = top("/sys/fs/cgroup");
    for (flags, path) in [
        (vec!["-v", "/sys/fs/cgroup:/groups:ro"], "/groups"),
        (vec!["-v", "/sys:/host-sys:ro"], "/host-sys/fs/cgroup"),
        (vec!["-v", "/sys/fs/cgroup:/sys/fs/cgroup:ro"], "/sys/fs/cgroup"),
    ] {
        let seen = t.sh(&flags, &format!("ls -A {path}"));
        let mut seen: Vec<&str> = seen.split_whitespace().collect();
        seen.sort_unstable();
        assert_eq!(seen, host, "{flags:?}");
    }
    let first = &host[0];
    let count = t.sh(&["-v", "/sys/fs/cgroup:/groups:ro"], &format!("ls /groups/{first} | wc -l"));
    assert!(count.parse::<usize>().unwrap() > 1, "{first}: {count}");
}
