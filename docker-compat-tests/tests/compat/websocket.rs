//! `attach/ws`: the handshake, messages both ways, and refusals. The frames are made by hand, as a browser would.

use docker_compat_tests::http::{Client, Head};
use docker_compat_tests::{Scope, eventually};
use std::io::Read as _;

const HANDSHAKE: [(&str, &str); 5] = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
    ("Origin", "http://localhost"),
];

struct Socket(Client);

impl Socket {
    fn open(t: &Scope, id: &str, query: &str) -> (Self, Head) {
        let mut client = Client::connect(&t.daemon.socket).unwrap();
        client.send("GET", &format!("/containers/{id}/attach/ws?{query}"), &HANDSHAKE, None).unwrap();
        let head = client.head().unwrap();
        assert_eq!(head.status, 101);
        (Self(client), head)
    }

    /// One masked text frame.
    fn say(&mut self, text: &str) {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap()];
        frame.extend(mask);
        frame.extend(text.bytes().enumerate().map(|(n, b)| b ^ mask[n % 4]));
        self.0.write(&frame).unwrap();
    }

    /// Opcode and content of the next frame; `None` at the end.
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.0.stream.read_exact(&mut head).ok()?;
        assert_eq!(head[1] & 0x80, 0, "a server does not mask");
        let len = match head[1] {
            126 => {
                let mut len = [0; 2];
                self.0.stream.read_exact(&mut len).ok()?;
                usize::from(u16::from_be_bytes(len))
            }
            127 => panic!("a long frame"),
            short => usize::from(short),
        };
        let mut content = vec![0; len];
        self.0.stream.read_exact(&mut content).ok()?;
        Some((head[0] & 0x0f, content))
    }

    /// Output until `text` is in it, or its end.
    fn output_until(&mut self, text: Option<&str>) -> String {
        let mut seen = Vec::new();
        while text.is_none_or(|t| !String::from_utf8_lossy(&seen).contains(t)) {
            match self.frame() {
                Some((opcode @ 0..=2, content)) => {
                    assert_eq!(opcode, 2, "output is binary");
                    seen.extend(content);
                }
                Some((9 | 10, _)) => {}
                _ => break,
            }
        }
        String::from_utf8_lossy(&seen).into_owned()
    }
}

#[test]
fn output_and_input() {
    let t = Scope::new();
    let id = t.detached(&["-i"], "read line; echo got $line; echo to stderr >&2; exit 4");
    let (mut socket, head) = Socket::open(&t, &id, "stream=1&stdin=1&stdout=1&stderr=1");
    assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    socket.say("hello\n");
    let mut said: Vec<String> = socket.output_until(None).lines().map(str::to_owned).collect();
    said.sort();
    assert_eq!(said, ["got hello", "to stderr"], "no headers of a multiplexed stream");
    assert_eq!(t.docker(&["wait", &id]).ok(), "4");
}

#[test]
fn a_terminal() {
    let t = Scope::new();
    let id = t.detached(&["-it"], "stty -echo; echo ready; read a; echo got $a; read b; exit 0");
    // What is printed between reading the log and attaching is in neither, with dockerd too.
    eventually("it is ready", || t.docker(&["logs", &id]).stdout.contains("ready").then_some(()));
    let (mut socket, _) = Socket::open(&t, &id, "logs=1&stream=1&stdin=1&stdout=1");
    assert_eq!(socket.output_until(Some("ready\r\n")), "ready\r\n");
    socket.say("x\n");
    assert_eq!(socket.output_until(Some("got x\r\n")), "got x\r\n");
    // Detached by keys: the program goes on.
    socket.say("\u{10}\u{11}");
    socket.output_until(None);
    assert_eq!(t.inspect(&id)["State"]["Status"], "running");
}

#[test]
fn what_was_logged_comes_first() {
    let t = Scope::new();
    let id = t.detached(&[], "echo one; echo two; sleep 1000");
    eventually("it has spoken", || t.docker(&["logs", &id]).stdout.contains("two").then_some(()));
    let (mut socket, _) = Socket::open(&t, &id, "logs=1&stream=1&stdout=1&stderr=1");
    assert_eq!(socket.output_until(Some("two\n")), "one\ntwo\n");
    t.docker(&["kill", &id]).ok();
    assert_eq!(socket.output_until(None), "");
}

#[test]
fn a_client_that_leaves_does_not_harm() {
    let t = Scope::new();
    let id = t.detached(&["-i"], "while read line; do echo $line; done; exec sleep 1000");
    let (mut socket, _) = Socket::open(&t, &id, "stream=1&stdin=1&stdout=1");
    socket.say("a\n");
    assert_eq!(socket.output_until(Some("a\n")), "a\n");
    drop(socket);
    let (mut second, _) = Socket::open(&t, &id, "stream=1&stdout=1");
    t.docker(&["kill", &id]).ok();
    second.output_until(None);
}

#[test]
fn refusals() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let get = |id: &str, headers: &[(&str, &str)]| {
        let mut client = Client::connect(&t.daemon.socket).unwrap();
        client.send("GET", &format!("/containers/{id}/attach/ws?stream=1&stdout=1"), headers, None).unwrap();
        client.head().unwrap().status
    };
    assert_eq!(get(&id, &[]), 400);
    assert_eq!(get(&id, &HANDSHAKE[..2]), 400);
    assert_eq!(get("nosuch", &HANDSHAKE), 404);
    assert_eq!(get("nosuch", &[]), 404);
}
