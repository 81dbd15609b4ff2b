//! What `docker exec` asks for.

/// One exec's process. What an engine needs to run it, and what `inspect` gives back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecConfig {
    pub user: String,
    pub privileged: bool,
    pub tty: bool,
    pub attach_stdin: bool,
    pub attach_stdout: bool,
    pub attach_stderr: bool,
    pub detach_keys: String,
    pub env: Vec<String>,
    pub cmd: Vec<String>,
    pub working_dir: String,
    /// Height, width.
    pub console_size: Option<(u32, u32)>,
}
