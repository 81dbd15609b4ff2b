//! A container's configuration is what the client asked for, completed by its image; and the defaults of `HostConfig`.

use crate::config::ContainerDefaults;
use lighter_domain::host_config::{MASKED_PATHS, READONLY_PATHS, RestartPolicyName};
use lighter_domain::{ContainerConfig, Error, HealthConfig, HostConfig, Result};

/// dockerd's default for `/dev/shm`: 64 MiB.
const SHM_SIZE: i64 = 64 << 20;

/// Completes `config` from the image's, as dockerd does: what the client set wins.
pub(crate) fn image_defaults(config: &mut ContainerConfig, image: &ContainerConfig) {
    if config.user.is_empty() {
        config.user.clone_from(&image.user);
    }
    if config.working_dir.is_empty() {
        config.working_dir.clone_from(&image.working_dir);
    }
    config.exposed_ports.extend(image.exposed_ports.iter().cloned());
    config.volumes.extend(image.volumes.iter().cloned());
    for (key, value) in &image.labels {
        config.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    merge_env(&mut config.env, &image.env);
    // An entrypoint of the client's own does away with the image's command, too.
    if config.entrypoint.is_none() {
        if config.cmd.as_ref().is_none_or(Vec::is_empty) {
            config.cmd.clone_from(&image.cmd);
            config.args_escaped = image.args_escaped;
        }
        config.entrypoint.clone_from(&image.entrypoint);
    }
    // `--entrypoint ""` is sent as one empty string.
    if config.entrypoint.as_deref().is_some_and(|e| e.len() == 1 && e[0].is_empty()) {
        config.entrypoint = None;
    }
    if config.stop_signal.as_deref().is_none_or(str::is_empty) {
        config.stop_signal.clone_from(&image.stop_signal);
    }
    config.stop_timeout = config.stop_timeout.or(image.stop_timeout);
    if config.shell.as_ref().is_none_or(Vec::is_empty) {
        config.shell.clone_from(&image.shell);
    }
    merge_health(&mut config.healthcheck, image.healthcheck.as_ref());
}

fn merge_env(env: &mut Vec<String>, image: &[String]) {
    let key = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let set: std::collections::HashSet<String> = env.iter().map(|e| key(e)).collect();
    env.extend(image.iter().filter(|e| !set.contains(&key(e))).cloned());
    // A bare name asks for the variable not to be there.
    env.retain(|e| e.contains('='));
}

fn merge_health(mine: &mut Option<HealthConfig>, image: Option<&HealthConfig>) {
    let Some(image) = image else { return };
    let Some(mine) = mine else {
        *mine = Some(image.clone());
        return;
    };
    if mine.test.is_empty() {
        mine.test.clone_from(&image.test);
    }
    let inherit = |mine: &mut i64, image: i64| {
        if *mine == 0 {
            *mine = image;
        }
    };
    inherit(&mut mine.interval, image.interval);
    inherit(&mut mine.timeout, image.timeout);
    inherit(&mut mine.start_period, image.start_period);
    inherit(&mut mine.start_interval, image.start_interval);
    inherit(&mut mine.retries, image.retries);
}

/// What this daemon was told to give to containers that say nothing. Log options are merged when the driver is the same.
pub(crate) fn daemon_defaults(host: &mut HostConfig, defaults: &ContainerDefaults) {
    let ContainerDefaults { log, dns, dns_options, dns_search } = defaults;
    let fill = |field: &mut Vec<String>, value: &Vec<String>| {
        if field.is_empty() {
            field.clone_from(value);
        }
    };
    fill(&mut host.dns, dns);
    fill(&mut host.dns_options, dns_options);
    fill(&mut host.dns_search, dns_search);
    if host.log_config.driver.is_empty() {
        host.log_config.driver.clone_from(&log.driver);
    }
    if host.log_config.driver == log.driver {
        for (key, value) in &log.options {
            host.log_config.options.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// What the client may leave out of `HostConfig`, as `inspect` shows it afterwards.
pub(crate) fn host_defaults(host: &mut HostConfig, cgroup_version: &str) {
    let fill = |field: &mut String, value: &str| {
        if field.is_empty() {
            value.clone_into(field);
        }
    };
    fill(&mut host.network_mode, "bridge");
    if host.network_mode == "default" {
        "bridge".clone_into(&mut host.network_mode);
    }
    fill(&mut host.log_config.driver, "json-file");
    fill(&mut host.ipc_mode, "private");
    fill(&mut host.cgroupns_mode, if cgroup_version == "2" && !host.privileged { "private" } else { "host" });
    fill(&mut host.runtime, "runc");
    if host.shm_size == 0 {
        host.shm_size = SHM_SIZE;
    }
    if host.restart_policy.name == RestartPolicyName::Unset {
        host.restart_policy.name = RestartPolicyName::No;
    }
    if host.memory > 0 && host.memory_swap == 0 {
        host.memory_swap = host.memory.saturating_mul(2);
    }
    host.pids_limit = host.pids_limit.filter(|limit| *limit != 0);
    let paths = |all: &[&str]| Some(if host.privileged { Vec::new() } else { all.iter().map(|p| (*p).to_owned()).collect() });
    let masked = host.masked_paths.take();
    host.masked_paths = masked.or_else(|| paths(&MASKED_PATHS));
    let readonly = host.readonly_paths.take();
    host.readonly_paths = readonly.or_else(|| paths(&READONLY_PATHS));
    host.console_size = Some(host.console_size.unwrap_or((0, 0)));
}

/// The rules of dockerd's that need no engine.
pub(crate) fn check(config: &ContainerConfig, host: &HostConfig) -> Result<()> {
    let policy = &host.restart_policy;
    if host.auto_remove && !matches!(policy.name, RestartPolicyName::No | RestartPolicyName::Unset) {
        return Err(Error::invalid("can't create 'AutoRemove' container with restart policy"));
    }
    if host.uts_mode == "host" && !config.hostname.is_empty() {
        return Err(Error::invalid("conflicting options: hostname and the UTS mode"));
    }
    check_restart_policy(host)?;
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        let dir = &config.working_dir;
        return Err(Error::invalid(format!("the working directory '{dir}' is invalid, it needs to be an absolute path")));
    }
    if let Some(signal) = config.stop_signal.as_deref().filter(|s| !s.is_empty()) {
        lighter_domain::Signal::parse(signal)?;
    }
    for entry in &config.env {
        if entry.is_empty() || entry.starts_with('=') {
            return Err(Error::invalid(format!("invalid environment variable: {entry}")));
        }
    }
    if let Some(health) = &config.healthcheck {
        check_health(health)?;
    }
    Ok(())
}

pub(crate) fn check_restart_policy(host: &HostConfig) -> Result<()> {
    let policy = &host.restart_policy;
    if policy.maximum_retry_count != 0 && policy.name != RestartPolicyName::OnFailure {
        return Err(Error::invalid("invalid restart policy: maximum retry count can only be used with 'on-failure'"));
    }
    if policy.maximum_retry_count < 0 {
        return Err(Error::invalid("invalid restart policy: maximum retry count cannot be negative"));
    }
    Ok(())
}

fn check_health(health: &HealthConfig) -> Result<()> {
    const LEAST: i64 = 1_000_000;
    let durations = [
        ("Interval", health.interval),
        ("Timeout", health.timeout),
        ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    ];
    for (name, nanos) in durations {
        if nanos != 0 && nanos < LEAST {
            return Err(Error::invalid(format!("{name} in Healthcheck cannot be less than 1ms")));
        }
    }
    if health.retries < 0 {
        return Err(Error::invalid("Retries in Healthcheck cannot be negative"));
    }
    Ok(())
}

/// The program and its arguments.
pub(crate) fn argv(config: &ContainerConfig) -> Result<(String, Vec<String>)> {
    let entrypoint = config.entrypoint.iter().flatten();
    let mut words = entrypoint.chain(config.cmd.iter().flatten()).cloned();
    let program = words.next().ok_or_else(|| Error::invalid("no command specified"))?;
    Ok((program, words.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(w: &[&str]) -> Option<Vec<String>> {
        Some(w.iter().map(|s| (*s).to_owned()).collect())
    }

    fn merged(config: ContainerConfig) -> ContainerConfig {
        let image = ContainerConfig {
            entrypoint: words(&["/entry"]),
            cmd: words(&["default"]),
            env: vec!["PATH=/bin".into(), "A=image".into(), "B=image".into()],
            ..ContainerConfig::default()
        };
        let mut config = config;
        image_defaults(&mut config, &image);
        config
    }

    #[test]
    fn entrypoint_and_command_combine_as_in_dockerd() {
        let argv_of = |entrypoint, cmd| argv(&merged(ContainerConfig { entrypoint, cmd, ..ContainerConfig::default() }));
        let full = |r: Result<(String, Vec<String>)>| r.map(|(p, a)| [vec![p], a].concat().join(" ")).map_err(|e| e.to_string());
        assert_eq!(full(argv_of(None, None)).unwrap(), "/entry default");
        assert_eq!(full(argv_of(None, words(&["mine"]))).unwrap(), "/entry mine");
        assert_eq!(full(argv_of(words(&["sh"]), None)).unwrap(), "sh");
        assert_eq!(full(argv_of(words(&[""]), words(&["mine"]))).unwrap(), "mine");
        assert_eq!(full(argv_of(words(&[""]), None)).unwrap_err(), "no command specified");
    }

    #[test]
    fn environment_merges_by_name_and_a_bare_name_removes() {
        let config = ContainerConfig { env: vec!["A=mine".into(), "B".into()], ..ContainerConfig::default() };
        assert_eq!(merged(config).env, ["A=mine", "PATH=/bin"]);
    }
}
