//! `lighter pipeline`

use super::Asker;
use crate::args::Pipeline as Args;
use crate::client::{Target, segment};
use crate::show::{self, table::Table, text};
use anyhow::Context as _;
use lighter_wire::lighter::{LogLine, LogPage, NewPipeline, Pipeline};
use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;
use time::OffsetDateTime;

/// Between two looks at one that runs.
const LOOK: Duration = Duration::from_millis(300);
/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

pub async fn run(asker: &Asker, what: Args) -> anyhow::Result<ExitCode> {
    match what {
        Args::Run { file, detach } => {
            let size = std::fs::metadata(&file).with_context(|| format!("cannot read {}", file.display()))?.len();
            anyhow::ensure!(size <= LONGEST, "{} is longer than 1 MiB", file.display());
            let said = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let asked: NewPipeline =
                serde_yaml_ng::from_str(&said).with_context(|| format!("{} is no pipeline", file.display()))?;
            let begun: Pipeline = asker.client.post_json(&Target::new("pipelines"), &asked).await?;
            follow(asker, begun, detach).await
        }
        Args::Rerun { pipeline, from, detach } => {
            let target = Target::new(&format!("pipelines/{}/rerun", segment(&pipeline))).with_all("from", &from);
            follow(asker, asker.client.post(&target).await?, detach).await
        }
        Args::Cancel { pipeline } => {
            let told: Pipeline = asker.client.post(&Target::new(&format!("pipelines/{}/cancel", segment(&pipeline)))).await?;
            show::line(&format!("{} ({}) is cancelled", text::inert(&told.name), short(&told.id)))?;
            Ok(ExitCode::SUCCESS)
        }
        Args::List { stack, limit } => list(asker, stack, limit).await.map(|()| ExitCode::SUCCESS),
        Args::Rm { pipelines } => {
            for one in &pipelines {
                asker.client.delete(&Target::new(&format!("pipelines/{}", segment(one)))).await?;
                show::line(&text::inert(one))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Args::Show { pipeline } => {
            let one = get(asker, &pipeline).await?;
            if asker.json {
                show::json([one])?;
            } else {
                print(&one)?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn get(asker: &Asker, reference: &str) -> anyhow::Result<Pipeline> {
    asker.client.get(&Target::new(&format!("pipelines/{}", segment(reference)))).await
}

/// The end of an id, where those of one hour differ.
fn short(id: &str) -> String {
    id.chars().rev().filter(|c| *c != '-').take(12).collect::<Vec<_>>().into_iter().rev().collect()
}

/// Shows what the steps print, until the last has ended; fails if the pipeline did.
async fn follow(asker: &Asker, begun: Pipeline, detach: bool) -> anyhow::Result<ExitCode> {
    if detach {
        if asker.json {
            show::json([begun])?;
        } else {
            show::line(&short(&begun.id))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut seen = HashMap::new();
    loop {
        let now = get(asker, &begun.id).await?;
        let over = now.finished_at.is_some();
        for step in &now.steps {
            let (Some(id), false) = (&step.container_id, asker.json || step.status == "skipped") else { continue };
            for line in new_lines(asker, id, seen.entry(id.clone()).or_default()).await? {
                show::line(&format!("{} | {}", text::inert(&step.name), text::inert(&line.message)))?;
            }
        }
        if over {
            let code = if now.status == "success" { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            if asker.json {
                show::json([now])?;
            } else {
                show::line("")?;
                print(&now)?;
            }
            return Ok(code);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What a container has printed after the line `last`, the oldest first; `last` is then the newest.
async fn new_lines(asker: &Asker, container: &str, last: &mut i64) -> anyhow::Result<Vec<LogLine>> {
    let target = Target::new("logs/search").with("container", container).with("limit", "1000");
    let (mut lines, mut cursor): (Vec<LogLine>, Option<String>) = (Vec::new(), None);
    loop {
        let page: LogPage = asker.client.get(&target.clone().with_all("cursor", &cursor)).await?;
        let known = page.items.iter().any(|line| line.id <= *last);
        lines.extend(page.items.into_iter().take_while(|line| line.id > *last));
        cursor = page.next;
        if known || cursor.is_none() {
            break;
        }
    }
    lines.reverse();
    *last = lines.last().map_or(*last, |line| line.id);
    Ok(lines)
}

async fn list(asker: &Asker, stack: Option<String>, limit: u32) -> anyhow::Result<()> {
    let target = Target::new("pipelines").with_all("stack", &stack);
    let (items, _): (Vec<Pipeline>, _) = asker.client.list(&target, limit.max(1) as usize).await?;
    if asker.json {
        return show::json(items);
    }
    let now = OffsetDateTime::now_utc();
    let mut table = Table::new(&["PIPELINE", "NAME", "STATUS", "BEGUN", "TOOK", "STEPS", "REASON"]);
    for one in items {
        let done = one.steps.iter().filter(|s| s.status == "success").count();
        table.row([
            short(&one.id),
            one.name.clone(),
            one.status.clone(),
            text::moment(one.created_at, now),
            took(&one, now),
            format!("{done}/{}", one.steps.len()),
            one.failure_reason.unwrap_or_default(),
        ]);
    }
    Ok(table.print()?)
}

fn took(one: &Pipeline, now: OffsetDateTime) -> String {
    let Some(from) = one.started_at else { return String::new() };
    let micros = (one.finished_at.unwrap_or(now) - from).whole_microseconds();
    text::duration(i64::try_from(micros).unwrap_or(i64::MAX))
}

fn print(one: &Pipeline) -> anyhow::Result<()> {
    let reason = one.failure_reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
    let took = took(one, OffsetDateTime::now_utc());
    show::line(&text::inert(&format!("{} ({}) {}{reason}, after {took}", one.name, short(&one.id), one.status)))?;
    let mut table = Table::new(&["STEP", "STATUS", "EXIT", "CONTAINER", "IMAGE", "NEEDS"]);
    for step in &one.steps {
        let id = step.container_id.as_deref().unwrap_or_default();
        table.row([
            step.name.clone(),
            step.status.clone(),
            step.exit_code.map(|c| c.to_string()).unwrap_or_default(),
            id.chars().take(12).collect(),
            step.image.clone(),
            step.needs.join(" "),
        ]);
    }
    Ok(table.print()?)
}
