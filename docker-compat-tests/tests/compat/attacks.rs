//! Images and containers that want to reach the host while a container is made or an exec is started: hostile `/dev` and
//! `/proc`, leaked descriptors, the daemon's own programs.

use docker_compat_tests::Scope;
use docker_compat_tests::http::Client;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Kernel settings of the host's that attackers like.
const SETTINGS: [&str; 2] = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe"];

/// What of the host must be the same afterwards.
struct Host {
    dir: tempfile::TempDir,
    settings: Vec<String>,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("canary"), "untouched").unwrap();
        Self { dir, settings: Self::settings() }
    }
    fn settings() -> Vec<String> {
        SETTINGS.iter().map(|path| fs::read_to_string(path).unwrap_or_default()).collect()
    }
    fn path(&self) -> String {
        self.dir.path().display().to_string()
    }
    #[track_caller]
    fn unharmed(&self, what: &str) {
        assert_eq!(Self::settings(), self.settings, "{what}");
        let names: Vec<_> = fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["canary"], "{what}: something was made on the host");
        assert_eq!(fs::read_to_string(self.dir.path().join("canary")).unwrap(), "untouched", "{what}");
    }
}

/// An image like busybox, but with links in place of what the container needs. Removed when dropped.
struct Hostile<'t>(&'t Scope, String);

impl<'t> Hostile<'t> {
    fn new(t: &'t Scope, name: &str, links: &[(&str, &str)]) -> Self {
        let id = t.docker(&["create", "busybox", "true"]).ok().to_owned();
        let base = t.daemon.http("GET", &format!("/containers/{id}/export"), None).body;
        let mut builder = tar::Builder::new(Vec::new());
        let mut from = tar::Archive::new(base.as_slice());
        for entry in from.entries().unwrap() {
            let entry = entry.unwrap();
            let path = entry.path().unwrap().into_owned();
            if !links.iter().any(|(at, _)| path.starts_with(at)) {
                builder.append(&entry.header().clone(), entry).unwrap();
            }
        }
        for (at, to) in links {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            header.set_mode(0o777);
            builder.append_link(&mut header, at, to).unwrap();
        }
        let image = t.name(name);
        t.docker_with_input(&["import", "-", &image], &builder.into_inner().unwrap()).ok();
        Self(t, image)
    }
}

impl Drop for Hostile<'_> {
    fn drop(&mut self) {
        self.0.daemon.docker(&["rmi", "-f", &self.1]);
    }
}

#[test]
fn an_image_with_links_for_system_directories_reaches_nothing() {
    let t = Scope::new();
    let host = Host::new();
    let path = host.path();
    let outside = format!("/../../../../../..{path}");
    for (name, links) in [
        ("dev", vec![("dev", path.as_str())]),
        ("devup", vec![("dev", outside.as_str())]),
        ("devproc", vec![("dev", "/proc/sys/kernel")]),
        ("proc", vec![("proc", path.as_str())]),
        ("procsys", vec![("proc", "/sys")]),
        ("sys", vec![("sys", "/proc")]),
        ("etc", vec![("etc", path.as_str())]),
        ("files", vec![("etc/hosts", "/proc/sys/kernel/core_pattern"), ("etc/hostname", outside.as_str())]),
    ] {
        let image = Hostile::new(&t, name, &links);
        let script = "grep -c . /proc/mounts; head -c1 /proc/kcore 2>/dev/null | wc -c; (echo evil > /proc/sys/kernel/core_pattern) 2>&1; \
                      ls /dev | wc -l";
        for flags in [&["run", "--rm", "--network", "none"][..], &["run", "--rm", "-t", "--network", "none"]] {
            let out = t.docker(&[flags, &[&image.1, "/bin/sh", "-c", script]].concat());
            host.unharmed(name);
            // Refused, or confined with its masks in place.
            let words: Vec<&str> = out.stdout.split_whitespace().collect();
            if out.code == 0 && !words.is_empty() && words[0] != "0" {
                assert_eq!(words[1], "0", "{name}: /proc/kcore can be read: {}", out.stdout);
            }
        }
    }
}

#[test]
fn a_dev_of_the_users_own_redirects_no_mask_and_no_terminal() {
    let t = Scope::new();
    let host = Host::new();
    // A mask is a bind of the container's /dev/null; a terminal is one on its /dev/console.
    for target in ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys"] {
        for file in ["null", "console", "pts", "ptmx", "shm"] {
            let dev = tempfile::tempdir().unwrap();
            symlink(target, dev.path().join(file)).unwrap();
            let bind = format!("{}:/dev", dev.path().display());
            let script = "(echo evil > /proc/sys/kernel/core_pattern) 2>&1; head -c1 /proc/kcore 2>/dev/null | wc -c";
            for tty in [false, true] {
                let mut args = vec!["run", "--rm", "--network", "none", "-v", &bind];
                args.extend(tty.then_some("-t"));
                args.extend(["busybox", "sh", "-c", script]);
                let out = t.docker(&args);
                host.unharmed(&format!("{file} -> {target}"));
                if out.code == 0 {
                    assert!(out.stdout.trim_end().ends_with('0'), "{file} -> {target}: unmasked: {}", out.stdout);
                }
            }
        }
    }
}

#[test]
fn a_mount_point_that_changes_under_our_feet_leads_nowhere() {
    let t = Scope::new();
    let host = Host::new();
    let shared = tempfile::tempdir().unwrap();
    let at = shared.path().join("at");
    fs::create_dir_all(at.join("point")).unwrap();
    symlink(format!("/../../../../..{}", host.path()), shared.path().join("link")).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        // In turn a directory and a link to the host's, as a peer with the same volume could make it.
        scope.spawn(|| {
            let link = shared.path().join("link");
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let swap = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, &at, rustix::fs::CWD, &link, swap).unwrap();
            }
        });
        let bind = format!("{}:/work", shared.path().display());
        for _ in 0..20 {
            let args = ["run", "--rm", "--network", "none", "-v", &bind, "--tmpfs", "/work/at/point", "busybox", "sh", "-c"];
            t.docker(&[&args[..], &["echo x > /work/at/point/file"]].concat());
            host.unharmed("a raced mount point");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&host.path()), "a mount was left on the host");
}

#[test]
fn no_descriptor_of_the_host_is_a_working_directory() {
    let t = Scope::new();
    let running = t.sleeper(&[]);
    let mut client = Client::connect(&t.daemon.socket).unwrap();
    let mut post = |path: &str, body: &str| {
        let answer = client.request("POST", path, &[], Some(body.as_bytes())).unwrap();
        (answer.status, answer.text())
    };
    for number in 0..64 {
        for dir in [format!("/proc/self/fd/{number}"), format!("/proc/self/fd/{number}/../../..")] {
            let body = format!(
                r#"{{"Image":"busybox","Cmd":["ls","-a","."],"WorkingDir":"{dir}","Labels":{{"lighter.compat":"{}"}},"HostConfig":{{"NetworkMode":"none"}}}}"#,
                t.mark
            );
            let (status, text) = post("/containers/create", &body);
            if status != 201 {
                continue;
            }
            let id = serde_json::from_str::<serde_json::Value>(&text).unwrap()["Id"].as_str().unwrap().to_owned();
            let (status, text) = post(&format!("/containers/{id}/start"), "");
            // `..` is resolved by name, long before there is a descriptor: that one may be inside.
            assert!(status >= 400 || dir.ends_with(".."), "{dir}: {status} {text}");
            if status < 400 {
                post(&format!("/containers/{id}/wait"), "");
                let seen = t.docker(&["logs", &id]).stdout;
                assert!(!seen.contains("vmlinuz") && !seen.contains("libcontainer"), "{dir}: {seen}");
            }
        }
        let out = t.docker(&["exec", "-w", &format!("/proc/self/fd/{number}"), &running, "ls", "-a", "."]);
        assert!(out.code == 126 || out.code == 127, "{number}: {} {} {}", out.code, out.stdout, out.stderr);
    }
    for census in
        [t.sh(&[], "ls /proc/1/fd; true"), t.docker(&["exec", &running, "sh", "-c", "ls /proc/$$/fd; true"]).ok().to_owned()]
    {
        // The shell keeps a copy of its script's input at 10 in some builds, never a descriptor of ours.
        let numbers: Vec<&str> = census.split_whitespace().filter(|n| *n != "10").collect();
        assert_eq!(numbers, ["0", "1", "2"], "{census}");
    }
}

/// The programs of the daemon that we test.
fn programs() -> Vec<PathBuf> {
    let named = ["LIGHTERD", "LIGHTER_SUPERVISOR", "LIGHTER_INIT"];
    named.iter().filter_map(std::env::var_os).map(PathBuf::from).collect()
}

fn sums(files: &[PathBuf]) -> Vec<u64> {
    let sum = |file: &PathBuf| {
        let mut hasher = DefaultHasher::new();
        fs::read(file).unwrap().hash(&mut hasher);
        hasher.finish()
    };
    files.iter().map(sum).collect()
}

/// The supervisor of a running container: the parent of its first process.
fn supervisor(t: &Scope, id: &str) -> i64 {
    let pid = t.inspect(id)["State"]["Pid"].as_i64().unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|l| l.strip_prefix("PPid:")).unwrap().trim().parse().unwrap()
}

#[test]
fn the_programs_that_make_containers_cannot_be_written() {
    let t = Scope::new();
    if !t.daemon.is_lighter("it has no supervisor") {
        return;
    }
    let files = programs();
    let before = sums(&files);
    // A script whose interpreter is whatever starts it, while others of the container reach for that program.
    let id = t.sleeper(&[]);
    t.docker(&["exec", &id, "sh", "-c", "printf '#!/proc/self/exe\\n' > /script; chmod +x /script"]).ok();
    let greedy = "for i in $(seq 400); do for p in /proc/[0-9]*; do (echo evil >> $p/exe) 2>/dev/null && echo $p $(cat $p/comm); done; done";
    let grabber = t.spawn(&["exec", &id, "sh", "-c", greedy]);
    for _ in 0..15 {
        let out = t.docker(&["exec", &id, "/script"]);
        assert_ne!(out.code, 0, "{}", out.stdout);
    }
    let taken = grabber.wait();
    assert!(!taken.stdout.contains("supervisor") && !taken.stdout.contains("lighter"), "{}", taken.stdout);
    let image = Hostile::new(&t, "exe", &[("entry", "/proc/self/exe")]);
    t.docker(&["run", "--rm", "--network", "none", &image.1, "/entry"]);
    assert_eq!(sums(&files), before);

    // Even one that may do everything and sees all processes writes nothing: the file is sealed.
    let attempt = format!(
        "(echo evil > /proc/{0}/exe) 2>&1; (echo evil >> /proc/{0}/exe) 2>&1; readlink /proc/{0}/exe",
        supervisor(&t, &id)
    );
    let said = t.sh(&["--privileged", "--pid", "host"], &attempt);
    assert!(said.contains("memfd:lighter-supervisor"), "{said}");
    assert_eq!(
        said.matches("ermission").count() + said.matches("busy").count() + said.matches("not permitted").count(),
        2,
        "{said}"
    );
    assert_eq!(sums(&files), before);
}

#[test]
fn the_init_program_cannot_be_written_from_a_container() {
    let t = Scope::new();
    if !t.daemon.is_lighter("its init is a file of another package") {
        return;
    }
    let files = programs();
    let before = sums(&files);
    for flags in [&["--init"][..], &["--init", "--cap-add", "ALL"], &["--init", "--read-only"]] {
        let said = t.sh(flags, "for f in /sbin/docker-init /proc/1/exe; do (echo evil >> $f) 2>&1 || echo kept; done");
        assert_eq!(said.matches("kept").count(), 2, "{flags:?}: {said}");
    }
    assert_eq!(sums(&files), before);
    assert!(Path::new(&files[0]).exists());
}
