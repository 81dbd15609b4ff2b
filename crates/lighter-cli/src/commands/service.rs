//! `lighter service`: the daemon as a service of the system's own manager, started by its socket. systemd on Linux: the machine's
//! for root, the user's own for others; launchd on macOS, as an agent. The files are made of the templates in `systemd/` and
//! `launchd/`, and every step is one that could be typed.

use crate::args::Service;
use crate::show;
use anyhow::{Context as _, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const UNIT: &str = include_str!("../../../../systemd/lighter.service");
const SOCKET: &str = include_str!("../../../../systemd/lighter.socket");
const PLIST: &str = include_str!("../../../../launchd/dev.lighter.lighterd.plist");
const LABEL: &str = "dev.lighter.lighterd";
/// What the templates have for the program and for the socket.
const PROGRAM: &str = "/usr/local/bin/lighterd";
const RUN: &str = "/run/lighter/docker.sock";

/// Which manager, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manager {
    Systemd,
    SystemdOfUser,
    Launchd,
}

/// Where things are.
struct Place {
    manager: Manager,
    /// Where its files go.
    directory: PathBuf,
    /// The socket, as its files have it.
    socket: String,
}

pub fn run(what: &Service) -> anyhow::Result<ExitCode> {
    let place = Place::here()?;
    match what {
        Service::Install { program, print } => {
            let program = match program {
                Some(program) => program.clone(),
                None => beside_us()?,
            };
            let files = place.files(&program)?;
            if *print {
                for (path, text) in files {
                    show::line(&format!("# {}\n{text}", path.display()))?;
                }
                return Ok(ExitCode::SUCCESS);
            }
            install(&place, &files)?;
        }
        Service::Uninstall => uninstall(&place)?,
        Service::Status => return status(&place),
    }
    Ok(ExitCode::SUCCESS)
}

/// `lighterd` in the directory of this program.
fn beside_us() -> anyhow::Result<PathBuf> {
    let ours = std::env::current_exe().context("cannot tell where this program is")?;
    let program = ours.with_file_name("lighterd");
    if !program.is_file() {
        bail!("there is no lighterd beside {}: say where it is with --program", ours.display());
    }
    Ok(program)
}

impl Place {
    fn here() -> anyhow::Result<Self> {
        let home = || std::env::var_os("HOME").map(PathBuf::from).context("HOME is not set");
        if cfg!(target_os = "macos") {
            let home = home()?;
            let socket = home.join("Library/Application Support/Lighter/docker.sock").display().to_string();
            return Ok(Self { manager: Manager::Launchd, directory: home.join("Library/LaunchAgents"), socket });
        }
        if rustix::process::geteuid().is_root() {
            return Ok(Self { manager: Manager::Systemd, directory: "/etc/systemd/system".into(), socket: RUN.to_owned() });
        }
        let own = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
        let directory = own.map_or_else(|| home().map(|h| h.join(".config")), Ok)?.join("systemd/user");
        // %t is the user's runtime directory.
        Ok(Self { manager: Manager::SystemdOfUser, directory, socket: "%t/lighter/docker.sock".to_owned() })
    }

    /// The files of the service, by their paths.
    fn files(&self, program: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
        let program =
            program.to_str().filter(|p| p.starts_with('/')).context("the program's path must be absolute, and UTF-8")?;
        if program.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '%' | '"' | '\'' | '\\' | '$' | ';')) {
            bail!("no service can have a program at {program:?}: take a path without blanks and marks");
        }
        let at = |name: &str| self.directory.join(name);
        Ok(match self.manager {
            Manager::Launchd => {
                let socket = xml(&self.socket);
                let text = PLIST.replace(PROGRAM, &xml(program)).replace("/var/run/lighter/docker.sock", &socket);
                vec![(at(&format!("{LABEL}.plist")), text)]
            }
            Manager::Systemd => vec![
                (at("lighter.service"), UNIT.replace(PROGRAM, program)),
                (at("lighter.socket"), SOCKET.replace("SocketGroup=root", &format!("SocketGroup={}", docker_group()))),
            ],
            Manager::SystemdOfUser => {
                // A user's manager knows neither the network's target nor other users, and cannot raise limits.
                let unknown = ["After=network-online", "Wants=network-online", "Limit", "OOMScoreAdjust"];
                let unit = without(&UNIT.replace(PROGRAM, program), &unknown).replace("multi-user.target", "default.target");
                let socket = without(SOCKET, &["SocketUser", "SocketGroup", "# \"docker\""]).replace(RUN, &self.socket);
                vec![(at("lighter.service"), unit), (at("lighter.socket"), socket.replace("SocketMode=0660", "SocketMode=0600"))]
            }
        })
    }

    /// The manager's own command.
    fn control(&self) -> Vec<&'static str> {
        match self.manager {
            Manager::Systemd => vec!["systemctl"],
            Manager::SystemdOfUser => vec!["systemctl", "--user"],
            Manager::Launchd => vec!["launchctl"],
        }
    }

    fn manage(&self, args: &[&str]) -> anyhow::Result<()> {
        let mut words = self.control();
        words.extend(args);
        let status = Command::new(words[0]).args(&words[1..]).status();
        let status = status.with_context(|| format!("cannot run {}: is this machine managed by it?", words[0]))?;
        if !status.success() {
            bail!("{} failed", words.join(" "));
        }
        Ok(())
    }
}

/// Lines that begin so are left out.
fn without(text: &str, beginnings: &[&str]) -> String {
    let kept = text.lines().filter(|line| !beginnings.iter().any(|b| line.starts_with(b)));
    kept.flat_map(|line| [line, "\n"]).collect()
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `docker`, where there is such a group.
fn docker_group() -> &'static str {
    let there = fs::read_to_string("/etc/group").is_ok_and(|groups| groups.lines().any(|line| line.starts_with("docker:")));
    if there { "docker" } else { "root" }
}

fn install(place: &Place, files: &[(PathBuf, String)]) -> anyhow::Result<()> {
    fs::create_dir_all(&place.directory).with_context(|| format!("cannot make {}", place.directory.display()))?;
    for (path, text) in files {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        show::line(&format!("wrote {}", path.display()))?;
    }
    match place.manager {
        Manager::Launchd => {
            if let Some(dir) = Path::new(&place.socket).parent() {
                fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
            }
            place.manage(&["bootstrap", &domain(), &files[0].0.display().to_string()])?;
        }
        Manager::Systemd | Manager::SystemdOfUser => {
            place.manage(&["daemon-reload"])?;
            place.manage(&["enable", "--now", "lighter.socket"])?;
        }
    }
    show::line("the first request on the socket starts lighterd; try: lighter doctor")?;
    Ok(())
}

fn uninstall(place: &Place) -> anyhow::Result<()> {
    match place.manager {
        Manager::Launchd => {
            // One that is not loaded is as good as unloaded.
            let _ = place.manage(&["bootout", &format!("{}/{LABEL}", domain())]);
        }
        Manager::Systemd | Manager::SystemdOfUser => {
            let _ = place.manage(&["disable", "--now", "lighter.socket", "lighter.service"]);
        }
    }
    let mut removed = false;
    for name in ["lighter.service", "lighter.socket", "dev.lighter.lighterd.plist"] {
        let path = place.directory.join(name);
        if path.exists() {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            show::line(&format!("removed {}", path.display()))?;
            removed = true;
        }
    }
    if !removed {
        bail!("no service of Lighter's is installed in {}", place.directory.display());
    }
    if place.manager != Manager::Launchd {
        place.manage(&["daemon-reload"])?;
    }
    show::line("containers go on; their data stays")?;
    Ok(())
}

/// The user's domain of launchd.
fn domain() -> String {
    format!("gui/{}", rustix::process::getuid().as_raw())
}

fn status(place: &Place) -> anyhow::Result<ExitCode> {
    let name = if place.manager == Manager::Launchd { "dev.lighter.lighterd.plist" } else { "lighter.socket" };
    let file = place.directory.join(name);
    if !file.exists() {
        show::line(&format!("not installed: there is no {}", file.display()))?;
        return Ok(ExitCode::FAILURE);
    }
    show::line(&format!("installed: {}", file.display()))?;
    let mut words = place.control();
    let target = format!("{}/{LABEL}", domain());
    match place.manager {
        Manager::Launchd => words.extend(["print", target.as_str()]),
        _ => words.extend(["is-active", "lighter.socket"]),
    }
    let active = Command::new(words[0]).args(&words[1..]).output().is_ok_and(|out| out.status.success());
    show::line(if active { "the socket is served" } else { "the socket is not served" })?;
    Ok(if active { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(manager: Manager, socket: &str) -> Vec<(PathBuf, String)> {
        let place = Place { manager, directory: "/d".into(), socket: socket.to_owned() };
        place.files(Path::new("/opt/lighter/lighterd")).unwrap()
    }

    #[test]
    fn the_plist_is_one() {
        let (path, text) = files(Manager::Launchd, "/Users/a & b/docker.sock").remove(0);
        assert_eq!(path, Path::new("/d/dev.lighter.lighterd.plist"));
        let value = plist::Value::from_reader_xml(text.as_bytes()).unwrap();
        let root = value.as_dictionary().unwrap();
        assert_eq!(root["Label"].as_string(), Some(LABEL));
        let words: Vec<_> = root["ProgramArguments"].as_array().unwrap().iter().filter_map(|v| v.as_string()).collect();
        assert_eq!(words, ["/opt/lighter/lighterd", "-H", "fd://"]);
        let listener = root["Sockets"].as_dictionary().unwrap()["Listeners"].as_dictionary().unwrap();
        assert_eq!(listener["SockPathName"].as_string(), Some("/Users/a & b/docker.sock"));
        assert_eq!(listener["SockPathMode"].as_unsigned_integer(), Some(0o600));
    }

    #[test]
    fn the_units_are_what_systemd_takes() {
        for (manager, socket) in [(Manager::Systemd, RUN), (Manager::SystemdOfUser, "%t/lighter/docker.sock")] {
            let dir = tempfile::tempdir().unwrap();
            let mut paths = Vec::new();
            for (path, text) in files(manager, socket) {
                // There is such a program on every machine.
                let text = text.replace("/opt/lighter/lighterd", "/bin/true");
                assert!(!text.contains(PROGRAM));
                let path = dir.path().join(path.file_name().unwrap());
                fs::write(&path, text).unwrap();
                paths.push(path);
            }
            let mut command = Command::new("systemd-analyze");
            if manager == Manager::SystemdOfUser {
                command.arg("--user").env("XDG_RUNTIME_DIR", dir.path());
            }
            // Where systemd is not, nobody can say.
            let Ok(out) = command.args(["verify", "--man=no"]).args(&paths).output() else { continue };
            let said = String::from_utf8_lossy(&out.stderr);
            let ours: Vec<&str> = said.lines().filter(|line| line.contains("lighter.")).collect();
            assert!(ours.is_empty(), "{manager:?}: {said}");
        }
    }

    #[test]
    fn a_users_unit_has_nothing_that_is_the_machines() {
        let files = files(Manager::SystemdOfUser, "%t/lighter/docker.sock");
        assert!(files[0].1.contains("WantedBy=default.target") && !files[0].1.contains("network-online"));
        assert!(files[1].1.contains("ListenStream=%t/lighter/docker.sock") && files[1].1.contains("SocketMode=0600"));
        assert!(!files[1].1.contains("SocketGroup"));
    }

    #[test]
    fn odd_programs_are_refused() {
        let place = Place { manager: Manager::Systemd, directory: "/d".into(), socket: RUN.to_owned() };
        for bad in ["lighterd", "/a b/lighterd", "/a\nExecStart=/bin/sh", "/%h/x"] {
            assert!(place.files(Path::new(bad)).is_err(), "{bad:?}");
        }
    }
}
