//! The process part of the spec: program, environment, user, capabilities and limits; for a container's init and for exec.

use super::caps::CapSet;
use super::modes::{Modes, Sharing};
use super::mounts::{INIT_PATH, clean, words};
use super::users::User;
use crate::fail::Context as _;
use lighter_domain::host_config::Ulimit;
use lighter_domain::{Container, Error, ExecConfig, Result};
use oci_spec::runtime::{PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, User as OciUser};
use std::path::PathBuf;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const LIMITS: [(&str, PosixRlimitType); 15] = [
    ("core", PosixRlimitType::RlimitCore),
    ("cpu", PosixRlimitType::RlimitCpu),
    ("data", PosixRlimitType::RlimitData),
    ("fsize", PosixRlimitType::RlimitFsize),
    ("locks", PosixRlimitType::RlimitLocks),
    ("memlock", PosixRlimitType::RlimitMemlock),
    ("msgqueue", PosixRlimitType::RlimitMsgqueue),
    ("nice", PosixRlimitType::RlimitNice),
    ("nofile", PosixRlimitType::RlimitNofile),
    ("nproc", PosixRlimitType::RlimitNproc),
    ("rss", PosixRlimitType::RlimitRss),
    ("rtprio", PosixRlimitType::RlimitRtprio),
    ("rttime", PosixRlimitType::RlimitRttime),
    ("sigpending", PosixRlimitType::RlimitSigpending),
    ("stack", PosixRlimitType::RlimitStack),
];

/// The container's init process.
pub(crate) fn init(container: &Container, modes: &Modes, user: &User, caps: CapSet, with_init: bool) -> Result<Process> {
    let mut args = if with_init { words(&[INIT_PATH, "--"]) } else { Vec::new() };
    args.push(container.path.clone());
    args.extend(container.args.iter().cloned());
    let env = environment(container, modes, container.config.tty, &[], &user.home);
    let mut process = base(args, env, cwd(container), user, caps);
    process.set_terminal(Some(container.config.tty));
    let limits = rlimits(&container.host_config.ulimits)?;
    process.set_rlimits(Some(limits).filter(|l| !l.is_empty()));
    if no_new_privileges(&container.host_config.security_opt) {
        process.set_no_new_privileges(Some(true));
    }
    Ok(process)
}

/// One more process in a running container.
pub(crate) fn exec(container: &Container, modes: &Modes, config: &ExecConfig, user: &User, caps: CapSet) -> Result<Process> {
    let env = environment(container, modes, config.tty, &config.env, &user.home);
    let cwd = if config.working_dir.is_empty() { cwd(container) } else { PathBuf::from(&config.working_dir) };
    let mut process = base(config.cmd.clone(), env, cwd, user, caps);
    process.set_terminal(Some(config.tty));
    let limits = rlimits(&container.host_config.ulimits)?;
    process.set_rlimits(Some(limits).filter(|l| !l.is_empty()));
    if no_new_privileges(&container.host_config.security_opt) {
        process.set_no_new_privileges(Some(true));
    }
    Ok(process)
}

fn base(args: Vec<String>, env: Vec<String>, cwd: PathBuf, user: &User, caps: CapSet) -> Process {
    let mut who = OciUser::default();
    who.set_uid(user.uid).set_gid(user.gid).set_additional_gids(Some(user.groups.clone()));
    let mut process = Process::default();
    process.set_args(Some(args)).set_env(Some(env)).set_cwd(cwd).set_user(who);
    process.set_capabilities(Some(caps.to_oci(user.uid))).set_rlimits(None).set_no_new_privileges(None);
    process
}

/// The working directory, absolute and clean.
pub(crate) fn cwd(container: &Container) -> PathBuf {
    clean(&container.config.working_dir)
}

/// The name that the container sees of itself.
pub(crate) fn hostname(container: &Container, modes: &Modes) -> String {
    match container.config.hostname.as_str() {
        "" if modes.uts == Sharing::Host || !modes.own_network() => {
            rustix::system::uname().nodename().to_string_lossy().into_owned()
        }
        "" => container.id.short().to_owned(),
        name => name.to_owned(),
    }
}

/// In Docker's order: `PATH`, `HOSTNAME`, `TERM`, then what image, user and exec set (in place where the name is there
/// already; a bare name removes it), then `HOME` unless it was set.
fn environment(container: &Container, modes: &Modes, tty: bool, more: &[String], home: &str) -> Vec<String> {
    let mut env = vec![PATH.to_owned(), format!("HOSTNAME={}", hostname(container, modes))];
    if tty {
        env.push("TERM=xterm".into());
    }
    let name = |e: &str| e.split_once('=').map_or(e, |(n, _)| n).to_owned();
    for entry in container.config.env.iter().chain(more) {
        let key = name(entry);
        let at = env.iter().position(|e| name(e) == key);
        match (at, entry.contains('=')) {
            (Some(i), true) => env[i].clone_from(entry),
            (None, true) => env.push(entry.clone()),
            (Some(i), false) => {
                env.remove(i);
            }
            (None, false) => {}
        }
    }
    if !env.iter().any(|e| e.starts_with("HOME=")) {
        env.push(format!("HOME={home}"));
    }
    env
}

/// `--ulimit`; the errors are dockerd's.
pub(crate) fn rlimits(asked: &[Ulimit]) -> Result<Vec<PosixRlimit>> {
    let one = |u: &Ulimit| {
        let Some((_, kind)) = LIMITS.iter().find(|(n, _)| *n == u.name) else {
            return Err(Error::invalid(format!("invalid ulimit type: {}", u.name)));
        };
        // -1 is "unlimited", the largest number.
        #[expect(clippy::cast_sign_loss, reason = "two's complement is what the kernel takes for unlimited")]
        let (soft, hard) = (u.soft as u64, u.hard as u64);
        if soft > hard {
            let text = format!("ulimit soft limit must be less than or equal to hard limit: {} > {}", u.soft, u.hard);
            return Err(Error::invalid(text));
        }
        PosixRlimitBuilder::default().typ(*kind).soft(soft).hard(hard).build().context("ulimit")
    };
    asked.iter().map(one).collect()
}

/// `no-new-privileges`, `no-new-privileges=true`, and the old spelling with a colon.
pub(crate) fn no_new_privileges(options: &[String]) -> bool {
    let set = |o: &String| match o.split_once(['=', ':']) {
        Some(("no-new-privileges", v)) => Some(matches!(v, "true" | "1" | "True" | "TRUE" | "t" | "T")),
        None if o == "no-new-privileges" => Some(true),
        _ => None,
    };
    options.iter().rev().find_map(set).unwrap_or(false)
}
