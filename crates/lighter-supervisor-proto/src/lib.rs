//! What the daemon says to a container's supervisor, and what it answers.
//!
//! The daemon starts `lighter-supervisor <launch file>` with two descriptors: the listening Unix socket ([`LISTENER_FD`],
//! bound by the daemon, so that attachments made before the start wait in its backlog), and one end of a pair of stream
//! sockets ([`DAEMON_FD`]). While the program is loaded, the daemon prepares the container. The [`Rootfs`] is sent first, as a
//! frame on the pair, to be mounted while the rest is made. Once the [`Launch`] is in its
//! file, one line follows on the pair, with the namespaces that are to be joined: one byte of [`joined`] for each
//! descriptor. The end of the pair instead means that nothing is to be started. The supervisor answers with the one
//! [`Ready`] line. Every later conversation is one connection to the socket: a [`Request`] frame, [`Reply`] frames, and
//! after `Attach` and attached `Exec` the raw streams.
//!
//! The two may be of different versions (the daemon is upgraded under running containers): fields are only ever added, with
//! `#[serde(default)]`.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Descriptor of the listening socket.
pub const LISTENER_FD: i32 = 3;
/// Descriptor of the socket on which the supervisor is told to go on, and that takes the [`Ready`] line.
pub const DAEMON_FD: i32 = 4;
/// The largest frame that either side accepts.
pub const MAX_FRAME: u32 = 4 << 20;

/// What a descriptor is that goes with the line on [`DAEMON_FD`].
pub mod joined {
    /// The network namespace, if [`super::Launch::netns`] says so.
    pub const NETWORK: u8 = b'n';
    /// Another container's IPC namespace, if [`super::Launch::joins_ipc`] says so.
    pub const IPC: u8 = b'i';
    /// Another container's process namespace, if [`super::Launch::joins_pid`] says so.
    pub const PROCESSES: u8 = b'p';
    /// The mount namespace of another supervisor, for [`super::Shm::Of`].
    pub const MOUNTS: u8 = b'm';
    /// So many there can be.
    pub const MOST: usize = 4;
}

/// Names of the files in a container's run directory ([`Launch::run_dir`]).
pub mod files {
    pub const LAUNCH: &str = "launch.json";
    /// The OCI runtime specification.
    pub const SPEC: &str = "config.json";
    pub const SOCKET: &str = "sock";
    /// [`super::Exited`], written atomically before the supervisor ends.
    pub const EXIT: &str = "exit.json";
    /// [`super::Ready`] as it was sent, for a daemon that comes later.
    pub const READY: &str = "ready.json";
    /// The supervisor's own messages.
    pub const LOG: &str = "supervisor.log";
    /// A file system in memory is mounted here, in the supervisor's own mount namespace: for what nobody else looks at.
    pub const SCRATCH: &str = "scratch";
    /// The overlay is mounted here, in [`SCRATCH`].
    pub const ROOTFS: &str = "scratch/rootfs";
    /// The images of [`super::Launch::images`] are mounted below it, in [`SCRATCH`].
    pub const IMAGES: &str = "scratch/images";
    /// `/dev/shm` of a container whose IPC namespace is shared, mounted in the supervisor's own mount namespace.
    pub const SHM: &str = "shm";
    /// Here, by their numbers, are the binds of [`super::Launch::binds`].
    pub const BINDS: &str = "binds";
}

/// Everything that the supervisor needs to make one container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Launch {
    pub id: String,
    /// `<exec-root>/containers/<id>`; holds the files of [`files`].
    pub run_dir: PathBuf,
    pub tty: bool,
    pub open_stdin: bool,
    pub stdin_once: bool,
    /// Rows, columns.
    pub console_size: Option<(u16, u16)>,
    /// `None`: nothing is kept (`--log-driver none`).
    pub log: Option<LogFile>,
    /// Directories of the container's own control groups, made and limited by the daemon.
    pub cgroups: Cgroups,
    /// A file with the compiled seccomp program (an array of `struct sock_filter`); `None`: unconfined.
    pub seccomp: Option<PathBuf>,
    /// Images that are mounts of the container, to be there before the parts.
    #[serde(default)]
    pub images: Vec<ImageMount>,
    /// Parts of volumes and images, to be opened once and bound to where the specification's mounts find them.
    #[serde(default)]
    pub pins: Vec<Pin>,
    /// Whether [`joined::NETWORK`] is there.
    pub netns: bool,
    /// On version 1, the container's process joins the group that counts processes at the last moment: the limit is smaller
    /// than what it takes to make a container.
    #[serde(default)]
    pub count_late: bool,
    #[serde(default)]
    pub oom_score_adj: Option<i32>,
    /// Whether [`joined::IPC`] is there.
    #[serde(default)]
    pub joins_ipc: bool,
    /// Whether [`joined::PROCESSES`] is there.
    #[serde(default)]
    pub joins_pid: bool,
    #[serde(default)]
    pub shm: Option<Shm>,
    #[serde(default)]
    pub binds: Vec<EarlyBind>,
    /// Where each record goes besides [`Launch::log`].
    #[serde(default)]
    pub log_to: Option<LogTo>,
}

/// A log of the machine's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogTo {
    Syslog {
        to: SyslogAddress,
        format: SyslogFormat,
        /// 0 to 23.
        facility: u8,
        tag: String,
    },
    /// With these fields in every record, besides message, priority and time.
    Journald { fields: BTreeMap<String, String> },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyslogAddress {
    /// Whatever socket this machine has.
    Local,
    /// A stream socket.
    Unix(PathBuf),
    Unixgram(PathBuf),
    /// Address and port; looked up by the daemon.
    Udp(SocketAddr),
    Tcp(SocketAddr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyslogFormat {
    /// As RFC 3164 without the host's name.
    Local,
    Rfc3164,
    Rfc5424,
    /// With microseconds.
    Rfc5424Micro,
}

/// A `/dev/shm` that more than one container uses; it appears at [`files::SHM`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shm {
    /// Ours, which others may join.
    Own {
        /// Bytes.
        size: i64,
    },
    /// The one at this path in the mount namespace [`joined::MOUNTS`].
    Of { path: PathBuf },
}

/// A bind whose source would not be itself any more in the supervisor's mount namespace, where the control groups are hidden
/// and nothing propagates to the host. It is taken before that, and appears at `<run dir>/binds/<number>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlyBind {
    pub number: usize,
    pub source: PathBuf,
    /// With what is mounted below it.
    pub recursive: bool,
}

/// An overlay, mounted by the supervisor in its own mount namespace: nothing is left to unmount, whatever dies.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rootfs {
    /// Topmost first.
    pub lower: Vec<PathBuf>,
    pub upper: PathBuf,
    pub work: PathBuf,
}

/// The layers of an image, mounted read-only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageMount {
    /// Topmost first.
    pub lower: Vec<PathBuf>,
    /// In [`files::IMAGES`]; made by the supervisor.
    pub at: PathBuf,
}

/// A part of a volume or an image. A neighbour may be swapping what is in the volume: so the kernel resolves it below the volume's root,
/// once, and what it found is bound to a place that nobody else can change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pin {
    /// The root directory of the volume or image.
    pub root: PathBuf,
    /// In it; links are followed within it.
    pub path: PathBuf,
    /// In the run directory; made by the supervisor.
    pub at: PathBuf,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogFile {
    pub path: PathBuf,
    /// Bytes; 0: without bound.
    pub max_size: u64,
    /// Files in all, at least 1.
    pub max_file: u32,
    /// Written into each record as `attrs`; empty: left out.
    pub attrs: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Cgroups {
    /// One directory per version 1 hierarchy.
    pub v1: Vec<PathBuf>,
    /// The directory in the unified hierarchy, if that is used.
    pub v2: Option<PathBuf>,
}

/// The one line on [`DAEMON_FD`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ready", rename_all = "snake_case")]
pub enum Ready {
    Started {
        pid: u32,
        /// Nanoseconds since the epoch.
        started_at: i64,
    },
    Failed(Failure),
}

/// Why a process (the container's or an exec's) does not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub stage: Stage,
    /// Of the failed system call, where there was one.
    pub errno: Option<i32>,
    /// The whole chain of causes.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The container's log could not be opened.
    Log,
    /// Before there was a process: mounts, namespaces, groups.
    Setup,
    /// The working directory could not be entered.
    WorkingDir,
    /// The user could not be taken on.
    User,
    /// The program was not found in `PATH`.
    Lookup,
    /// `execve` itself failed.
    Exec,
}

/// The first frame on a connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Answered with [`Reply::Status`].
    Status,
    /// Answered with [`Reply::Exited`] when the container has ended and its output is written.
    Wait,
    /// Answered with [`Reply::Ok`]: the signal was sent to the init process.
    Signal { number: i32 },
    /// As `Signal`, to an exec's process. An operation of its own: a supervisor that does not know it must not take it for `Signal`.
    ExecSignal { exec: String, number: i32 },
    /// Answered with [`Reply::Ok`]; of an exec, if one is named.
    Resize { exec: Option<String>, rows: u16, cols: u16 },
    /// Answered with [`Reply::Ok`]; then the raw streams. The client's half-close is the end of input.
    Attach { stdin: bool, stdout: bool, stderr: bool },
    /// Answered with [`Reply::ExecStarted`] or [`Reply::Failed`]; then, if any stream is attached, the raw streams.
    Exec(Box<ExecRequest>),
    /// Answered with [`Reply::ExecExited`] when that exec has ended and its output was handed to its client.
    ExecWait { exec: String },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecRequest {
    pub id: String,
    /// An OCI `Process` object, user and capabilities resolved.
    pub process: serde_json::Value,
    pub tty: bool,
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// Rows, columns.
    pub console_size: Option<(u16, u16)>,
    /// Without the container's seccomp filter (`--privileged`).
    pub unconfined: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    Ok,
    Status {
        pid: u32,
        /// Nanoseconds since the epoch.
        started_at: i64,
    },
    Exited(Exited),
    ExecStarted {
        pid: u32,
    },
    ExecExited {
        code: i32,
    },
    /// An exec did not start.
    Failed(Failure),
    /// The request itself could not be served (no such exec, a process that is gone).
    Error {
        errno: Option<i32>,
        message: String,
    },
}

/// How the container's init process ended; also the content of [`files::EXIT`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// 128 + signal for a killed process.
    pub code: i32,
    pub oom_killed: bool,
    /// Nanoseconds since the epoch.
    pub finished_at: i64,
}

/// Encodes one frame: little-endian length, then JSON.
pub fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(message)?;
    let len = u32::try_from(body.len()).ok().filter(|n| *n <= MAX_FRAME);
    let len = len.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "frame too large"))?;
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend_from_slice(&len.to_le_bytes());
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// Decodes one frame from the front of `buffer`: the message and the bytes it took. `None`: more bytes are needed.
pub fn decode<T: DeserializeOwned>(buffer: &[u8]) -> io::Result<Option<(T, usize)>> {
    let Some((head, rest)) = buffer.split_first_chunk::<4>() else { return Ok(None) };
    let len = u32::from_le_bytes(*head);
    if len > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("frame of {len} bytes")));
    }
    let Some(body) = rest.get(..len as usize) else { return Ok(None) };
    Ok(Some((serde_json::from_slice(body)?, 4 + len as usize)))
}

/// Writes one frame to a blocking stream.
pub fn send<T: Serialize>(mut to: impl Write, message: &T) -> io::Result<()> {
    to.write_all(&encode(message)?)
}

/// Reads one frame from a blocking stream, no byte more.
pub fn receive<T: DeserializeOwned>(mut from: impl Read) -> io::Result<T> {
    let mut head = [0; 4];
    from.read_exact(&mut head)?;
    let len = u32::from_le_bytes(head);
    if len > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("frame of {len} bytes")));
    }
    let mut body = vec![0; len as usize];
    from.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip_and_wait_for_the_rest() {
        let request = Request::Attach { stdin: true, stdout: true, stderr: false };
        let mut frame = encode(&request).unwrap();
        for cut in 0..frame.len() {
            assert!(decode::<Request>(&frame[..cut]).unwrap().is_none());
        }
        frame.extend_from_slice(b"stdin");
        let (back, used) = decode::<Request>(&frame).unwrap().unwrap();
        assert_eq!((back, &frame[used..]), (request.clone(), &b"stdin"[..]));
        assert_eq!(receive::<Request>(&frame[..]).unwrap(), request);
    }

    #[test]
    fn a_hostile_length_is_refused() {
        assert!(decode::<Request>(&[0xff; 8]).is_err());
        assert!(receive::<Request>(&[0xff; 8][..]).is_err());
    }
}
