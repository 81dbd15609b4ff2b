//! Exec instances.

use lighter_core::{DetachKeys, ExecInspected, ExecStart, ExecState};
use lighter_domain::ExecConfig;
use lighter_wire::exec::{self as wire, ExecCreate, ProcessConfig};

pub fn config(body: ExecCreate) -> ExecConfig {
    let ExecCreate {
        user,
        privileged,
        tty,
        console_size,
        attach_stdin,
        attach_stderr,
        attach_stdout,
        detach_keys,
        env,
        working_dir,
        cmd,
    } = body;
    ExecConfig {
        user,
        privileged,
        tty,
        attach_stdin,
        attach_stdout,
        attach_stderr,
        detach_keys,
        env: env.unwrap_or_default(),
        cmd: cmd.0.unwrap_or_default(),
        working_dir,
        console_size: console_size.map(|[h, w]| (h, w)),
    }
}

pub fn start(body: &wire::ExecStart) -> ExecStart {
    let wire::ExecStart { detach, tty, console_size } = *body;
    ExecStart { detach, tty, console_size: console_size.map(|[h, w]| (h, w)) }
}

pub fn inspect(exec: ExecInspected) -> wire::ExecInspect {
    let ExecInspected { id, container_id, config, state } = exec;
    let (running, pid, exit_code) = match state {
        ExecState::Created => (false, 0, None),
        ExecState::Running { pid } => (true, pid, None),
        ExecState::Exited { pid, code } => (false, pid, Some(code)),
    };
    // They were checked when the instance was made; none given are none shown.
    let keys = Some(&config.detach_keys).filter(|k| !k.is_empty()).and_then(|k| DetachKeys::parse(k).ok());
    let keys = keys.map(|k| k.bytes().to_vec()).unwrap_or_default();
    let mut words = config.cmd.into_iter();
    wire::ExecInspect {
        id,
        running,
        exit_code,
        process_config: ProcessConfig {
            tty: config.tty,
            entrypoint: words.next().unwrap_or_default(),
            arguments: words.collect(),
            privileged: config.privileged,
            user: config.user,
        },
        open_stdin: config.attach_stdin,
        open_stderr: config.attach_stderr,
        open_stdout: config.attach_stdout,
        // dockerd removes an instance by itself, too, and says so of none.
        can_remove: false,
        container_id: container_id.as_str().to_owned(),
        detach_keys: keys,
        pid,
    }
}
