//! `--log-opt tag=...`: the template by which a machine's log knows a container. Of Go's templates only the fields are known.

use lighter_domain::{Container, Error, Result};

/// `{{.Name}}/{{.ID}}` with the container's. An unknown field is refused as Go words it.
pub(super) fn expand(template: &str, container: &Container) -> Result<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let column = template.len() - after.len();
        let Some((action, after)) = after.split_once("}}") else {
            return Err(failed("template: log-tag:1: unclosed action"));
        };
        out.push_str(&field(action.trim(), column, container)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn field(action: &str, column: usize, container: &Container) -> Result<String> {
    let image = container.image_id.strip_prefix("sha256:").unwrap_or(&container.image_id);
    Ok(match action {
        ".ID" => container.id.short().to_owned(),
        ".FullID" => container.id.to_string(),
        ".Name" => container.name.clone(),
        ".ImageID" => image.get(..12).unwrap_or(image).to_owned(),
        ".ImageFullID" => container.image_id.clone(),
        ".ImageName" => container.config.image.clone(),
        ".Command" => std::iter::once(&container.path).chain(&container.args).cloned().collect::<Vec<_>>().join(" "),
        ".DaemonName" => "docker".to_owned(),
        ".Hostname" => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        other => {
            let name = other.trim_start_matches('.');
            return Err(failed(&format!(
                "template: log-tag:1:{column}: executing \"log-tag\" at <{other}>: can't evaluate field {name} in type *logger.Info"
            )));
        }
    })
}

fn failed(why: &str) -> Error {
    Error::invalid(format!("failed to initialize logging driver: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_filled_in() {
        let container = crate::testing::container();
        let of = |template: &str| expand(template, &container);
        assert_eq!(of("plain").unwrap(), "plain");
        let id = container.id.short();
        assert_eq!(of("{{.Name}}/{{ .ID }}!").unwrap(), format!("{}/{id}!", container.name));
        let words = of("{{.Nope}}").unwrap_err();
        assert!(
            words
                .message()
                .ends_with("log-tag:1:2: executing \"log-tag\" at <.Nope>: can't evaluate field Nope in type *logger.Info")
        );
        assert!(of("{{.ID").is_err());
    }
}
