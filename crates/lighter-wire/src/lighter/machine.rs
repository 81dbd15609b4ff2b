//! Ports, findings of a look at the machine, the state of the database.

use serde::{Deserialize, Serialize};

/// A port of the host, and the container that has it or is to have it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// Empty: all addresses.
    pub host_ip: String,
    /// Null: one that is chosen at the start.
    pub host_port: Option<u16>,
    pub protocol: String,
    pub container_port: u16,
    pub container: String,
    /// 64 hexadecimal digits.
    pub container_id: String,
    pub stack: Option<String>,
    pub state: PortState,
    /// Who has a port that is taken; empty otherwise.
    pub holder: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortState {
    Held,
    Wanted,
    Taken,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Findings {
    pub items: Vec<Finding>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finding {
    pub subject: String,
    /// `good`, `note`, `warning`, `problem`.
    pub verdict: String,
    pub found: String,
    /// Empty where nothing is to be done.
    pub advice: String,
}

/// What is wrong with the database.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Check {
    pub sound: bool,
    pub faults: Vec<String>,
}

/// What was made to look at.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct SampleData {
    pub containers: u32,
    pub images: u32,
    pub volumes: u32,
    pub networks: u32,
    pub stacks: u32,
}
