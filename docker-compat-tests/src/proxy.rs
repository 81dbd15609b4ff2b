//! A proxy in front of a registry that breaks things on purpose: it cuts, delays, corrupts and truncates answers, asks for
//! tokens, and remembers what was asked.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What becomes of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// The body is shorter than announced nowhere: its length is the truncated one.
    Truncate(usize),
    /// One bit of the body's byte at this place is turned.
    Corrupt(usize),
    /// Nothing more comes after so many bytes of the body, until [`Proxy::release`].
    Hold(usize),
    /// Nothing is said for a while first.
    Delay(Duration),
    /// The registry is not asked; this is the answer.
    Answer(u16, &'static str, String),
}

/// A request as the proxy saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Seen {
    /// A header's value; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// Whether a blob was asked for.
    pub fn is_blob(&self) -> bool {
        self.method == "GET" && self.path.contains("/blobs/sha256:")
    }
}

type Rule = dyn Fn(&Seen, usize) -> Fault + Send + Sync;

struct Shared {
    upstream: u16,
    rule: Box<Rule>,
    seen: Mutex<Vec<Seen>>,
    released: AtomicBool,
    ended: AtomicBool,
}

/// A running proxy; ends when dropped.
pub struct Proxy {
    shared: Arc<Shared>,
    pub port: u16,
}

impl Proxy {
    /// Passes everything on to the registry at `upstream` as `rule` says: it gets the request, and how many with the same
    /// method and path came before.
    pub fn start(upstream: u16, rule: impl Fn(&Seen, usize) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port of loopback");
        let port = listener.local_addr().unwrap().port();
        let (seen, released, ended) = Default::default();
        let shared = Arc::new(Shared { upstream, rule: Box::new(rule), seen, released, ended });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || {
                    // A client that goes away is its own affair.
                    let _ = serve(&shared, stream);
                });
            }
        });
        Self { shared, port }
    }

    /// `localhost:PORT/rest`.
    pub fn name(&self, rest: &str) -> String {
        format!("localhost:{}/{rest}", self.port)
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Requests for blobs so far, without those of configurations.
    pub fn blobs(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(Seen::is_blob).collect()
    }

    /// Ends every [`Fault::Hold`].
    pub fn release(&self) {
        self.shared.released.store(true, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.release();
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// One request for each connection: every answer says `Connection: close`.
fn serve(shared: &Shared, client: TcpStream) -> io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(client.try_clone()?);
    let (first, headers) = head(&mut reader)?;
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let seen = Seen { method, path, headers };
    let before = {
        let mut all = shared.seen.lock().unwrap();
        let before = all.iter().filter(|s| s.method == seen.method && s.path == seen.path).count();
        all.push(seen.clone());
        before
    };
    let fault = (shared.rule)(&seen, before);
    match fault {
        Fault::Answer(status, header, body) => {
            let length = body.len();
            write!(&client, "HTTP/1.1 {status} x\r\n{header}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")?;
            return client.shutdown(std::net::Shutdown::Write);
        }
        Fault::Delay(time) => std::thread::sleep(time),
        _ => {}
    }
    let upstream = TcpStream::connect(("127.0.0.1", shared.upstream))?;
    forward(&seen, &mut reader, &upstream)?;
    answer(shared, &seen, &fault, upstream, &client)
}

fn head(reader: &mut impl BufRead) -> io::Result<(String, Vec<(String, String)>)> {
    let mut line = || {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        Ok(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        match line.split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => return Ok((first, headers)),
        }
    }
}

fn forward(seen: &Seen, reader: &mut impl BufRead, mut upstream: &TcpStream) -> io::Result<()> {
    write!(upstream, "{} {} HTTP/1.1\r\nConnection: close\r\n", seen.method, seen.path)?;
    for (name, value) in seen.headers.iter().filter(|(name, _)| name != "connection") {
        write!(upstream, "{name}: {value}\r\n")?;
    }
    write!(upstream, "\r\n")?;
    if seen.header("transfer-encoding") == "chunked" {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let length = u64::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            write!(upstream, "{length:x}\r\n")?;
            io::copy(&mut reader.by_ref().take(length + 2), &mut upstream)?;
            if length == 0 {
                return Ok(());
            }
        }
    }
    let length = seen.header("content-length").parse().unwrap_or(0);
    io::copy(&mut reader.take(length), &mut upstream).map(drop)
}

fn answer(shared: &Shared, seen: &Seen, fault: &Fault, upstream: TcpStream, mut client: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(upstream);
    let (first, headers) = head(&mut reader)?;
    let mut body = Vec::new();
    if seen.method != "HEAD" {
        reader.read_to_end(&mut body)?;
    }
    if let Fault::Truncate(at) = fault {
        body.truncate(*at);
    }
    if let Fault::Corrupt(at) = fault
        && let Some(byte) = body.get_mut(*at)
    {
        *byte ^= 1;
    }
    write!(client, "{first}\r\n")?;
    for (name, value) in &headers {
        let value = match (name.as_str(), fault) {
            ("content-length", Fault::Truncate(_)) => body.len().to_string(),
            // Where an upload goes on is told as the registry's own address.
            ("location", _) => value.replace(&format!(":{}/", shared.upstream), &format!(":{}/", own_port(client)?)),
            _ => value.clone(),
        };
        write!(client, "{name}: {value}\r\n")?;
    }
    write!(client, "connection: close\r\n\r\n")?;
    match fault {
        Fault::Cut(at) if *at < body.len() => {
            client.write_all(&body[..*at])?;
            return client.shutdown(std::net::Shutdown::Both);
        }
        Fault::Hold(at) if *at < body.len() => {
            client.write_all(&body[..*at])?;
            while !shared.released.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(10));
            }
            client.write_all(&body[*at..])?;
        }
        _ => client.write_all(&body)?,
    }
    client.shutdown(std::net::Shutdown::Write)
}

fn own_port(client: &TcpStream) -> io::Result<u16> {
    client.local_addr().map(|address| address.port())
}
