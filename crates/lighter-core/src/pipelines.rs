//! Running pipelines: one task for each, which goes from step to step and stores every change before it goes on. A daemon that
//! died leaves its pipelines as they were; the next one looks at the step that was under way and goes on from there.

use crate::daemon::{Daemon, store_failed};
use crate::record::read_failed;
use crate::requests::{CreateContainer, WaitCondition};
use lighter_domain::pipeline::{Pipeline, PipelineStatus, Step, StepPlan, StepStatus, WORKSPACE, check_name, ordered};
use lighter_domain::{ContainerConfig, Error, HostConfig, Result};
use lighter_store::Change;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Labels of a step's container.
const LABEL: &str = "lighter.pipeline";
const STEP: &str = "lighter.pipeline.step";
/// Pipelines that a new daemon looks at.
const MOST: u32 = 10_000;

/// Those under way, and how each is told to end.
#[derive(Default)]
pub(crate) struct Pipelines(Mutex<HashMap<Uuid, CancellationToken>>);

fn no_such(reference: &str) -> Error {
    Error::not_found(format!("No such pipeline: {reference}"))
}

fn step(plan: StepPlan) -> Step {
    Step { plan, status: StepStatus::Pending, container_id: None, exit_code: None }
}

impl Daemon {
    /// Starts a pipeline; its steps run on by themselves.
    pub async fn pipeline_run(&self, name: &str, plans: Vec<StepPlan>) -> Result<Pipeline> {
        check_name("pipeline", name)?;
        let steps = ordered(plans)?.into_iter().map(step).collect();
        self.launch(name, steps, None).await
    }

    /// The same once more, from a step on: what came before it is taken as done, in the workspace that it left.
    pub async fn pipeline_rerun(&self, reference: &str, from: Option<&str>) -> Result<Pipeline> {
        let before = self.pipeline(reference).await?;
        if !before.status.is_over() {
            return Err(Error::conflict(format!("the pipeline {reference} is still {}", before.status.as_str())));
        }
        let Pipeline { name, steps, workspace, .. } = before;
        let from = match from {
            None => 0,
            Some(from) => {
                let found = steps.iter().position(|step| step.plan.name == from);
                found.ok_or_else(|| Error::invalid(format!("the pipeline {reference} has no step {from:?}")))?
            }
        };
        let undone = steps[..from].iter().find(|step| !matches!(step.status, StepStatus::Success | StepStatus::Skipped));
        if let Some(undone) = undone {
            return Err(Error::conflict(format!("the step {:?} comes before it and has not ended well", undone.plan.name)));
        }
        let again = |(n, old): (usize, Step)| if n < from { Step { status: StepStatus::Skipped, ..old } } else { step(old.plan) };
        let steps = steps.into_iter().enumerate().map(again).collect();
        self.launch(&name, steps, (from > 0).then_some(workspace)).await
    }

    async fn launch(&self, name: &str, steps: Vec<Step>, workspace: Option<String>) -> Result<Pipeline> {
        let id = Uuid::now_v7();
        let pipeline = Pipeline {
            id,
            name: name.to_owned(),
            steps,
            status: PipelineStatus::Pending,
            created_at: OffsetDateTime::now_utc(),
            started_at: None,
            finished_at: None,
            failure_reason: None,
            workspace: workspace.unwrap_or_else(|| format!("pipeline-{}", id.simple())),
        };
        self.put(&pipeline).await?;
        self.spawn(pipeline.clone());
        Ok(pipeline)
    }

    /// By its id, or how that begins or ends, or the newest of this name.
    pub async fn pipeline(&self, reference: &str) -> Result<Pipeline> {
        let found = self.shared().store.pipeline(reference).await.map_err(read_failed)?;
        found.ok_or_else(|| no_such(reference))
    }

    /// The newest first.
    pub async fn pipelines(&self, limit: u32) -> Result<Vec<Pipeline>> {
        self.shared().store.pipelines(limit).await.map_err(read_failed)
    }

    /// Ends one that is under way; it fails, and says that it was cancelled.
    pub async fn pipeline_cancel(&self, reference: &str) -> Result<Pipeline> {
        let pipeline = self.pipeline(reference).await?;
        let token = self.shared().pipelines.0.lock().get(&pipeline.id).cloned();
        match token {
            Some(token) if !pipeline.status.is_over() => {
                token.cancel();
                Ok(pipeline)
            }
            _ => Err(Error::conflict(format!("the pipeline {reference} is over: {}", pipeline.status.as_str()))),
        }
    }

    /// What an earlier daemon left under way goes on.
    pub(crate) async fn resume_pipelines(&self) {
        match self.shared().store.pipelines(MOST).await {
            Ok(all) => all.into_iter().filter(|p| !p.status.is_over()).for_each(|pipeline| self.spawn(pipeline)),
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "pipelines could not be taken up"),
        }
    }

    async fn put(&self, pipeline: &Pipeline) -> Result<()> {
        self.shared().store.apply(vec![Change::PutPipeline(Box::new(pipeline.clone()))]).await.map(drop).map_err(store_failed)
    }

    fn spawn(&self, pipeline: Pipeline) {
        let token = CancellationToken::new();
        self.shared().pipelines.0.lock().insert(pipeline.id, token.clone());
        let daemon = self.clone();
        tokio::spawn(async move {
            let id = pipeline.id;
            if let Err(error) = daemon.drive(pipeline, &token).await {
                tracing::error!(%id, %error, "a pipeline could not be recorded; the next start goes on with it");
            }
            daemon.shared().pipelines.0.lock().remove(&id);
        });
    }

    /// From where it is to its end, or to the end of the daemon.
    async fn drive(&self, mut pipeline: Pipeline, cancelled: &CancellationToken) -> Result<()> {
        if pipeline.status == PipelineStatus::Pending {
            pipeline.status = PipelineStatus::Running;
            pipeline.started_at = Some(OffsetDateTime::now_utc());
            self.put(&pipeline).await?;
        }
        while let Some(n) = pipeline.steps.iter().position(|s| matches!(s.status, StepStatus::Pending | StepStatus::Running)) {
            let name = pipeline.steps[n].plan.name.clone();
            let ended = tokio::select! {
                ended = self.run_step(&mut pipeline, n) => ended,
                () = cancelled.cancelled() => {
                    self.end_step(&pipeline.steps[n]).await;
                    Err(Error::conflict("it was cancelled"))
                }
                () = self.shared().stop.cancelled() => return Ok(()),
            };
            let step = &mut pipeline.steps[n];
            let reason = match ended {
                Ok(0) => {
                    (step.status, step.exit_code) = (StepStatus::Success, Some(0));
                    self.put(&pipeline).await?;
                    continue;
                }
                Ok(code) => {
                    step.exit_code = Some(code);
                    format!("the step {name:?} ended with exit code {code}")
                }
                // The daemon goes down: what happened to the step is the next one's to see.
                Err(_) if self.shared().stop.is_cancelled() => return Ok(()),
                Err(error) => format!("the step {name:?}: {}", error.message()),
            };
            step.status = StepStatus::Failed;
            pipeline.steps.iter_mut().skip(n + 1).for_each(|later| later.status = StepStatus::Skipped);
            return self.finish(pipeline, Some(reason)).await;
        }
        self.finish(pipeline, None).await
    }

    async fn finish(&self, mut pipeline: Pipeline, reason: Option<String>) -> Result<()> {
        pipeline.status = if reason.is_some() { PipelineStatus::Failed } else { PipelineStatus::Success };
        pipeline.failure_reason = reason;
        pipeline.finished_at = Some(OffsetDateTime::now_utc());
        self.put(&pipeline).await
    }

    /// Runs a step, or looks how one that was begun has gone on; its exit code.
    async fn run_step(&self, pipeline: &mut Pipeline, n: usize) -> Result<i32> {
        let name = format!("{}-{}-{}", pipeline.name, &pipeline.id.simple().to_string()[20..], pipeline.steps[n].plan.name);
        let begun = pipeline.steps[n].status == StepStatus::Running;
        // A daemon that died may have made it and not have said so.
        let there = self.resolve(&name);
        if begun && there.is_none() && pipeline.steps[n].container_id.is_some() {
            return Err(Error::conflict("its container was removed while it ran"));
        }
        let id = match there {
            Some(container) => container.id.as_str().to_owned(),
            None => self.create(request(pipeline, n, name)).await?.id.as_str().to_owned(),
        };
        pipeline.steps[n].status = StepStatus::Running;
        pipeline.steps[n].container_id = Some(id.clone());
        self.put(pipeline).await?;
        if self.resolve(&id).is_some_and(|container| container.started_at.is_none()) {
            self.start_container(&id).await?;
        }
        let waited = self.wait(&id, WaitCondition::NotRunning)?.result.await?;
        match waited.error {
            Some(error) => Err(Error::conflict(error)),
            None => Ok(waited.exit_code),
        }
    }

    async fn end_step(&self, step: &Step) {
        if let Some(id) = &step.container_id
            && let Err(error) = self.kill(id, None).await
        {
            tracing::debug!(%id, %error, "the step of a cancelled pipeline did not run");
        }
    }
}

fn request(pipeline: &Pipeline, n: usize, name: String) -> CreateContainer {
    let StepPlan { name: step, image, commands, env, mounts, needs: _ } = pipeline.steps[n].plan.clone();
    let script = (!commands.is_empty()).then(|| vec!["-ec".to_owned(), commands.join("\n")]);
    let mut binds = vec![format!("{}:{WORKSPACE}", pipeline.workspace)];
    binds.extend(mounts);
    let label = |key: &str, value: String| (key.to_owned(), value);
    let config = ContainerConfig {
        image,
        entrypoint: script.is_some().then(|| vec!["sh".to_owned()]),
        cmd: script,
        env: env.into_iter().map(|(key, value)| format!("{key}={value}")).collect(),
        working_dir: WORKSPACE.to_owned(),
        labels: BTreeMap::from([label(LABEL, pipeline.id.to_string()), label(STEP, step)]),
        ..ContainerConfig::default()
    };
    let host_config = HostConfig { binds, ..HostConfig::default() };
    CreateContainer { name: Some(name), config, host_config, api_version: "1.51".to_owned(), ..CreateContainer::default() }
}
