use super::*;
use lighter_domain::ErrorKind;
use lighter_domain::container::{MountKind, MountPoint};
use lighter_domain::host_config::{DeviceRequest, HostConfig, LogConfig, PortBinding, Ulimit};

fn machine() -> Machine {
    Machine {
        cpus: 2,
        unified: false,
        available: CapSet::KNOWN,
        swap_limit: true,
        memory_limit: true,
        cpu: true,
        pids: true,
        init: true,
        io_weights: true,
        apparmor: crate::apparmor::AppArmor::Absent,
    }
}

fn with(change: impl FnOnce(&mut HostConfig)) -> Result<Review> {
    let mut container = crate::testing::container();
    change(&mut container.host_config);
    of(&container, &machine())
}

fn refusal(change: impl FnOnce(&mut HostConfig)) -> (ErrorKind, String) {
    let error = with(change).unwrap_err();
    (error.kind(), error.message().to_owned())
}

#[test]
fn a_plain_container_passes_without_a_word() {
    assert_eq!(with(|_| {}).unwrap(), Review::default());
}

#[test]
fn limits_are_refused_in_dockerds_words() {
    let invalid = |change: fn(&mut HostConfig)| {
        let (kind, text) = refusal(change);
        assert_eq!(kind, ErrorKind::InvalidArgument);
        text
    };
    assert_eq!(invalid(|h| h.memory = 1 << 20), "Minimum memory limit allowed is 6MB");
    assert_eq!(
        invalid(|h| (h.memory, h.memory_swap) = (64 << 20, 32 << 20)),
        "Minimum memoryswap limit should be larger than memory limit, see usage"
    );
    assert_eq!(
        invalid(|h| h.nano_cpus = 3_000_000_000),
        "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"
    );
    assert_eq!(
        invalid(|h| (h.nano_cpus, h.cpu_quota) = (1_000_000_000, 5000)),
        "Conflicting options: Nano CPUs and CPU Quota cannot both be set."
    );
    assert_eq!(invalid(|h| h.memory_swappiness = Some(101)), "Invalid value: 101, valid memory swappiness range is 0-100");
    assert_eq!(invalid(|h| h.cap_add = Some(vec!["FOO".into()])), "invalid CapAdd: unknown capability: \"CAP_FOO\"");
    assert_eq!(invalid(|h| h.ulimits = vec![Ulimit { name: "x".into(), soft: 1, hard: 1 }]), "invalid ulimit type: x");
    assert_eq!(
        invalid(|h| h.log_config = LogConfig { driver: "x".into(), options: Default::default() }),
        "error looking up logging plugin x: plugin \"x\" not found"
    );
    assert_eq!(invalid(|h| h.cpuset_cpus = "1-x".into()), "Invalid value 1-x for cpuset cpus");
    let changes: [fn(&mut HostConfig) -> Option<String>; 3] = [
        |h| h.sysctls.insert("kernel.panic".into(), "1".into()),
        |h| h.storage_opt.insert("size".into(), "1g".into()),
        |h| h.tmpfs.insert("/x".into(), "bogus".into()),
    ];
    for change in changes {
        assert_eq!(refusal(|h| drop(change(h))).0, ErrorKind::InvalidArgument);
    }
    let fields: [fn(&mut HostConfig) -> &mut String; 4] =
        [|h| &mut h.runtime, |h| &mut h.isolation, |h| &mut h.userns_mode, |h| &mut h.uts_mode];
    for field in fields {
        assert_eq!(refusal(|h| *field(h) = "odd".into()).0, ErrorKind::InvalidArgument);
    }
    assert_eq!(refusal(|h| h.cgroup_parent = "/a/../../b".into()).0, ErrorKind::InvalidArgument);
}

#[test]
fn what_comes_later_is_a_501() {
    assert_eq!(refusal(|h| h.links = vec!["a:b".into()]).0, ErrorKind::NotImplemented);
}

#[test]
fn ports_are_published_where_there_is_a_network() {
    let publish = |mode: &str, port: &str| {
        let binding = PortBinding { host_ip: String::new(), host_port: port.into() };
        let mode = mode.to_owned();
        with(move |h| {
            h.network_mode = mode;
            h.port_bindings.insert("80/tcp".into(), vec![binding]);
        })
    };
    for mode in ["bridge", "mynet"] {
        assert_eq!(publish(mode, "8080").unwrap(), Review::default(), "{mode}");
    }
    assert!(publish("bridge", "eighty").is_err());
    assert_eq!(publish("none", "80").unwrap().unsupported, ["HostConfig.PortBindings"]);
}

#[test]
fn gpus_are_refused_as_without_a_driver() {
    let gpu = DeviceRequest { count: -1, capabilities: vec![vec!["gpu".into()]], ..DeviceRequest::default() };
    let (kind, text) = refusal(|h| h.device_requests = vec![gpu]);
    assert_eq!(
        (kind, text.as_str()),
        (ErrorKind::NotImplemented, "could not select device driver \"\" with capabilities: [[gpu]]")
    );
}

#[test]
fn what_is_left_out_is_said() {
    let mut container = crate::testing::container();
    container.host_config.kernel_memory = 1 << 30;
    container.host_config.cpu_count = 1;
    let review = of(&container, &machine()).unwrap();
    assert_eq!(review.unsupported, ["HostConfig.CpuCount"]);
    assert_eq!(review.warnings.len(), 1);
}

#[test]
fn a_missing_bind_source_is_refused_unless_it_may_be_made() {
    let point = |create_source| MountPoint {
        kind: MountKind::Bind,
        name: String::new(),
        source: "/nosuch/dir".into(),
        destination: "/x".into(),
        driver: String::new(),
        mode: String::new(),
        rw: true,
        propagation: "rprivate".into(),
        create_source,
        recursive: true,
        subpath: String::new(),
        image_id: String::new(),
        copy_up: false,
        anonymous: false,
    };
    let mut container = crate::testing::container();
    container.mounts = vec![point(false)];
    let text = "invalid mount config for type \"bind\": bind source path does not exist: /nosuch/dir";
    assert_eq!(of(&container, &machine()).unwrap_err().message(), text);
    container.mounts = vec![point(true)];
    of(&container, &machine()).unwrap();
}
