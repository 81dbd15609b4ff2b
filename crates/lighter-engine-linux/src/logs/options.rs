//! `--log-driver` and `--log-opt`: what is kept in a file of ours, and how much of it. As dockerd, this engine keeps a file to
//! answer `docker logs` also where a log of the machine's gets the records (`remote`), unless told not to.

use super::{remote, tag};
use lighter_domain::{Container, Error, Result};
use std::collections::BTreeMap;

/// What dockerd's `local` driver keeps unless told otherwise.
const LOCAL_SIZE: u64 = 20_000_000;
const LOCAL_FILES: u32 = 5;
const CACHE_KEYS: [&str; 4] = ["cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"];
const JSON_KEYS: [&str; 9] = ["max-file", "max-size", "compress", "labels", "labels-regex", "env", "env-regex", "tag", "mode"];
const LOCAL_KEYS: [&str; 4] = ["max-file", "max-size", "compress", "mode"];

/// How a container's log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// Bytes; 0: without bound.
    pub max_size: u64,
    pub max_file: u32,
    /// Written with each record: labels and variables that were asked for.
    pub attrs: BTreeMap<String, String>,
    /// Options that are understood, but without effect here.
    pub ignored: Vec<String>,
}

/// `None`: nothing is kept (`--log-driver none`, `cache-disabled`). The errors are dockerd's.
pub(crate) fn of(container: &Container) -> Result<Option<Options>> {
    let config = &container.host_config.log_config;
    let driver = if config.driver.is_empty() { "json-file" } else { &config.driver };
    let (keys, max_size, max_file): (&[&str], _, _) = match driver {
        "none" => return Ok(None),
        "json-file" => (&JSON_KEYS, 0, 1),
        "local" => (&LOCAL_KEYS, LOCAL_SIZE, LOCAL_FILES),
        "syslog" => (&remote::SYSLOG_KEYS, LOCAL_SIZE, LOCAL_FILES),
        "journald" => (&remote::JOURNALD_KEYS, LOCAL_SIZE, LOCAL_FILES),
        other => return Err(Error::invalid(format!("error looking up logging plugin {other}: plugin \"{other}\" not found"))),
    };
    let cached = matches!(driver, "syslog" | "journald");
    remote::of(container)?;
    let mut options = Options { max_size, max_file, attrs: BTreeMap::new(), ignored: Vec::new() };
    let mut kept = true;
    let known = |key: &str| keys.contains(&key) || key == "mode" || cached && CACHE_KEYS.contains(&key);
    for (key, value) in &config.options {
        match key.as_str() {
            "cache-disabled" if cached => kept = !truth(key, value)?,
            "cache-max-size" if cached => options.max_size = size(value)?,
            "cache-max-file" if cached => options.max_file = files(value)?,
            // Buffering between container and log: ours never blocks the container.
            "max-buffer-size" => options.ignored.push(key.clone()),
            k if !known(k) => {
                return Err(Error::invalid(format!("unknown log opt '{key}' for {driver} log driver")));
            }
            "max-size" => options.max_size = size(value)?,
            "max-file" => options.max_file = files(value)?,
            _ if cached && keys.contains(&key.as_str()) => {}
            "labels" | "env" => {}
            "tag" => {
                let tag = tag::expand(value, container)?;
                options.attrs.extend((!tag.is_empty()).then(|| (key.clone(), tag)));
            }
            "mode" if value.is_empty() || value == "blocking" || value == "non-blocking" => {}
            "mode" => return Err(Error::invalid(format!("logger: logging mode not supported: {value}"))),
            _ => options.ignored.push(key.clone()),
        }
    }
    options.attrs.extend(attributes(container));
    Ok(Some(options).filter(|_| kept))
}

/// The labels and variables that `labels` and `env` name.
pub(super) fn attributes(container: &Container) -> impl Iterator<Item = (String, String)> + '_ {
    let option = |key: &str| container.host_config.log_config.options.get(key).map_or("", String::as_str);
    let labels = picked(option("labels"), |k| container.config.labels.get(k).cloned());
    labels.chain(picked(option("env"), |k| variable(container, k)))
}

fn truth(key: &str, value: &str) -> Result<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::invalid(format!(
            "invalid value for log opt '{key}': strconv.ParseBool: parsing \"{value}\": invalid syntax"
        ))),
    }
}

fn picked<'a>(list: &'a str, find: impl Fn(&str) -> Option<String> + 'a) -> impl Iterator<Item = (String, String)> + 'a {
    list.split(',').filter_map(move |key| Some((key.to_owned(), find(key)?)))
}

fn variable(container: &Container, name: &str) -> Option<String> {
    container.config.env.iter().find_map(|e| e.split_once('=').filter(|(n, _)| *n == name).map(|(_, v)| v.to_owned()))
}

fn files(value: &str) -> Result<u32> {
    match value.parse::<i64>() {
        Ok(n @ 1..) => Ok(u32::try_from(n).unwrap_or(u32::MAX)),
        Ok(_) => Err(Error::invalid("max-file cannot be less than 1")),
        Err(_) => Err(Error::invalid(format!("strconv.Atoi: parsing \"{value}\": invalid syntax"))),
    }
}

/// `10m`, `1.5g`, `1000`; decimal, as dockerd reads it. -1: without bound.
fn size(value: &str) -> Result<u64> {
    let bad = || Error::invalid(format!("invalid size: '{value}'"));
    if value == "-1" {
        return Ok(0);
    }
    let lower = value.trim().to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let (digits, factor) = match lower.chars().next_back() {
        Some('k') => (&lower[..lower.len() - 1], 1e3),
        Some('m') => (&lower[..lower.len() - 1], 1e6),
        Some('g') => (&lower[..lower.len() - 1], 1e9),
        Some('t') => (&lower[..lower.len() - 1], 1e12),
        _ => (lower, 1.0),
    };
    let number: f64 = digits.trim().parse().map_err(|_| bad())?;
    if !number.is_finite() || number < 0.0 {
        return Err(bad());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was checked, and saturates")]
    let bytes = (number * factor) as u64;
    if bytes == 0 { Err(Error::invalid("max-size must be a positive number")) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(driver: &str, options: &[(&str, &str)]) -> Result<Option<Options>> {
        let mut container = crate::testing::container();
        container.config.env = vec!["A=1".into(), "B=2".into()];
        container.config.labels.insert("l".into(), "v".into());
        container.host_config.log_config.driver = driver.into();
        container.host_config.log_config.options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        of(&container)
    }

    #[test]
    fn drivers() {
        assert_eq!(with("", &[]).unwrap().unwrap().max_size, 0);
        assert_eq!(with("none", &[]).unwrap(), None);
        assert_eq!(with("local", &[]).unwrap().unwrap().max_file, 5);
        assert_eq!(with("syslog", &[("tag", "x")]).unwrap().unwrap().max_file, 5);
        assert_eq!(with("journald", &[("cache-max-file", "2")]).unwrap().unwrap().max_file, 2);
        assert_eq!(with("syslog", &[("cache-disabled", "true")]).unwrap(), None);
        assert!(with("syslog", &[("max-size", "1m")]).is_err());
        assert_eq!(with("foo", &[]).unwrap_err().message(), "error looking up logging plugin foo: plugin \"foo\" not found");
    }

    #[test]
    fn options() {
        let o = with("json-file", &[("max-size", "10m"), ("max-file", "3"), ("env", "A,C"), ("labels", "l")]).unwrap().unwrap();
        assert_eq!((o.max_size, o.max_file), (10_000_000, 3));
        assert_eq!(o.attrs, BTreeMap::from([("A".into(), "1".into()), ("l".into(), "v".into())]));
        for bad in [("max-size", "x"), ("max-size", "0"), ("max-file", "0"), ("nosuch", "1"), ("mode", "odd")] {
            assert!(with("", &[bad]).is_err(), "{bad:?}");
        }
        assert_eq!(with("", &[("compress", "true")]).unwrap().unwrap().ignored, ["compress"]);
    }
}
