//! `docker top`: the host's own `ps`, as dockerd does it, for its columns and options are what users know. Of its lines only
//! those of the container's processes are given. The program is looked for in the machine's own directories and nowhere else.

use crate::cgroup::Cgroups;
use crate::engine::{Inner, LinuxEngine};
use crate::fail::Context as _;
use async_trait::async_trait;
use lighter_domain::{Container, Error, Result};
use lighter_engine::{ProcessList, Top};
use std::collections::HashSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// Where a machine has its `ps`.
const PLACES: [&str; 5] = ["/usr/bin/ps", "/bin/ps", "/usr/local/bin/ps", "/run/current-system/sw/bin/ps", "/usr/sbin/ps"];
/// `ps` hangs when a process it looks at is stuck in the kernel.
const PATIENCE: Duration = Duration::from_secs(20);
/// No list is longer, in bytes.
const MAX_OUTPUT: u64 = 32 << 20;

#[async_trait]
impl Top for LinuxEngine {
    async fn top(&self, container: &Container, ps_args: &str) -> Result<ProcessList> {
        self.inner.top(container, ps_args).await
    }
}

impl Inner {
    pub(crate) async fn top(self: &Arc<Self>, container: &Container, ps_args: &str) -> Result<ProcessList> {
        self.running_dir(&container.id)?;
        let groups = self.cgroups.groups_of(container);
        let members = tokio::task::spawn_blocking(move || Cgroups::members(&groups)).await.context("reading was broken off")?;
        let args: Vec<&str> = ps_args.split(' ').collect();
        let mut selection = String::from("-q");
        for (n, pid) in members.iter().enumerate() {
            selection.push_str(if n == 0 { "" } else { "," });
            selection.push_str(&pid.to_string());
        }
        let selected: Vec<&str> = args.iter().copied().chain([selection.as_str()]).collect();
        // Some options (`f` among them) do not go with a selection.
        let output = match ps(&selected).await? {
            Ok(output) => output,
            Err(_) => ps(&args).await?.map_err(Error::invalid)?,
        };
        parse(&output, &members.into_iter().collect())
    }
}

/// The outer error: `ps` could not be run; the inner one: it refused, in its own words.
async fn ps(args: &[&str]) -> Result<Result<String, String>> {
    let missing = || Error::internal("exec: \"ps\": executable file not found in $PATH");
    let program = PLACES.iter().find(|place| Path::new(place).is_file()).ok_or_else(missing)?;
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot run ps")?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let run = async {
        let (out, err) = tokio::join!(read(stdout), read(stderr));
        Ok::<_, std::io::Error>((child.wait().await?, out, err))
    };
    let (status, out, err) = match tokio::time::timeout(PATIENCE, run).await {
        Ok(done) => done.context("cannot run ps")?,
        Err(_) => return Err(Error::unavailable("ps did not end in time")),
    };
    if status.success() {
        return Ok(Ok(out));
    }
    let why = err.lines().next().filter(|line| !line.is_empty());
    Ok(Err(why.map_or_else(|| format!("ps: {status}"), str::to_owned)))
}

async fn read(from: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(from) = from
        && let Err(error) = from.take(MAX_OUTPUT).read_to_end(&mut bytes).await
    {
        tracing::warn!(%error, "what ps prints could not be read");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Titles, and the lines of the given processes; a line without a number (of a thread) belongs to the one before it.
fn parse(output: &str, members: &HashSet<u32>) -> Result<ProcessList> {
    let mut lines = output.lines();
    let titles: Vec<String> = words(lines.next().unwrap_or_default()).map(str::to_owned).collect();
    let Some(pid_at) = titles.iter().position(|t| t == "PID") else {
        return Err(Error::invalid("Couldn't find PID field in ps output"));
    };
    let mut processes = Vec::new();
    let mut inside = false;
    for line in lines {
        let fields: Vec<&str> = words(line).collect();
        let Some(pid) = fields.get(pid_at) else { continue };
        if *pid != "-" {
            let number = pid.parse::<u32>().map_err(|_| Error::internal(format!("Unexpected pid '{pid}'")))?;
            inside = members.contains(&number);
        }
        if inside {
            processes.push(row(&fields, titles.len()));
        }
    }
    Ok(ProcessList { titles, processes })
}

/// As many fields as there are titles: what is left over belongs to the last.
fn row(fields: &[&str], titles: usize) -> Vec<String> {
    let (own, rest) = fields.split_at((titles - 1).min(fields.len()));
    own.iter().map(|f| (*f).to_owned()).chain([rest.join(" ")]).collect()
}

/// Only these blanks part fields: a program may have others in its name.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| c.is_ascii_whitespace()).filter(|w| !w.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_lines() {
        let output = "  PID USER     CMD\n    1 root     init\n   20 me       sh -c a  b\n    - -        -\n   30 other    x\n    - -        -\n   21 me\u{a0}y  z\n";
        let list = parse(output, &HashSet::from([20, 21])).unwrap();
        assert_eq!(list.titles, ["PID", "USER", "CMD"]);
        assert_eq!(list.processes, [["20", "me", "sh -c a b"], ["-", "-", "-"], ["21", "me\u{a0}y", "z"]]);
    }

    #[test]
    fn odd_outputs() {
        assert_eq!(parse("CMD\nsh\n", &HashSet::new()).unwrap_err().message(), "Couldn't find PID field in ps output");
        assert!(parse("", &HashSet::new()).is_err());
        assert!(parse("PID\nnonsense\n", &HashSet::new()).is_err());
        assert_eq!(parse("CMD PID\nx 1\nx\n\n", &HashSet::from([1])).unwrap().processes, [["x", "1"]]);
    }

    #[tokio::test]
    async fn the_machines_ps() {
        let me = std::process::id().to_string();
        let output = ps(&["-o", "pid,comm", "-q", &me]).await.unwrap().unwrap();
        let list = parse(&output, &HashSet::from([std::process::id()])).unwrap();
        assert_eq!((list.titles.join(" "), list.processes.len()), ("PID COMMAND".to_owned(), 1));
        let refused = ps(&["--nonsense"]).await.unwrap().unwrap_err();
        assert!(refused.contains("nonsense") || refused.contains("option"), "{refused}");
    }
}
