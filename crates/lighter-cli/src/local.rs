//! What the command itself sees, beside the daemon: docker's contexts, other engines' sockets, the user's rights.

use lighter_wire::lighter::Finding;
use serde::Deserialize;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Sockets of other engines, where they usually are.
const OTHERS: [(&str, &str); 4] = [
    ("dockerd", "/var/run/docker.sock"),
    ("Podman", "/run/podman/podman.sock"),
    ("containerd", "/run/containerd/containerd.sock"),
    ("CRI-O", "/run/crio/crio.sock"),
];

fn finding(subject: &str, verdict: &str, found: String, advice: &str) -> Finding {
    Finding { subject: subject.to_owned(), verdict: verdict.to_owned(), found, advice: advice.to_owned() }
}

/// The findings that need no daemon.
pub fn findings(socket: &Path) -> Vec<Finding> {
    let mut found = vec![permissions(socket)];
    found.extend(OTHERS.iter().filter(|(_, path)| Path::new(path).exists()).map(|(name, path)| {
        let advice = "nothing to do: Lighter shares neither sockets nor data nor bridges with it";
        finding("other engines", "note", format!("{name} listens at {path}"), advice)
    }));
    found.extend(contexts(socket));
    found
}

fn permissions(socket: &Path) -> Finding {
    let subject = "socket";
    let Ok(meta) = std::fs::symlink_metadata(socket) else {
        let advice = "start lighterd (lighter service install, or make run), or name its socket with --host";
        return finding(subject, "problem", format!("there is no socket at {}", socket.display()), advice);
    };
    let mode = meta.mode() & 0o777;
    let said = format!("{} has mode {mode:o}, user {}, group {}", socket.display(), meta.uid(), meta.gid());
    if mode & 0o002 != 0 {
        return finding(subject, "problem", said, "everybody on this machine is root through it: start lighterd anew");
    }
    match rustix::fs::access(socket, rustix::fs::Access::WRITE_OK) {
        Ok(()) => finding(subject, "good", said, ""),
        Err(_) => finding(subject, "problem", said, "you may not use it: join the socket's group and log in anew, or be root"),
    }
}

/// docker's directory of contexts and settings.
fn docker_config() -> Option<PathBuf> {
    let said = std::env::var_os("DOCKER_CONFIG").filter(|d| !d.is_empty()).map(PathBuf::from);
    said.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Context {
    name: String,
    #[serde(default)]
    endpoints: Endpoints,
}

#[derive(Debug, Default, Deserialize)]
struct Endpoints {
    docker: Option<Endpoint>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    #[serde(default)]
    host: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    #[serde(default)]
    current_context: String,
}

/// Which daemon docker talks to, and whether a context leads here.
fn contexts(socket: &Path) -> Vec<Finding> {
    let subject = "docker context";
    let Some(dir) = docker_config() else { return Vec::new() };
    let read = |path: &Path| std::fs::read(path).ok();
    let settings: Settings = read(&dir.join("config.json")).and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
    let metas = std::fs::read_dir(dir.join("contexts/meta")).into_iter().flatten().flatten();
    let contexts: Vec<Context> =
        metas.filter_map(|entry| serde_json::from_slice(&read(&entry.path().join("meta.json"))?).ok()).collect();
    let here = format!("unix://{}", socket.display());
    let leads_here = |c: &Context| c.endpoints.docker.as_ref().is_some_and(|e| e.host == here);
    let current = match settings.current_context.as_str() {
        "" => "default",
        name => name,
    };
    let mut found = Vec::new();
    if let Ok(host) = std::env::var("DOCKER_HOST")
        && !host.is_empty()
        && host != here
    {
        let said = format!("DOCKER_HOST is {host}, which overrides every context");
        found.push(finding(subject, "note", said, "unset DOCKER_HOST, if docker shall talk to Lighter"));
    }
    match contexts.iter().find(|c| leads_here(c)) {
        Some(c) if c.name == current => {
            found.push(finding(subject, "good", format!("docker uses \"{}\", which leads here", c.name), ""))
        }
        Some(c) => {
            let said = format!("\"{}\" leads here; docker uses \"{current}\"", c.name);
            found.push(finding(subject, "note", said, &format!("docker context use {}", c.name)));
        }
        None => found.push(finding(subject, "note", "no docker context leads here".to_owned(), "lighter context install --use")),
    }
    found
}
