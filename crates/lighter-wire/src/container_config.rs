//! `ContainerConfig`, `HealthConfig` and the body of a create request.

use crate::decode::{Decode, Fields, Mismatch, Path, Set, StrSlice, decode_fields, go_struct};
use crate::host_config::HostConfig;
use crate::json::Json;
use crate::network::NetworkingConfig;
use std::collections::BTreeMap;

go_struct! {
    pub struct HealthConfig as "container.HealthConfig" {
        #[serde(skip_serializing_if = "Option::is_none")]
        "Test" test: Option<Vec<String>>,
        #[serde(skip_serializing_if = "zero")]
        "Interval" interval: i64,
        #[serde(skip_serializing_if = "zero")]
        "Timeout" timeout: i64,
        #[serde(skip_serializing_if = "zero")]
        "StartPeriod" start_period: i64,
        #[serde(skip_serializing_if = "zero")]
        "StartInterval" start_interval: i64,
        #[serde(skip_serializing_if = "zero")]
        "Retries" retries: i64,
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(crate) fn zero(n: &i64) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(crate) fn no(b: &bool) -> bool {
    !b
}

go_struct! {
    /// The portable half of a container's configuration, in requests and in `inspect`.
    pub struct Config as "container.Config" {
        "Hostname" hostname: String,
        "Domainname" domainname: String,
        "User" user: String,
        "AttachStdin" attach_stdin: bool,
        "AttachStdout" attach_stdout: bool,
        "AttachStderr" attach_stderr: bool,
        #[serde(skip_serializing_if = "Set::is_empty")]
        "ExposedPorts" exposed_ports: Set,
        "Tty" tty: bool,
        "OpenStdin" open_stdin: bool,
        "StdinOnce" stdin_once: bool,
        "Env" env: Option<Vec<String>>,
        "Cmd" cmd: StrSlice,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Healthcheck" healthcheck: Option<HealthConfig>,
        #[serde(skip_serializing_if = "no")]
        "ArgsEscaped" args_escaped: bool,
        "Image" image: String,
        "Volumes" volumes: Set,
        "WorkingDir" working_dir: String,
        "Entrypoint" entrypoint: StrSlice,
        #[serde(skip_serializing_if = "no")]
        "NetworkDisabled" network_disabled: bool,
        /// Shown to clients before 1.44 only.
        #[serde(skip_serializing_if = "Option::is_none")]
        "MacAddress" mac_address: Option<String>,
        "OnBuild" on_build: Option<Vec<String>>,
        "Labels" labels: Option<BTreeMap<String, String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "StopSignal" stop_signal: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "StopTimeout" stop_timeout: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Shell" shell: Option<Vec<String>>,
    }
}

/// The body of `ContainerCreate`: the configuration's own fields at the top, with the host's and the networks' below.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CreateRequest {
    pub config: Config,
    pub host_config: Option<HostConfig>,
    pub networking_config: Option<NetworkingConfig>,
    /// False when the body held none of the configuration's fields: dockerd refuses that in words of its own.
    pub has_config: bool,
}

impl Fields for CreateRequest {
    fn field(&mut self, key: &str, value: &Json, at: &Path<'_>) -> Result<bool, Mismatch> {
        if key.eq_ignore_ascii_case("HostConfig") {
            self.host_config.decode(value, &at.field("HostConfig"))?;
        } else if key.eq_ignore_ascii_case("NetworkingConfig") {
            self.networking_config.decode(value, &at.field("NetworkingConfig"))?;
        } else {
            let known = self.config.field(key, value, at)?;
            self.has_config |= known;
            return Ok(known);
        }
        Ok(true)
    }
}

impl Decode for CreateRequest {
    fn go_type() -> String {
        "container.CreateRequest".into()
    }
    fn decode(&mut self, value: &Json, at: &Path<'_>) -> Result<(), Mismatch> {
        decode_fields(self, value, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::read;

    fn create(body: &str) -> CreateRequest {
        read(body.as_bytes(), "").unwrap()
    }
    fn refused(body: &str) -> String {
        read::<CreateRequest>(body.as_bytes(), "").unwrap_err().to_string()
    }

    #[test]
    fn names_match_in_any_case_and_the_last_one_wins() {
        let r = create(r#"{"image":"a","IMAGE":"b","hostconfig":{"MEMORY":5},"Image":"c"}"#);
        assert_eq!(r.config.image, "c");
        assert_eq!(r.host_config.unwrap().memory, 5);
    }

    #[test]
    fn null_is_a_zero_value_everywhere() {
        let nulls = r#"{"Image":null,"Cmd":null,"Env":null,"Tty":null,"ExposedPorts":null,"Labels":null,"Healthcheck":null,
            "StopTimeout":null,"HostConfig":{"Memory":null,"Binds":null,"PortBindings":null,"RestartPolicy":null,"Mounts":null,
            "ConsoleSize":null,"Init":null,"LogConfig":null,"Ulimits":null},"NetworkingConfig":null}"#;
        let r = create(nulls);
        assert_eq!(r.config, Config::default());
        assert_eq!(r.host_config, Some(HostConfig::default()));
    }

    #[test]
    fn unknown_fields_are_skipped() {
        let r = create(r#"{"Image":"a","Nonsense":{"x":[1]},"HostConfig":{"Nonsense":1}}"#);
        assert_eq!(r.config.image, "a");
    }

    #[test]
    fn commands_are_lists_or_strings() {
        assert_eq!(create(r#"{"Cmd":"ls -l"}"#).config.cmd.0, Some(vec!["ls -l".to_owned()]));
        assert_eq!(create(r#"{"Cmd":["ls","-l"]}"#).config.cmd.0.unwrap().len(), 2);
        assert_eq!(create(r#"{"Entrypoint":[]}"#).config.entrypoint.0, Some(vec![]));
        assert_eq!(create(r#"{"Entrypoint":null}"#).config.entrypoint.0, None);
    }

    #[test]
    fn wrong_types_are_worded_as_dockerd_words_them() {
        let go = "invalid JSON: json: cannot unmarshal ";
        for (body, rest) in [
            ("[]", "array into Go value of type container.CreateRequest"),
            (r#"{"Image":5}"#, "number into Go struct field .Image of type string"),
            (r#"{"HostConfig":{"Memory":"x"}}"#, "string into Go struct field .HostConfig.Memory of type int64"),
            (r#"{"HostConfig":{"Memory":1.5}}"#, "number 1.5 into Go struct field .HostConfig.Memory of type int64"),
            (r#"{"HostConfig":{"Binds":"x"}}"#, "string into Go struct field .HostConfig.Binds of type []string"),
            (r#"{"Env":{"a":"b"}}"#, "object into Go struct field .Env of type []string"),
            (r#"{"Labels":["a"]}"#, "array into Go struct field .Labels of type map[string]string"),
        ] {
            assert_eq!(refused(body), format!("{go}{rest}"), "{body}");
        }
    }

    #[test]
    fn an_empty_configuration_writes_dockers_nulls() {
        let json = serde_json::to_string(&Config::default()).unwrap();
        assert_eq!(
            json,
            r#"{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null}"#
        );
    }
}
