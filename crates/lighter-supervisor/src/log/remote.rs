//! The way of a record to a log of the machine's: syslog or the journal. What is not taken at once waits, in bounds; what is
//! beyond them is lost there (never in the container's own file), and the container never waits for anybody.

use super::{Stream, journald, syslog};
use lighter_supervisor_proto::{LogTo, SyslogAddress};
use std::io::{self, ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes that wait for a slow stream.
const MAX_WAITING: usize = 1 << 20;
/// For a connection at the start.
const PATIENCE: Duration = Duration::from_secs(5);
/// For one while the container runs: everything else waits meanwhile, so seldom and short.
const HASTE: Duration = Duration::from_millis(200);
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// For what still waits when the container has ended.
const LAST_FLUSH: Duration = Duration::from_secs(2);
const LOCAL: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

enum Socket {
    Unixgram(UnixDatagram),
    Udp(UdpSocket),
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// One connection.
pub struct Remote {
    to: LogTo,
    host: String,
    socket: Option<Socket>,
    /// Of a stream: begun records, whole and in order.
    waiting: Vec<u8>,
    /// Whether [`Remote::waiting`] begins in the middle of a record.
    cut: bool,
    next_try: Instant,
    lost: u64,
    news: Option<String>,
}

impl Remote {
    /// Connects; the error is in the words of dockerd's drivers.
    pub fn open(to: &LogTo) -> io::Result<Self> {
        let socket = connect(to, PATIENCE)?;
        Ok(Self {
            to: to.clone(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            socket: Some(socket),
            waiting: Vec::new(),
            cut: false,
            next_try: Instant::now(),
            lost: 0,
            news: None,
        })
    }

    /// One record: a line without its end, or a part of a long one.
    pub fn send(&mut self, stream: Stream, text: &[u8], ends: bool, nanos: i64) {
        let record = match &self.to {
            LogTo::Syslog { format, facility, tag, .. } => {
                syslog::record(&syslog::Head { format: *format, facility: *facility, tag, host: &self.host }, stream, text, nanos)
            }
            LogTo::Journald { fields } => journald::record(fields, stream, text, ends, nanos),
        };
        if self.socket.is_none() && self.next_try <= Instant::now() {
            self.reconnect();
        }
        match &self.socket {
            Some(Socket::Unixgram(_) | Socket::Udp(_)) => self.send_datagram(&record),
            Some(Socket::Unix(_) | Socket::Tcp(_)) => self.send_stream(&record),
            None => self.lose("there is no connection"),
        }
    }

    fn send_datagram(&mut self, record: &[u8]) {
        for again in [true, false] {
            let sent = match &self.socket {
                Some(Socket::Unixgram(socket)) => socket.send(record).map(drop),
                Some(Socket::Udp(socket)) => socket.send(record).map(drop),
                _ => return self.lose("there is no connection"),
            };
            match sent {
                Ok(()) => return self.sent(),
                // A receiver that was started anew is behind a new socket.
                Err(e) if again && matches!(e.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotConnected) => {
                    self.reconnect();
                }
                Err(e) => return self.lose(&e.to_string()),
            }
        }
    }

    fn send_stream(&mut self, record: &[u8]) {
        if self.waiting.len() + record.len() > MAX_WAITING {
            return self.lose("it takes records too slowly");
        }
        self.waiting.extend_from_slice(record);
        self.push();
    }

    /// Hands over what waits, as far as it is taken.
    fn push(&mut self) {
        while !self.waiting.is_empty() {
            let written = match &mut self.socket {
                Some(Socket::Unix(stream)) => stream.write(&self.waiting),
                Some(Socket::Tcp(stream)) => stream.write(&self.waiting),
                _ => return,
            };
            match written {
                Ok(n) => {
                    self.cut = n < self.waiting.len() && self.waiting[n - 1] != b'\n';
                    self.waiting.drain(..n);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    self.socket = None;
                    if self.next_try > Instant::now() {
                        return self.lose(&e.to_string());
                    }
                    self.reconnect();
                }
            }
        }
        self.sent();
    }

    fn reconnect(&mut self) {
        self.next_try = Instant::now() + RETRY_AFTER;
        self.socket = connect(&self.to, HASTE).ok();
        // The new connection knows nothing of the beginning of a record.
        if std::mem::take(&mut self.cut) {
            let end = self.waiting.iter().position(|b| *b == b'\n').map_or(self.waiting.len(), |at| at + 1);
            self.waiting.drain(..end);
        }
    }

    fn sent(&mut self) {
        if self.lost > 0 {
            self.news = Some(format!("records are taken again; {} did not reach the machine's log", self.lost));
            self.lost = 0;
        }
    }

    fn lose(&mut self, why: &str) {
        if self.lost == 0 {
            self.news = Some(format!("a record did not reach the machine's log: {why}"));
        }
        self.lost += 1;
    }

    pub fn trouble(&mut self) -> Option<String> {
        self.news.take()
    }

    /// Whether something waits to be pushed.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() && self.socket.is_some()
    }

    /// Tries what waits once more.
    pub fn retry(&mut self) {
        self.push();
    }

    /// The end: waits a little for a slow receiver.
    pub fn close(&mut self) {
        let until = Instant::now() + LAST_FLUSH;
        let blocking = match &self.socket {
            Some(Socket::Unix(s)) => s.set_nonblocking(false).and_then(|()| s.set_write_timeout(Some(LAST_FLUSH))),
            Some(Socket::Tcp(s)) => s.set_nonblocking(false).and_then(|()| s.set_write_timeout(Some(LAST_FLUSH))),
            _ => return,
        };
        if blocking.is_ok() && Instant::now() < until {
            self.push();
        }
    }
}

fn connect(to: &LogTo, patience: Duration) -> io::Result<Socket> {
    match to {
        LogTo::Journald { .. } => {
            unixgram(Path::new(journald::SOCKET)).map_err(|_| io::Error::other("journald is not enabled on this host"))
        }
        LogTo::Syslog { to, .. } => match to {
            SyslogAddress::Local => LOCAL
                .iter()
                .find_map(|path| unixgram(Path::new(path)).or_else(|_| unix(Path::new(path))).ok())
                .ok_or_else(|| io::Error::other("Unix syslog delivery error")),
            SyslogAddress::Unix(path) => unix(path).map_err(|e| dial("unix", path.display(), &e)),
            SyslogAddress::Unixgram(path) => unixgram(path).map_err(|e| dial("unixgram", path.display(), &e)),
            SyslogAddress::Udp(address) => udp(*address).map_err(|e| dial("udp", address, &e)),
            SyslogAddress::Tcp(address) => tcp(*address, patience).map_err(|e| dial("tcp", address, &e)),
        },
    }
}

fn unixgram(path: &Path) -> io::Result<Socket> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_nonblocking(true)?;
    Ok(Socket::Unixgram(socket))
}

fn unix(path: &Path) -> io::Result<Socket> {
    let socket = UnixStream::connect(path)?;
    socket.set_nonblocking(true)?;
    Ok(Socket::Unix(socket))
}

fn udp(address: SocketAddr) -> io::Result<Socket> {
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    socket.set_nonblocking(true)?;
    Ok(Socket::Udp(socket))
}

fn tcp(address: SocketAddr, patience: Duration) -> io::Result<Socket> {
    let socket = TcpStream::connect_timeout(&address, patience)?;
    socket.set_nonblocking(true)?;
    Ok(Socket::Tcp(socket))
}

/// As Go words it: `dial tcp 127.0.0.1:1: connect: connection refused`.
fn dial(network: &str, address: impl std::fmt::Display, error: &io::Error) -> io::Error {
    let text = error.raw_os_error().map_or_else(|| error.to_string(), crate::error::errno_text);
    io::Error::new(error.kind(), format!("dial {network} {address}: connect: {text}"))
}
