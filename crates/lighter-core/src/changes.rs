//! `--change` instructions of `commit` and `import`: the Dockerfile instructions that only change the configuration.

use lighter_domain::{ContainerConfig, Error, HealthConfig, Result, Signal};

/// Applies instructions in their order; each text may hold several lines, with `\` at the end of one that goes on. Errors are
/// worded as dockerd's builder words them.
pub(crate) fn apply(config: &mut ContainerConfig, changes: &[String]) -> Result<()> {
    let mut cmd_set = false;
    for text in changes {
        let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
        let mut lines = joined.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).peekable();
        if lines.peek().is_none() {
            return Err(Error::invalid("file with no instructions"));
        }
        for line in lines {
            one(config, line, &mut cmd_set)?;
        }
    }
    Ok(())
}

fn one(config: &mut ContainerConfig, line: &str, cmd_set: &mut bool) -> Result<()> {
    let (instruction, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let (instruction, rest) = (instruction.to_ascii_uppercase(), rest.trim());
    let needs = |what: &str| match rest {
        "" => Err(Error::invalid(format!("{instruction} requires {what}"))),
        rest => Ok(rest),
    };
    match instruction.as_str() {
        "CMD" => {
            config.cmd = Some(if rest.is_empty() { Vec::new() } else { command(config, rest) });
            *cmd_set = true;
        }
        "ENTRYPOINT" => {
            config.entrypoint = if rest.is_empty() { None } else { Some(command(config, rest)) };
            // The command was meant for the entrypoint before.
            if !*cmd_set {
                config.cmd = None;
            }
        }
        "ENV" => {
            let all = pairs(needs("at least one argument")?).ok_or_else(|| Error::invalid("ENV must have two arguments"))?;
            let set = all.into_iter().map(|(k, v)| (k, expand(&v, &config.env))).collect::<Vec<_>>();
            set.into_iter().for_each(|(k, v)| set_env(&mut config.env, &k, &v));
        }
        "LABEL" => {
            let all = pairs(needs("at least one argument")?).ok_or_else(|| Error::invalid("LABEL must have two arguments"))?;
            let env = &config.env;
            config.labels.extend(all.into_iter().map(|(k, v)| (expand(&k, env), expand(&v, env))));
        }
        "EXPOSE" => {
            for port in expand(needs("at least one argument")?, &config.env).split_whitespace() {
                config.exposed_ports.extend(ports(port)?);
            }
        }
        "VOLUME" => {
            let rest = expand(needs("at least one argument")?, &config.env);
            config.volumes.extend(list(&rest).unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect()));
        }
        "USER" => config.user = expand(needs("exactly one argument")?, &config.env),
        "WORKDIR" => {
            let dir = expand(needs("exactly one argument")?, &config.env);
            config.working_dir =
                crate::mounts::clean(&format!("{}/{dir}", if dir.starts_with('/') { "" } else { &config.working_dir }));
        }
        "STOPSIGNAL" => {
            let signal = expand(needs("exactly one argument")?, &config.env);
            Signal::parse(&signal).map_err(|_| Error::invalid(format!("invalid signal: {signal}")))?;
            config.stop_signal = Some(signal);
        }
        "HEALTHCHECK" => config.healthcheck = Some(health(needs("at least one argument")?)?),
        "ONBUILD" => config.on_build.get_or_insert_default().push(trigger(needs("at least one argument")?)?),
        other => return Err(Error::invalid(format!("{other} is not a valid change command"))),
    }
    Ok(())
}

fn trigger(rest: &str) -> Result<String> {
    let instruction = rest.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    match instruction.as_str() {
        "ONBUILD" => Err(Error::invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")),
        "MAINTAINER" | "FROM" => Err(Error::invalid(format!("{instruction} isn't allowed as an ONBUILD trigger"))),
        _ => Ok(rest.to_owned()),
    }
}

/// `["a","b"]` is run as it is, anything else by a shell.
fn command(config: &ContainerConfig, rest: &str) -> Vec<String> {
    list(rest).unwrap_or_else(|| {
        let shell = config.shell.clone().filter(|s| !s.is_empty());
        let mut words = shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
        words.push(rest.to_owned());
        words
    })
}

fn set_env(env: &mut Vec<String>, key: &str, value: &str) {
    let entry = format!("{key}={value}");
    match env.iter_mut().find(|e| e.split('=').next() == Some(key)) {
        Some(old) => *old = entry,
        None => env.push(entry),
    }
}

/// `80`, `80/udp`, `80-82`.
fn ports(text: &str) -> Result<Vec<String>> {
    let bad = || Error::invalid(format!("Invalid containerPort: {text}"));
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(Error::invalid(format!("Invalid proto: {protocol}")));
    }
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u16, u16) = (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
    if first > last {
        return Err(bad());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// `NONE`, or `[--flag=value ...] CMD command`.
fn health(rest: &str) -> Result<HealthConfig> {
    let mut health = HealthConfig::default();
    let mut rest = rest;
    while let Some(flag) = rest.strip_prefix("--") {
        let (word, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        let (name, value) = word.split_once('=').ok_or_else(|| Error::invalid(format!("missing a value on flag: {word}")))?;
        match name {
            "interval" => health.interval = nanos(value)?,
            "timeout" => health.timeout = nanos(value)?,
            "start-period" => health.start_period = nanos(value)?,
            "start-interval" => health.start_interval = nanos(value)?,
            "retries" => {
                health.retries =
                    value.parse().map_err(|_| Error::invalid(format!("--retries must be a number, not {value:?}")))?;
            }
            _ => return Err(Error::invalid(format!("unknown flag: --{name}"))),
        }
        rest = after.trim();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    match kind.to_ascii_uppercase().as_str() {
        "NONE" if command.is_empty() => health.test = vec!["NONE".to_owned()],
        "NONE" => return Err(Error::invalid("HEALTHCHECK NONE takes no arguments")),
        "CMD" if command.is_empty() => return Err(Error::invalid("Missing command after HEALTHCHECK CMD")),
        "CMD" => {
            health.test = match list(command) {
                Some(words) => std::iter::once("CMD".to_owned()).chain(words).collect(),
                None => vec!["CMD-SHELL".to_owned(), command.to_owned()],
            };
        }
        other => return Err(Error::invalid(format!("Unknown type {other:?} in HEALTHCHECK (try CMD)"))),
    }
    Ok(health)
}

/// A duration as Go writes it (`1m30s`, `500ms`), in nanoseconds.
fn nanos(text: &str) -> Result<i64> {
    let bad = || Error::invalid(format!("time: invalid duration {text:?}"));
    let mut total = 0.0_f64;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let number: f64 = rest[..end].parse().map_err(|_| bad())?;
        rest = &rest[end..];
        let unit = &rest[..rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len())];
        let scale = match unit {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(Error::invalid(format!("time: unknown unit {unit:?} in duration {text:?}"))),
        };
        total += number * scale;
        rest = &rest[unit.len()..];
    }
    // A cast of a float that does not fit saturates.
    #[expect(clippy::cast_possible_truncation, reason = "bounded by saturation")]
    if text.is_empty() { Err(bad()) } else { Ok(total as i64) }
}

/// `$NAME` and `${NAME}` replaced from the environment; `\$` is a dollar.
fn expand(text: &str, env: &[String]) -> String {
    let value = |name: &str| env.iter().find_map(|e| e.split_once('=').filter(|(k, _)| *k == name)).map_or("", |(_, v)| v);
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '\\']) {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if rest[at..].starts_with('\\') {
            if !after.starts_with('$') {
                out.push('\\');
            } else {
                out.push('$');
            }
            rest = after.strip_prefix('$').unwrap_or(after);
            continue;
        }
        let braced = after.strip_prefix('{').and_then(|a| a.split_once('}'));
        let bare = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        match braced {
            Some((name, left)) => {
                out.push_str(value(name));
                rest = left;
            }
            None if bare > 0 => {
                out.push_str(value(&after[..bare]));
                rest = &after[bare..];
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out + rest
}

/// A JSON array of strings. Escapes other than of quote and backslash are taken as text.
fn list(text: &str) -> Option<Vec<String>> {
    let mut chars = text.strip_prefix('[')?.strip_suffix(']')?.trim().chars().peekable();
    let mut words = Vec::new();
    while chars.peek().is_some() {
        (chars.next()? == '"').then_some(())?;
        let mut word = String::new();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => word.push(chars.next()?),
                c => word.push(c),
            }
        }
        words.push(word);
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_some() {
            (chars.next()? == ',').then_some(())?;
            while chars.next_if(|c| c.is_whitespace()).is_some() {}
            chars.peek()?;
        }
    }
    Some(words)
}

/// `A=1 B="x y"`, or the old form `A some value`.
fn pairs(rest: &str) -> Option<Vec<(String, String)>> {
    let first = rest.split_whitespace().next()?;
    if !first.contains('=') {
        let (key, value) = rest.split_once(char::is_whitespace)?;
        return Some(vec![(key.to_owned(), value.trim().to_owned())]);
    }
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in rest.chars() {
        let word = words.last_mut()?;
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, c) if c.is_whitespace() => words.push(String::new()),
            _ => word.push(c),
        }
    }
    let all = words.iter().filter(|w| !w.is_empty());
    all.map(|w| w.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(text: &str) -> Result<ContainerConfig> {
        let mut config = ContainerConfig { env: vec!["PATH=/bin".into()], ..ContainerConfig::default() };
        apply(&mut config, &[text.to_owned()]).map(|()| config)
    }

    #[test]
    fn changes() {
        assert_eq!(change(r#"CMD ["sh", "-c","a \"b\""]"#).unwrap().cmd.unwrap(), ["sh", "-c", "a \"b\""]);
        assert_eq!(change("entrypoint top -b").unwrap().entrypoint.unwrap(), ["/bin/sh", "-c", "top -b"]);
        assert_eq!(change("CMD").unwrap().cmd, Some(Vec::new()));
        assert_eq!(change(r#"ENV A=1 B="x y""#).unwrap().env, ["PATH=/bin", "A=1", "B=x y"]);
        assert_eq!(change("ENV A some value").unwrap().env[1], "A=some value");
        assert_eq!(change("ENV PATH=/x:${PATH} B=\\$PATH C=$").unwrap().env, ["PATH=/x:/bin", "B=$PATH", "C=$"]);
        assert_eq!(change("EXPOSE 80 53/udp").unwrap().exposed_ports, ["53/udp".to_owned(), "80/tcp".to_owned()].into());
        assert_eq!(change("EXPOSE 80-82").unwrap().exposed_ports.len(), 3);
        assert_eq!(change(r#"VOLUME ["/a", "/b"]"#).unwrap().volumes.len(), 2);
        assert_eq!(change("WORKDIR /a\nWORKDIR b/../c").unwrap().working_dir, "/a/c");
        assert_eq!(change("CMD a \\\n b").unwrap().cmd.unwrap()[2], "a   b");
        assert_eq!(change("ONBUILD RUN ls").unwrap().on_build.unwrap(), ["RUN ls"]);
    }

    #[test]
    fn health_checks() {
        let health = change("HEALTHCHECK --interval=1m30s --timeout=500ms --retries=3 CMD echo ok").unwrap().healthcheck.unwrap();
        assert_eq!(health.test, ["CMD-SHELL", "echo ok"]);
        assert_eq!((health.interval, health.timeout, health.retries), (90_000_000_000, 500_000_000, 3));
        assert_eq!(change("HEALTHCHECK NONE").unwrap().healthcheck.unwrap().test, ["NONE"]);
        assert_eq!(change(r#"HEALTHCHECK CMD ["a","b"]"#).unwrap().healthcheck.unwrap().test, ["CMD", "a", "b"]);
    }

    #[test]
    fn an_entrypoint_takes_the_command_along() {
        let mut config = ContainerConfig { cmd: Some(vec!["old".into()]), ..ContainerConfig::default() };
        apply(&mut config, &["ENTRYPOINT /x".to_owned()]).unwrap();
        assert_eq!(config.cmd, None);
        apply(&mut config, &["CMD /y".to_owned(), "ENTRYPOINT /x".to_owned()]).unwrap();
        assert!(config.cmd.is_some());
    }

    #[test]
    fn refusals() {
        for (bad, words) in [
            ("RUN ls", "RUN is not a valid change command"),
            ("", "file with no instructions"),
            ("ENV", "ENV requires at least one argument"),
            ("ENV A", "ENV must have two arguments"),
            ("STOPSIGNAL nosuch", "invalid signal: nosuch"),
            ("EXPOSE x", "Invalid containerPort: x"),
            ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
            ("HEALTHCHECK foo", "Unknown type \"FOO\" in HEALTHCHECK (try CMD)"),
            ("HEALTHCHECK --interval=5x CMD a", "time: unknown unit \"x\" in duration \"5x\""),
            ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
            ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ] {
            assert_eq!(change(bad).unwrap_err().message(), words, "{bad}");
        }
        assert!(change("ENV A=1 B").is_err());
    }
}
