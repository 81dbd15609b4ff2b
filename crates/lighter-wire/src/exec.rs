//! `ContainerExec`, `ExecStart`, `ExecInspect`.

use crate::decode::{StrSlice, go_struct};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

go_struct! {
    /// The body of `ContainerExec`.
    pub struct ExecCreate as "container.ExecOptions" {
        "User" user: String,
        "Privileged" privileged: bool,
        "Tty" tty: bool,
        "ConsoleSize" console_size: Option<[u32; 2]>,
        "AttachStdin" attach_stdin: bool,
        "AttachStderr" attach_stderr: bool,
        "AttachStdout" attach_stdout: bool,
        "DetachKeys" detach_keys: String,
        "Env" env: Option<Vec<String>>,
        "WorkingDir" working_dir: String,
        "Cmd" cmd: StrSlice,
    }
}
go_struct! {
    /// The body of `ExecStart`.
    pub struct ExecStart as "container.ExecStartOptions" {
        "Detach" detach: bool,
        "Tty" tty: bool,
        "ConsoleSize" console_size: Option<[u32; 2]>,
    }
}

/// `IDResponse`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Id {
    pub id: String,
}

/// `ExecInspect`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExecInspect {
    #[serde(rename = "ID")]
    pub id: String,
    pub running: bool,
    /// Null until it has ended.
    pub exit_code: Option<i32>,
    pub process_config: ProcessConfig,
    pub open_stdin: bool,
    pub open_stderr: bool,
    pub open_stdout: bool,
    pub can_remove: bool,
    #[serde(rename = "ContainerID")]
    pub container_id: String,
    /// What a terminal sends for them.
    #[serde(serialize_with = "base64")]
    pub detach_keys: Vec<u8>,
    pub pid: u32,
}

/// Go's form of bytes.
fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

#[derive(Debug, Serialize)]
pub struct ProcessConfig {
    pub tty: bool,
    pub entrypoint: String,
    pub arguments: Vec<String>,
    pub privileged: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
}
