//! Mirrors of the portable configuration (`Config`).

use super::{mirror, nested};
use lighter_domain::config::{ContainerConfig, HealthConfig};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

mirror! {
    ContainerConfig => ContainerConfigDef,
    HealthConfig => HealthConfigDef,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ContainerConfig", rename_all = "camelCase", default = "Default::default")]
struct ContainerConfigDef {
    hostname: String,
    domainname: String,
    user: String,
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    exposed_ports: BTreeSet<String>,
    tty: bool,
    open_stdin: bool,
    stdin_once: bool,
    env: Vec<String>,
    cmd: Option<Vec<String>>,
    #[serde(with = "nested")]
    healthcheck: Option<HealthConfig>,
    args_escaped: bool,
    image: String,
    volumes: BTreeSet<String>,
    working_dir: String,
    entrypoint: Option<Vec<String>>,
    network_disabled: bool,
    mac_address: Option<String>,
    on_build: Option<Vec<String>>,
    labels: BTreeMap<String, String>,
    stop_signal: Option<String>,
    stop_timeout: Option<i64>,
    shell: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "HealthConfig", rename_all = "camelCase", default = "Default::default")]
struct HealthConfigDef {
    test: Vec<String>,
    interval: i64,
    timeout: i64,
    retries: i64,
    start_period: i64,
    start_interval: i64,
}
