//! A container to test with.

use lighter_domain::{Container, ContainerConfig, ContainerId, ContainerState, HostConfig};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// `/bin/true` of an image that is not there, network none.
pub(crate) fn container() -> Container {
    Container {
        uuid: uuid(),
        id: ContainerId::generate(),
        name: "test".into(),
        created_at: OffsetDateTime::UNIX_EPOCH,
        updated_at: OffsetDateTime::UNIX_EPOCH,
        image_id: format!("sha256:{}", "0".repeat(64)),
        path: "/bin/true".into(),
        args: Vec::new(),
        config: ContainerConfig::default(),
        host_config: HostConfig { network_mode: "none".into(), ..HostConfig::default() },
        endpoints: BTreeMap::new(),
        networks: BTreeMap::new(),
        ports: BTreeMap::new(),
        mounts: Vec::new(),
        state: ContainerState::Created,
        started_at: None,
        exit: None,
        health: None,
        error: String::new(),
        restart_count: 0,
        manually_stopped: false,
        platform: "linux/amd64".into(),
        api_version: "1.47".into(),
        unsupported_flags: Vec::new(),
    }
}

fn uuid() -> uuid::Uuid {
    uuid::Uuid::nil()
}
