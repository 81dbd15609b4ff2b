//! What a container's environment hides stays hidden when the container prints it: the log itself has it, as it must; what is
//! searched, copied and kept beyond the container's life has not.

use lighter_domain::Container;

/// What a variable's name has in it when its value is a secret.
const NAMES: [&str; 8] = ["PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "AUTH", "PRIVATE", "PWD"];
/// Shorter values are found in every other word.
const SHORTEST: usize = 6;
const HIDDEN: &str = "***";

/// The values to be hidden, the longest first: one may be part of another.
#[derive(Debug, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    pub fn of(container: &Container) -> Self {
        let mut values: Vec<String> = container.config.env.iter().filter_map(|variable| secret(variable)).collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.dedup();
        Self(values)
    }

    pub fn hide(&self, mut text: String) -> String {
        for value in &self.0 {
            if text.contains(value.as_str()) {
                text = text.replace(value.as_str(), HIDDEN);
            }
        }
        text
    }
}

/// The part of `NAME=VALUE` that is a secret: the value by its name, or the password in an address.
fn secret(variable: &str) -> Option<String> {
    let (name, value) = variable.split_once('=')?;
    let name = name.to_ascii_uppercase();
    // `PWD` by itself is a directory.
    let by_name = name != "PWD" && NAMES.iter().any(|part| name.contains(part)) && !value.starts_with('/');
    let value = match by_name {
        true => value,
        false => {
            let (_, rest) = value.split_once("://")?;
            let (user, _) = rest.split('/').next()?.rsplit_once('@')?;
            user.split_once(':')?.1
        }
    };
    (value.len() >= SHORTEST).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_by_name_and_passwords_of_addresses() {
        for (variable, hidden) in [
            ("API_TOKEN=abc.def.ghi", Some("abc.def.ghi")),
            ("postgres_password=hunter22", Some("hunter22")),
            ("DATABASE_URL=postgres://app:pa55word@db:5432/x", Some("pa55word")),
            ("URL=http://host/a@b", None),
            ("PWD=/srv/app", None),
            ("SSH_KEY_FILE=/run/secrets/key", None),
            ("PIN_TOKEN=1234", None),
            ("LANG=en_US.UTF-8", None),
            ("TOKEN", None),
        ] {
            assert_eq!(secret(variable).as_deref(), hidden, "{variable}");
        }
    }

    #[test]
    fn every_occurrence_is_hidden() {
        let secrets = Secrets(vec!["hunter2-long".into(), "hunter2".into()]);
        assert_eq!(secrets.hide("a hunter2-long, hunter2!".into()), "a ***, ***!");
    }
}
