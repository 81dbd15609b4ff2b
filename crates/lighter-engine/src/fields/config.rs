//! `ContainerConfig`: the portable half.

use super::{Field, daemon, ignored, inside, runs};

pub(super) const FIELDS: &[Field] = &[
    inside("Config.Hostname", "--hostname"),
    inside("Config.Domainname", "--domainname"),
    runs("Config.User", "-u", |c| !c.config.user.is_empty()),
    ignored("Config.AttachStdin", "", "a note for the client, which attaches by a request of its own"),
    ignored("Config.AttachStdout", "", "a note for the client, which attaches by a request of its own"),
    ignored("Config.AttachStderr", "", "a note for the client, which attaches by a request of its own"),
    daemon("Config.ExposedPorts", "--expose"),
    daemon("Config.Tty", "-t"),
    daemon("Config.OpenStdin", "-i"),
    daemon("Config.StdinOnce", "-i"),
    inside("Config.Env", "-e --env-file"),
    daemon("Config.Cmd", ""),
    daemon(
        "Config.Healthcheck",
        "--health-cmd --health-interval --health-timeout --health-retries --health-start-period --health-start-interval",
    )
    .parts(&["Test", "Interval", "Timeout", "Retries", "StartPeriod", "StartInterval"]),
    ignored("Config.ArgsEscaped", "", "means something to Windows only"),
    daemon("Config.Image", ""),
    daemon("Config.Volumes", "-v /path"),
    inside("Config.WorkingDir", "-w"),
    daemon("Config.Entrypoint", "--entrypoint"),
    runs("Config.NetworkDisabled", "", |c| c.config.network_disabled),
    // Of clients before 1.44.
    runs("Config.MacAddress", "", |c| c.config.mac_address.as_ref().is_some_and(|m| !m.is_empty())),
    ignored("Config.OnBuild", "", "an instruction to builders, kept for them"),
    daemon("Config.Labels", "-l --label-file"),
    daemon("Config.StopSignal", "--stop-signal"),
    daemon("Config.StopTimeout", "--stop-timeout"),
    daemon("Config.Shell", ""),
];
