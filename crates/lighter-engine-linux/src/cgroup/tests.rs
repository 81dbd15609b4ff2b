use super::limits::Limits;
use super::*;
use lighter_domain::host_config::HostConfig;

const MOUNTS: &str = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,relatime,cpu,cpuacct 0 0\n\
cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0\n\
cgroup /elsewhere/memory cgroup rw,memory 0 0\n\
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";

#[test]
fn hierarchies_are_found() {
    let all = hierarchies(MOUNTS);
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].name.as_str(), all[0].controllers.as_slice()), ("cpu,cpuacct", &["cpu".to_owned(), "cpuacct".into()][..]));
    assert_eq!(all[1].controllers, ["name=systemd"]);
    assert!(!unified_root(MOUNTS));
    assert!(unified_root("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0"));
}

fn host() -> HostConfig {
    HostConfig {
        memory: 64 << 20,
        nano_cpus: 1_500_000_000,
        pids_limit: Some(20),
        cpu_shares: 1024,
        privileged: true,
        ..HostConfig::default()
    }
}

fn pairs(settings: Vec<Setting>) -> Vec<(String, String)> {
    settings.into_iter().map(|s| (s.file.to_owned(), s.value)).collect()
}

#[test]
fn version_1_values() {
    let got = pairs(v1::settings(&Limits::of(&host(), &[]).unwrap()));
    let want = [
        ("memory.limit_in_bytes", "67108864"),
        ("cpu.shares", "1024"),
        ("cpu.cfs_period_us", "100000"),
        ("cpu.cfs_quota_us", "150000"),
        ("pids.max", "20"),
        ("memory.memsw.limit_in_bytes", "134217728"),
    ];
    assert_eq!(got, want.map(|(a, b)| (a.to_owned(), b.to_owned())));
    let confined = Limits::of(&HostConfig::default(), &[]).unwrap();
    let got = pairs(v1::settings(&confined));
    assert_eq!(got[0], ("devices.deny".to_owned(), "a".to_owned()));
    assert_eq!(got.len(), 1 + limits::DEVICE_RULES.len());
}

#[test]
fn version_2_values() {
    let got = pairs(v2::settings(&Limits::of(&host(), &[]).unwrap()));
    let want = [
        ("memory.max", "67108864"),
        ("cpu.weight", "39"),
        ("cpu.max", "150000 100000"),
        ("pids.max", "20"),
        ("memory.swap.max", "67108864"),
    ];
    assert_eq!(got, want.map(|(a, b)| (a.to_owned(), b.to_owned())));
    let unlimited = HostConfig { memory_swap: -1, memory: 1 << 30, ..HostConfig::default() };
    assert!(pairs(v2::settings(&Limits::of(&unlimited, &[]).unwrap())).contains(&("memory.swap.max".into(), "max".into())));
}

/// On this machine's real hierarchies, under a parent of the test's own.
#[test]
fn groups_are_made_limited_frozen_and_removed() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let parent = format!("lighter-test-{}", std::process::id());
    let cgroups = Cgroups::detect(&parent).unwrap();
    let container = crate::testing::container();
    let limits = Limits::of(&HostConfig { memory: 64 << 20, pids_limit: Some(7), ..HostConfig::default() }, &[]).unwrap();
    let groups = cgroups.create(&container, &limits).unwrap();
    assert_eq!(cgroups.leftovers(), [container.id.as_str()]);
    let value = |file: &str| {
        let mut dirs = groups.v1.iter().chain(&groups.v2);
        dirs.find_map(|d| std::fs::read_to_string(d.join(file)).ok()).map(|s| s.trim().to_owned())
    };
    assert_eq!(value("pids.max").as_deref(), Some("7"));
    if !cgroups.is_v2() {
        assert_eq!(value("memory.limit_in_bytes").as_deref(), Some("67108864"));
        assert!(!value("cpuset.cpus").unwrap().is_empty());
        assert!(value("devices.list").unwrap().contains("c 1:3 rwm"));
    }
    let mut child = std::process::Command::new("/bin/sleep").arg("100").spawn().unwrap();
    for dir in groups.v1.iter().chain(&groups.v2) {
        write(&dir.join("cgroup.procs"), &child.id().to_string()).unwrap();
    }
    Cgroups::freeze(&groups, true).unwrap();
    assert!(Cgroups::is_frozen(&groups));
    Cgroups::freeze(&groups, false).unwrap();
    assert!(!Cgroups::is_frozen(&groups));
    Cgroups::freeze(&groups, true).unwrap();
    let waiter = std::thread::spawn(move || child.wait().unwrap());
    Cgroups::destroy(&groups).unwrap();
    assert!(!waiter.join().unwrap().success());
    assert!(cgroups.leftovers().is_empty());
    let parents = cgroups.under_parent("x");
    for dir in parents.v1.iter().chain(&parents.v2) {
        std::fs::remove_dir(dir.parent().unwrap()).unwrap();
    }
}
