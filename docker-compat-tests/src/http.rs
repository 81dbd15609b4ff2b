//! HTTP over a Unix socket by hand: the wire tests must see exactly what the
//! daemon sends, which a client library would hide.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// One answer.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    /// In the order sent, names as sent.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// First header of that name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The `message` of an error answer; asserts the status and the shape.
    #[track_caller]
    pub fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"), "an error is JSON");
        self.json()["message"].as_str().expect("an error has a message").trim_end().to_owned()
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    pub stream: BufReader<UnixStream>,
}

/// Status line and headers of an answer whose body is still to come.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    pub headers: Vec<(String, String)>,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

impl Client {
    /// Connects, with a read timeout so that no test hangs.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Closes the sending half.
    pub fn half_close(&mut self) -> io::Result<()> {
        self.stream.get_mut().shutdown(Shutdown::Write)
    }

    /// Sends the head of a request, and a body with its length if there is one.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> io::Result<()> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: docker\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            if find_pair(headers, "content-type").is_none() {
                head.push_str("Content-Type: application/json\r\n");
            }
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        // At once, as clients do: a server that answers early need not read what has not come.
        let mut message = head.into_bytes();
        message.extend_from_slice(body.unwrap_or_default());
        self.write(&message)
    }

    /// Reads the status line and the headers.
    pub fn head(&mut self) -> io::Result<Head> {
        let line = self.line()?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .ok_or_else(|| io::Error::other(format!("no status line: {line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Head { status, headers });
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.push((name.to_owned(), value.trim().to_owned()));
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Reads the body that the head announces.
    pub fn body(&mut self, method: &str, head: &Head) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if method == "HEAD" || head.status == 204 || head.status == 304 {
            return Ok(body);
        }
        if head.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            while let Some(chunk) = self.chunk()? {
                body.extend_from_slice(&chunk);
            }
        } else if let Some(length) = head.header("content-length") {
            body.resize(length.parse().map_err(io::Error::other)?, 0);
            self.stream.read_exact(&mut body)?;
        } else {
            self.stream.read_to_end(&mut body)?;
        }
        Ok(body)
    }

    /// Reads one chunk of a chunked body; none after the last.
    pub fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let size = self.line()?;
        let size = usize::from_str_radix(&size, 16).map_err(|e| io::Error::other(format!("chunk size {size:?}: {e}")))?;
        let mut chunk = vec![0; size];
        self.stream.read_exact(&mut chunk)?;
        self.line()?;
        Ok((size > 0).then_some(chunk))
    }

    /// Sends a request and reads the whole answer.
    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> io::Result<Response> {
        self.send(method, path, headers, body)?;
        self.answer(method)
    }

    /// Reads a whole answer to a request sent before.
    pub fn answer(&mut self, method: &str) -> io::Result<Response> {
        let head = self.head()?;
        let body = self.body(method, &head)?;
        Ok(Response { status: head.status, headers: head.headers, body })
    }

    /// A plain GET.
    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        self.request("GET", path, &[], None)
    }

    /// Asks for a hijacked connection; gives the head of the answer.
    pub fn hijack(&mut self, path: &str, body: Option<&str>) -> io::Result<Head> {
        self.send("POST", path, &[("Connection", "Upgrade"), ("Upgrade", "tcp")], Some(body.unwrap_or("").as_bytes()))?;
        self.head()
    }

    /// Reads to the end of a raw stream.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }
}

fn find_pair<'a>(headers: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| *v)
}

/// Splits a multiplexed stream into its frames: (stream number, bytes). Panics
/// on a broken frame.
pub fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        assert!(bytes.len() >= 8, "a truncated frame header: {bytes:?}");
        assert_eq!(&bytes[1..4], [0, 0, 0], "padding of a frame header is zero");
        let length = u32::from_be_bytes(bytes[4..8].try_into().unwrap()) as usize;
        assert!(bytes.len() >= 8 + length, "a truncated frame");
        frames.push((bytes[0], bytes[8..8 + length].to_vec()));
        bytes = &bytes[8 + length..];
    }
    frames
}

/// All bytes of one stream of a multiplexed body.
pub fn stream_of(bytes: &[u8], number: u8) -> String {
    let joined: Vec<u8> = frames(bytes).into_iter().filter(|(n, _)| *n == number).flat_map(|(_, b)| b).collect();
    String::from_utf8(joined).expect("text")
}

/// Percent-encodes a query value.
pub fn encode(value: &str) -> String {
    value
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
