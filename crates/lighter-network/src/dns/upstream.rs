//! Asking others: the host's resolvers, or those that the user named for a container.
//!
//! Questions and answers go through as they are, byte for byte, but for the identifier: so everything that clients and
//! servers have agreed on (EDNS, DNSSEC, types unknown here) works. Servers are asked one after the other, the next one a
//! little later also while the first is still thinking; the first good answer counts.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::ADDRESS;
use super::answer::Transport;
use super::place::{Places, udp_here};
use crate::resolv;

const DNS_PORT: u16 = 53;
/// When the next server is asked although the one before might still answer.
const NEXT_AFTER: Duration = Duration::from_millis(1000);
/// When it is given up. Clients ask again after five seconds.
const GIVE_UP_AFTER: Duration = Duration::from_millis(4500);
/// How many servers are asked, as every resolver does.
const MOST_SERVERS: usize = 3;
/// For how long the host's file is taken to be as it was.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const HEADER: usize = 12;

/// The host's resolvers, read again when its file changes.
#[derive(Debug)]
pub(super) struct HostResolvers {
    path: PathBuf,
    cached: Mutex<Cached>,
}

#[derive(Debug, Default)]
struct Cached {
    looked: Option<Instant>,
    changed: Option<SystemTime>,
    servers: Arc<[SocketAddr]>,
}

impl HostResolvers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, cached: Mutex::default() }
    }

    fn servers(&self) -> Arc<[SocketAddr]> {
        let mut cached = self.cached.lock();
        if cached.looked.is_some_and(|looked| looked.elapsed() < LOOK_AGAIN) {
            return Arc::clone(&cached.servers);
        }
        let changed = std::fs::metadata(&self.path).and_then(|meta| meta.modified()).ok();
        if cached.looked.is_none() || changed != cached.changed {
            cached.servers = resolv::servers(&self.path).into_iter().map(|ip| SocketAddr::new(ip, DNS_PORT)).collect();
            cached.changed = changed;
        }
        cached.looked = Some(Instant::now());
        Arc::clone(&cached.servers)
    }
}

/// One container's way to others.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    pub(super) places: Places,
    pub(super) host: Arc<HostResolvers>,
    pub(super) netns: Arc<OwnedFd>,
    /// For all containers together, and for this one.
    pub(super) room: Arc<Semaphore>,
    pub(super) own_room: Arc<Semaphore>,
}

/// From where a server is asked.
#[derive(Debug, Clone)]
enum From {
    Host,
    Inside(Places, Arc<OwnedFd>),
}

impl Upstream {
    /// The answer to `question`, whose form has been checked; `None` if there is none to be had. `named` are the user's
    /// own servers: they are asked from inside, where the user meant them to be; the host's are asked from the host.
    pub(super) async fn ask(&self, question: &[u8], transport: Transport, named: &[IpAddr]) -> Option<Vec<u8>> {
        // Too many at once are refused rather than queued: the client comes again.
        let _own = self.own_room.try_acquire().ok()?;
        let _shared = self.room.try_acquire().ok()?;
        if named.is_empty() {
            return first_good(question, transport, &self.host.servers(), &From::Host).await;
        }
        // This resolver itself would ask in a circle.
        let servers: Vec<_> =
            named.iter().filter(|&&ip| ip != IpAddr::V4(ADDRESS)).map(|&ip| SocketAddr::new(ip, DNS_PORT)).collect();
        first_good(question, transport, &servers, &From::Inside(self.places.clone(), Arc::clone(&self.netns))).await
    }
}

async fn first_good(question: &[u8], transport: Transport, servers: &[SocketAddr], from: &From) -> Option<Vec<u8>> {
    let deadline = tokio::time::Instant::now() + GIVE_UP_AFTER;
    let mut waiting = servers.iter().take(MOST_SERVERS);
    let mut asked = JoinSet::new();
    let mut bad = None;
    loop {
        let next = waiting.next();
        if let Some(&server) = next {
            let (question, from) = (question.to_vec(), from.clone());
            asked.spawn(async move { (server, ask_one(question, transport, server, &from).await) });
        }
        // The last one is waited for until the end.
        let patience = if next.is_some() && waiting.len() > 0 { tokio::time::Instant::now() + NEXT_AFTER } else { deadline };
        match timeout_at(patience.min(deadline), asked.join_next()).await {
            Ok(Some(Ok((_, Ok(answer))))) if is_good(&answer) => return Some(answer),
            Ok(Some(Ok((_, Ok(answer))))) => bad = Some(answer),
            Ok(Some(Ok((server, Err(error))))) => tracing::debug!(%server, %error, "no answer from a DNS server"),
            Ok(Some(Err(error))) => tracing::debug!(%error, "asking a DNS server was cut off"),
            Ok(None) => return bad,
            Err(_) if tokio::time::Instant::now() >= deadline => return bad,
            Err(_) => {}
        }
    }
}

/// Whether it is an answer, and not a server's excuse.
fn is_good(answer: &[u8]) -> bool {
    const SERVFAIL: u8 = 2;
    const NOTIMP: u8 = 4;
    const REFUSED: u8 = 5;
    answer.get(3).is_some_and(|flags| ![SERVFAIL, NOTIMP, REFUSED].contains(&(flags & 0xf)))
}

async fn ask_one(mut question: Vec<u8>, transport: Transport, server: SocketAddr, from: &From) -> io::Result<Vec<u8>> {
    let id = question.first_chunk::<2>().copied().ok_or(io::ErrorKind::InvalidInput)?;
    // Not the client's: that one might be guessed by others.
    let secret = rand::random::<[u8; 2]>();
    set_id(&mut question, secret);
    let mut answer = match transport {
        Transport::Udp => by_udp(&question, server, from).await?,
        Transport::Tcp => by_tcp(&question, server, from).await?,
    };
    if !answers(&answer, &question) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is to another question"));
    }
    set_id(&mut answer, id);
    Ok(answer)
}

fn set_id(message: &mut [u8], id: [u8; 2]) {
    if let Some(place) = message.first_chunk_mut() {
        *place = id;
    }
}

async fn by_udp(question: &[u8], server: SocketAddr, from: &From) -> io::Result<Vec<u8>> {
    let socket = match from {
        From::Host => udp_here(server)?,
        From::Inside(places, netns) => places.udp(Arc::clone(netns), server).await?,
    };
    let socket = UdpSocket::from_std(socket)?;
    socket.send(question).await?;
    // A datagram can be lost: once more, half-way through.
    let mut again = Some(tokio::time::Instant::now() + GIVE_UP_AFTER / 2);
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = match again {
            None => socket.recv(&mut buffer).await?,
            Some(when) => match timeout_at(when, socket.recv(&mut buffer)).await {
                Ok(received) => received?,
                Err(_) => {
                    again = None;
                    socket.send(question).await?;
                    continue;
                }
            },
        };
        // What is not the answer may be somebody's guess: wait on.
        if let Some(answer) = buffer.get(..length).filter(|answer| answers(answer, question)) {
            return Ok(answer.to_vec());
        }
    }
}

async fn by_tcp(question: &[u8], server: SocketAddr, from: &From) -> io::Result<Vec<u8>> {
    let mut stream = match from {
        From::Host => TcpStream::connect(server).await?,
        From::Inside(places, netns) => {
            let socket = places.tcp(Arc::clone(netns), server.ip()).await?;
            TcpSocket::from_std_stream(socket).connect(server).await?
        }
    };
    write_framed(&mut stream, question).await?;
    read_framed(&mut stream).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// One message of a TCP connection, as DNS has them: the length goes first. `None` at the connection's end.
pub(super) async fn read_framed(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u16().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(Some(message))
}

/// Writes one message of a TCP connection.
pub(super) async fn write_framed(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await
}

/// Whether `answer` is one to `question`: the same identifier and the same question in it.
fn answers(answer: &[u8], question: &[u8]) -> bool {
    const IS_RESPONSE: u8 = 0x80;
    let Some(end) = question_end(question) else { return false };
    let (Some(got), Some(asked)) = (answer.get(HEADER..end), question.get(HEADER..end)) else { return false };
    answer.get(..2) == question.get(..2)
        && answer.get(2).is_some_and(|flags| flags & IS_RESPONSE != 0)
        && got.eq_ignore_ascii_case(asked)
}

/// Where the first question of a message ends.
fn question_end(message: &[u8]) -> Option<usize> {
    const TYPE_AND_CLASS: usize = 4;
    let mut at = HEADER;
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1 + TYPE_AND_CLASS),
            // Compression has no place in a question.
            length if length >= 64 => return None,
            length => at += usize::from(length) + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_belongs_to_its_question() {
        let question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x00\x00\x01\x00\x01";
        let mut answer = question.to_vec();
        answer[2] = 0x81;
        answer[13] = b'W';
        assert!(answers(&answer, question));
        for (at, byte) in [(0, 0), (2, 1), (14, b'x'), (18, 28)] {
            let mut other = answer.clone();
            other[at] = byte;
            assert!(!answers(&other, question), "{at}");
        }
        for length in 0..answer.len() {
            assert!(!answers(&answer[..length], question));
            assert!(!answers(&answer, &question[..length]));
        }
    }

    #[test]
    fn the_hosts_file_is_read_again_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        let host = HostResolvers::new(path.clone());
        assert!(host.servers().is_empty());
        std::fs::write(&path, "nameserver 127.0.0.53\nnameserver ::ffff:10.0.0.1\n").unwrap();
        host.cached.lock().looked = Some(Instant::now() - LOOK_AGAIN);
        let servers = host.servers();
        assert_eq!(*servers, ["127.0.0.53:53".parse().unwrap(), "10.0.0.1:53".parse().unwrap()]);
    }
}
