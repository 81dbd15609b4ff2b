//! Pipelines: started, shown, cancelled, run once more, removed.

use super::page;
use crate::body::{self, json};
use crate::call::{Answer, Call};
use crate::failure::Failure;
use http::StatusCode;
use lighter_domain::pipeline::{Pipeline, Step, StepPlan};
use lighter_wire::lighter as wire;

pub async fn run(mut call: Call) -> Answer {
    call.only(&[])?;
    let bytes = match call.body.take() {
        Some(body) => body::read(body).await?,
        None => bytes::Bytes::new(),
    };
    let asked: wire::NewPipeline =
        serde_json::from_slice(&bytes).map_err(|e| Failure::bad_request(format!("invalid pipeline: {e}")))?;
    let plan = |step: wire::NewStep| {
        let wire::NewStep { name, image, commands, env, mounts, needs } = step;
        StepPlan { name, image, commands, env, mounts, needs }
    };
    let plans: Vec<StepPlan> = asked.steps.into_iter().map(plan).collect();
    // `source:target[:options]`: a source that is a path is the host's.
    let sources = plans.iter().flat_map(|p| &p.mounts).filter_map(|m| m.split(':').next()).filter(|s| s.starts_with('/'));
    call.ticket.host_paths(sources);
    let pipeline = call.daemon.pipeline_run(&asked.name, asked.stack.as_deref(), plans).await?;
    Ok(json(StatusCode::CREATED, &shown(pipeline)))
}

pub async fn list(call: Call) -> Answer {
    call.only(&["stack", "limit", "cursor"])?;
    let limit = call.limit()?;
    let stack = call.query.optional("stack").filter(|stack| !stack.is_empty());
    let items: Vec<_> = call.daemon.pipelines(stack, call.query.get("cursor"), limit).await?.into_iter().map(shown).collect();
    Ok(json(StatusCode::OK, &page(items, limit, |pipeline| pipeline.id.clone())))
}

pub async fn show(call: Call) -> Answer {
    call.only(&[])?;
    Ok(json(StatusCode::OK, &shown(call.daemon.pipeline(&call.name).await?)))
}

pub async fn cancel(mut call: Call) -> Answer {
    call.only(&[])?;
    call.drain().await?;
    Ok(json(StatusCode::OK, &shown(call.daemon.pipeline_cancel(&call.name).await?)))
}

pub async fn rerun(mut call: Call) -> Answer {
    call.only(&["from"])?;
    call.drain().await?;
    let from = call.query.optional("from").filter(|from| !from.is_empty());
    let pipeline = call.daemon.pipeline_rerun(&call.name, from).await?;
    Ok(json(StatusCode::CREATED, &shown(pipeline)))
}

pub async fn remove(mut call: Call) -> Answer {
    call.only(&[])?;
    call.drain().await?;
    call.daemon.pipeline_remove(&call.name).await?;
    Ok(body::empty(StatusCode::NO_CONTENT))
}

fn shown(pipeline: Pipeline) -> wire::Pipeline {
    let Pipeline { id, project, name, steps, status, created_at, started_at, finished_at, failure_reason, workspace } = pipeline;
    let step = |step: Step| {
        let Step { plan, status, container_id, exit_code } = step;
        let StepPlan { name, image, commands: _, env: _, mounts: _, needs } = plan;
        wire::PipelineStep { name, image, needs, status: status.as_str().to_owned(), container_id, exit_code }
    };
    wire::Pipeline {
        id: id.to_string(),
        project_id: project.map(|id| id.to_string()),
        name,
        status: status.as_str().to_owned(),
        created_at,
        started_at,
        finished_at,
        failure_reason,
        workspace,
        steps: steps.into_iter().map(step).collect(),
    }
}
