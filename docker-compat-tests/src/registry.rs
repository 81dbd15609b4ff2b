//! A registry on loopback (Debian's docker-registry), and images put into it by hand: in any form, made by nobody's client.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::daemon::scratch;
use crate::{eventually, repository, target_dir};

/// The one user of a registry with basic authentication.
pub const USER: &str = "anna";
/// Her password.
pub const PASSWORD: &str = "pass word";
/// The bcrypt hash of that.
const HASH: &str = "$2b$04$jRiSnZ6eJ/4Ep5xVD9khL.qb.Vi9pTMuYHdpfgW.xmrLkWYJkQQVm";

/// How a registry is to be reached.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Name and password are wanted.
    pub basic: bool,
    /// Encrypted, with a certificate of an authority of its own ([`Registry::authority`]) for every address of this machine.
    pub tls: bool,
    /// As `tls`, and clients must have a certificate of the same authority, too.
    pub client_certificates: bool,
}

/// A running registry; ended and removed when dropped.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    dir: PathBuf,
    pub port: u16,
    options: Options,
}

impl Registry {
    /// Starts one without any obstacle.
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    /// Starts one.
    pub fn with(options: Options) -> Self {
        let dir = scratch("registry");
        let port = free_port();
        let mut config = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: {0}/data}}\n  delete: {{enabled: true}}\nhttp:\n  addr: 0.0.0.0:{port}\n",
            dir.display()
        );
        if options.tls || options.client_certificates {
            certificates(&dir);
            config.push_str(&format!("  tls:\n    certificate: {0}/server.crt\n    key: {0}/server.key\n", dir.display()));
        }
        if options.client_certificates {
            config.push_str(&format!("    clientcas: [{}/ca.crt]\n", dir.display()));
        }
        if options.basic {
            std::fs::write(dir.join("htpasswd"), format!("{USER}:{HASH}\n")).unwrap();
            config.push_str(&format!("auth: {{htpasswd: {{realm: test, path: {}/htpasswd}}}}\n", dir.display()));
        }
        std::fs::write(dir.join("config.yml"), config).unwrap();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let mut command = Command::new(tool("docker-registry"));
        command.arg("serve").arg(dir.join("config.yml")).stdin(Stdio::null());
        let mut child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().expect("docker-registry runs");
        eventually("the registry listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        assert!(child.try_wait().unwrap().is_none(), "the registry ended, and somebody else listens at {port}");
        Self { child, dir, port, options }
    }

    /// `localhost:PORT`.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// A name in it.
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.host())
    }

    /// The certificate of its authority.
    pub fn authority(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// A client's certificate and key of its authority.
    pub fn client(&self) -> (PathBuf, PathBuf) {
        (self.dir.join("client.crt"), self.dir.join("client.key"))
    }

    /// Puts a blob in; gives its digest.
    pub fn blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        let location = self.curl(&["-X", "POST", "-D", "-", "-o", "/dev/null"], &format!("/v2/{repository}/blobs/uploads/"), &[]);
        let location = location
            .lines()
            .find_map(|l| l.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("location")))
            .unwrap_or_else(|| panic!("no place to upload to: {location}"))
            .1
            .trim();
        let path = location.split_once("/v2/").expect("an address of the registry").1;
        self.curl(
            &["-X", "PUT", "-H", "Content-Type: application/octet-stream", "--data-binary", "@-"],
            &format!("/v2/{path}&digest={digest}"),
            bytes,
        );
        digest
    }

    /// Puts a manifest or index in, under a tag or its digest; gives its digest.
    pub fn manifest(&self, repository: &str, reference: &str, media_type: &str, json: &serde_json::Value) -> String {
        let bytes = serde_json::to_vec(json).unwrap();
        let digest = digest(&bytes);
        let reference = if reference.is_empty() { &digest } else { reference };
        let kind = format!("Content-Type: {media_type}");
        self.curl(&["-X", "PUT", "-H", &kind, "--data-binary", "@-"], &format!("/v2/{repository}/manifests/{reference}"), &bytes);
        digest
    }

    /// What a manifest is now.
    pub fn raw_manifest(&self, repository: &str, reference: &str) -> serde_json::Value {
        let accept = format!("Accept: {SCHEMA2}, {LIST}, {OCI}, {INDEX}");
        serde_json::from_str(&self.curl(&["-H", &accept], &format!("/v2/{repository}/manifests/{reference}"), &[])).unwrap()
    }

    fn curl(&self, args: &[&str], path: &str, input: &[u8]) -> String {
        let secure = self.options.tls || self.options.client_certificates;
        let scheme = if secure { "https" } else { "http" };
        let mut command = Command::new("curl");
        command.args(["-sSf", "-k", "-m", "60"]).args(args);
        if self.options.basic {
            command.args(["-u", &format!("{USER}:{PASSWORD}")]);
        }
        if self.options.client_certificates {
            let (certificate, key) = self.client();
            command.arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        command.arg(format!("{scheme}://127.0.0.1:{}{path}", self.port));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("curl runs");
        let mut stdin = child.stdin.take().expect("piped");
        let input = input.to_vec();
        let writer = std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
        let out = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(out.status.success(), "curl {path}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

pub const SCHEMA2: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// `sha256:...`
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", crate::sha256(bytes))
}

/// A program of `scripts/registry.sh`.
pub fn tool(name: &str) -> PathBuf {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _held = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let path = target_dir().join("peers/root/usr/bin").join(name);
    if !path.exists() {
        let script = repository().join("scripts/registry.sh");
        let made = Command::new(&script).arg("--makers").output().expect("scripts/registry.sh runs");
        assert!(made.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&made.stderr));
    }
    path
}

/// A port that nobody listens on, and that nobody here is given again: not of those that the kernel
/// hands out to whoever asks for any (from 32768 on), and counted upwards from one that depends on the process,
/// far from those of processes started shortly before or after.
pub fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(10_000 + (scattered() % 16_000) as u16));
    let any = std::net::Ipv4Addr::UNSPECIFIED;
    let next = || NEXT.fetch_add(1, Ordering::Relaxed);
    std::iter::repeat_with(next)
        .take_while(|port| *port < 32_000)
        .find(|port| TcpListener::bind((any, *port)).is_ok())
        .expect("a free port")
}

fn scattered() -> u32 {
    // By the golden ratio, which keeps multiples apart.
    std::process::id().wrapping_mul(0x9e37_79b9) >> 8
}

/// An authority, and certificates of it for a server and a client, as files in `dir`.
fn certificates(dir: &std::path::Path) {
    let addresses = std::iter::once("127.0.0.1".to_owned()).chain(crate::own_address().map(|a| a.to_string()));
    let names: Vec<String> = addresses.map(|a| format!("IP:{a}")).collect();
    let script = format!(
        "set -e; cd {}
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=authority
        for who in server client; do
            openssl req -newkey rsa:2048 -nodes -keyout $who.key -out $who.csr -subj /CN=$who
            printf 'subjectAltName=DNS:localhost,{}' >ext
            openssl x509 -req -in $who.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out $who.crt -days 2 -extfile ext
        done",
        dir.display(),
        names.join(",")
    );
    let made = Command::new("sh").args(["-c", &script]).output().expect("sh runs");
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
}
