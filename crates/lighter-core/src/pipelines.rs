//! Running pipelines: one task for each, which goes from step to step and stores every change before it goes on. A daemon that
//! died leaves its pipelines as they were; the next one looks at the step that was under way and goes on from there.

use crate::daemon::{Daemon, store_failed};
use crate::record::read_failed;
use crate::requests::{CreateContainer, RemoveOptions, WaitCondition};
use lighter_domain::image::{ImagePull, RegistryLogin};
use lighter_domain::pipeline::{Pipeline, PipelineStatus, Step, StepPlan, StepStatus, WORKSPACE, check_name, ordered};
use lighter_domain::{Container, ContainerConfig, Error, ErrorKind, HostConfig, Result};
use lighter_store::Change;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Labels of a step's container.
const LABEL: &str = "lighter.pipeline";
const STEP: &str = "lighter.pipeline.step";
/// Old pipelines that are removed one after the other before other records are looked at.
const PRUNED_AT_ONCE: u32 = 100;

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
    /// Starts a pipeline, of a stack if one is named; its steps run on by themselves.
    pub async fn pipeline_run(&self, name: &str, stack: Option<&str>, plans: Vec<StepPlan>) -> Result<Pipeline> {
        check_name("pipeline", name)?;
        let steps = ordered(plans)?.into_iter().map(step).collect();
        let project = match stack {
            Some(stack) => Some(self.stack(stack).await?.stack.id),
            None => None,
        };
        self.launch(name, project, steps, None).await
    }

    /// The same once more, from a step on: what came before it is taken as done, in the workspace that it left.
    pub async fn pipeline_rerun(&self, reference: &str, from: Option<&str>) -> Result<Pipeline> {
        let before = self.pipeline(reference).await?;
        if !before.status.is_over() {
            return Err(Error::conflict(format!("the pipeline {reference} is still {}", before.status.as_str())));
        }
        let Pipeline { name, project, steps, workspace, .. } = before;
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
        self.launch(&name, project, steps, (from > 0).then_some(workspace)).await
    }

    async fn launch(&self, name: &str, project: Option<Uuid>, steps: Vec<Step>, workspace: Option<String>) -> Result<Pipeline> {
        let id = Uuid::now_v7();
        let pipeline = Pipeline {
            id,
            project,
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

    /// By its id, the newest of this name, or by how its id begins or ends.
    pub async fn pipeline(&self, reference: &str) -> Result<Pipeline> {
        let found = self.shared().store.pipeline(reference).await.map_err(read_failed)?;
        found.ok_or_else(|| no_such(reference))
    }

    /// The newest first, from the one after the id `after` on; of all, or of those of one stack.
    pub async fn pipelines(&self, stack: Option<&str>, after: &str, limit: u32) -> Result<Vec<Pipeline>> {
        let project = match stack {
            Some(stack) => Some(self.stack(stack).await?.stack.id),
            None => None,
        };
        self.shared().store.pipelines(project, after, limit).await.map_err(read_failed)
    }

    /// Removes one that is over, with the containers of its steps and, unless another goes on from it, its workspace.
    pub async fn pipeline_remove(&self, reference: &str) -> Result<()> {
        let pipeline = self.pipeline(reference).await?;
        if !pipeline.status.is_over() || self.shared().pipelines.0.lock().contains_key(&pipeline.id) {
            let status = pipeline.status.as_str();
            return Err(Error::conflict(format!("the pipeline {reference} is still {status}: cancel it first")));
        }
        self.clear_away(&pipeline).await
    }

    async fn clear_away(&self, pipeline: &Pipeline) -> Result<()> {
        // What was taken over from a pipeline before this one is that one's.
        let own = |id: &String| self.resolve(id).is_some_and(|container| is_of(&container, pipeline.id));
        for id in pipeline.steps.iter().filter_map(|step| step.container_id.as_ref()).filter(|id| own(id)) {
            self.remove(id, RemoveOptions { force: true, volumes: true, ..RemoveOptions::default() }).await?;
        }
        let store = &self.shared().store;
        if !store.workspace_is_shared(&pipeline.workspace, pipeline.id).await.map_err(read_failed)? {
            self.volume_remove(&pipeline.workspace, true).await?;
        }
        store.apply(vec![Change::DeletePipeline(pipeline.id)]).await.map(drop).map_err(store_failed)
    }

    /// Removes those that are over and beyond what is to be kept. One that cannot be removed stays until the next time.
    pub(crate) async fn prune_pipelines(&self) {
        let keep = self.shared().config.pipelines;
        let beyond = match self.shared().store.pipelines_beyond(keep, PRUNED_AT_ONCE).await {
            Ok(beyond) => beyond,
            Err(error) => return tracing::warn!(error = &error as &dyn std::error::Error, "old pipelines could not be read"),
        };
        for pipeline in beyond {
            if let Err(error) = self.clear_away(&pipeline).await {
                tracing::warn!(id = %pipeline.id, %error, "an old pipeline could not be removed");
            }
        }
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
        match self.shared().store.pipelines_under_way().await {
            Ok(all) => all.into_iter().for_each(|pipeline| self.spawn(pipeline)),
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
            let ended = self.run_step(&mut pipeline, n, cancelled).await;
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

    /// Runs a step, or looks how one that was begun has gone on; its exit code. What makes and starts the container is never
    /// broken off half-way: what takes long, a download and the step itself, is.
    async fn run_step(&self, pipeline: &mut Pipeline, n: usize, cancelled: &CancellationToken) -> Result<i32> {
        let name = format!("{}-{}-{}", pipeline.name, &pipeline.id.simple().to_string()[20..], pipeline.steps[n].plan.name);
        let begun = pipeline.steps[n].status == StepStatus::Running;
        // A daemon that died may have made it and not have said so.
        let there = self.resolve(&name).filter(|container| is_of(container, pipeline.id));
        if begun && there.is_none() && pipeline.steps[n].container_id.is_some() {
            return Err(Error::conflict("its container was removed while it ran"));
        }
        pipeline.steps[n].status = StepStatus::Running;
        let id = match there {
            Some(container) => container.id.as_str().to_owned(),
            None => {
                self.put(pipeline).await?;
                self.unless(cancelled, self.fetch(&pipeline.steps[n].plan.image)).await?;
                self.create(request(pipeline, n, name)).await?.id.as_str().to_owned()
            }
        };
        pipeline.steps[n].container_id = Some(id.clone());
        self.put(pipeline).await?;
        if self.resolve(&id).is_some_and(|container| container.started_at.is_none()) {
            self.unless(cancelled, std::future::ready(Ok(()))).await?;
            self.start_container(&id).await?;
        }
        let waiting = self.wait(&id, WaitCondition::NotRunning)?;
        let waited = match self.unless(cancelled, waiting.result).await {
            Err(error) if cancelled.is_cancelled() => {
                self.end_step(&id).await;
                return Err(error);
            }
            waited => waited?,
        };
        match waited.error {
            Some(error) => Err(Error::conflict(error)),
            None => Ok(waited.exit_code),
        }
    }

    /// What comes of `work`, unless the pipeline is cancelled or the daemon ends before.
    async fn unless<T>(&self, cancelled: &CancellationToken, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(Error::conflict("it was cancelled")),
            () = self.shared().stop.cancelled() => Err(Error::unavailable("the daemon ends")),
            done = work => done,
        }
    }

    /// Pulls an image that is not there, as `docker run` does, from where everybody may.
    async fn fetch(&self, image: &str) -> Result<()> {
        match self.image(image).await {
            Err(error) if error.kind() == ErrorKind::NotFound && self.shared().engine.registry().is_some() => {}
            found => return found.map(drop),
        }
        let last = image.rsplit('/').next().unwrap_or(image);
        let tag = if last.contains([':', '@']) { "" } else { "latest" };
        let pull =
            ImagePull { name: image.to_owned(), tag: tag.to_owned(), platform: String::new(), login: RegistryLogin::default() };
        let (progress, mut told) = mpsc::channel(1);
        let (pulled, ()) = tokio::join!(self.image_pull(pull, progress), async { while told.recv().await.is_some() {} });
        pulled
    }

    async fn end_step(&self, id: &str) {
        if let Err(error) = self.kill(id, None).await {
            tracing::debug!(%id, %error, "the step of a cancelled pipeline did not run");
        }
    }
}

/// Whether a container was made for a step of this pipeline.
fn is_of(container: &Container, pipeline: Uuid) -> bool {
    container.config.labels.get(LABEL).is_some_and(|id| *id == pipeline.to_string())
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
