//! `lighter context`: the context is docker's own, made by the docker command.

use super::Asker;
use crate::args::Context;
use crate::show;
use anyhow::{Context as _, bail};
use std::process::{Command, Output};

pub fn run(asker: &Asker, what: &Context) -> anyhow::Result<()> {
    match what {
        Context::Install { name, r#use } => install(asker, name, *r#use),
        Context::Remove { name } => {
            // One that is in use goes only by force, and docker uses its default again.
            docker(&["context", "rm", "--force", name])?;
            Ok(show::line(&format!("removed the docker context {name}"))?)
        }
    }
}

fn install(asker: &Asker, name: &str, in_use: bool) -> anyhow::Result<()> {
    let endpoint = format!("host={}", asker.client.host());
    let there = attempt(&["context", "inspect", name])?.status.success();
    let verb = if there { "update" } else { "create" };
    docker(&["context", verb, name, "--description", "Lighter", "--docker", &endpoint])?;
    if in_use {
        docker(&["context", "use", name])?;
        return Ok(show::line(&format!("docker uses the context {name}, which leads to {}", asker.client.host()))?);
    }
    show::line(&format!("the docker context {name} leads to {}; now: docker --context {name} ps", asker.client.host()))?;
    Ok(())
}

fn attempt(args: &[&str]) -> anyhow::Result<Output> {
    // What these say of a host would hide the contexts.
    let mut command = Command::new("docker");
    command.args(args).env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
    command.output().context("cannot run the docker command, whose context it would be")
}

fn docker(args: &[&str]) -> anyhow::Result<()> {
    let out = attempt(args)?;
    if !out.status.success() {
        bail!("docker {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}
