//! The portable half of the configuration.

use lighter_domain::{Container, ContainerConfig, Error, Result};

pub(super) fn check(container: &Container) -> Result<()> {
    let ContainerConfig {
        // Honoured by the spec builder.
        hostname,
        domainname,
        user: _,
        tty: _,
        open_stdin: _,
        stdin_once: _,
        env,
        working_dir,
        network_disabled: _,
        // The client's and the core's affair: attaching, merging, stopping, health, bookkeeping.
        attach_stdin: _,
        attach_stdout: _,
        attach_stderr: _,
        exposed_ports: _,
        cmd: _,
        healthcheck: _,
        args_escaped: _,
        image: _,
        entrypoint: _,
        on_build: _,
        labels: _,
        stop_signal: _,
        stop_timeout: _,
        shell: _,
        // Not honoured.
        volumes: _,
        mac_address: _,
    } = &container.config;
    if hostname.len() > 64 || domainname.len() > 64 {
        return Err(Error::invalid("invalid hostname or domainname: longer than 64 bytes"));
    }
    if !working_dir.is_empty() && !working_dir.starts_with('/') {
        let text = format!("the working directory '{working_dir}' is invalid, it needs to be an absolute path");
        return Err(Error::invalid(text));
    }
    let words = env.iter().chain([&container.path, hostname, domainname, working_dir]).chain(&container.args);
    if words.into_iter().any(|w| w.contains('\0')) {
        return Err(Error::invalid("a null byte in the program, its arguments, its environment or its names"));
    }
    if let Some(bad) = env.iter().find(|e| e.is_empty() || e.starts_with('=')) {
        return Err(Error::invalid(format!("invalid environment variable: {bad}")));
    }
    Ok(())
}
