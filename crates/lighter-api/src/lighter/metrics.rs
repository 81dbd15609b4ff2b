//! What containers used: as it was kept, and as it is now in the text format of Prometheus.

use super::convert;
use crate::body::{json, stream};
use crate::call::{Answer, Call};
use crate::failure::Failure;
use axum::body::Body;
use http::StatusCode;
use lighter_core::{MetricsQuery, Reading};
use lighter_domain::MetricsSample;
use lighter_wire::lighter::Metrics;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Samples of a series, unless the client says how many.
const POINTS: i64 = 1000;
const MOST_POINTS: i64 = 10_000;

pub async fn list(call: Call) -> Answer {
    call.only(&["container", "stack", "since", "until", "points"])?;
    let points = call.query.integer("points")?.unwrap_or(POINTS);
    if !(3..=MOST_POINTS).contains(&points) {
        return Err(Failure::bad_request(format!("points must be a number from 3 to {MOST_POINTS}")));
    }
    let query = MetricsQuery {
        containers: call.ids("container").await?,
        stacks: call.values("stack"),
        since: call.query.timestamp("since")?,
        until: call.query.timestamp("until")?,
        points: usize::try_from(points).unwrap_or_default(),
    };
    let items = call.daemon.metrics(&query).await?.into_iter().map(convert::series).collect();
    Ok(json(StatusCode::OK, &Metrics { items }))
}

pub async fn prometheus(call: Call) -> Answer {
    call.only(&[])?;
    let text = exposition(&call.daemon.readings().await);
    Ok(stream("text/plain; version=0.0.4; charset=utf-8", Body::from(text)))
}

/// Name, kind, help, and the value of a container.
type Family = (&'static str, &'static str, &'static str, fn(&Reading, &MetricsSample) -> Value);

/// Seconds are told with their fractions, bytes as they are.
enum Value {
    Nanoseconds(u64),
    Number(u64),
}

const FAMILIES: [Family; 8] = [
    ("cpu_seconds_total", "counter", "Processor time used since the container started.", |_, s| Value::Nanoseconds(s.cpu_usage)),
    ("memory_usage_bytes", "gauge", "Memory in use, without what the kernel would give up at once.", |_, s| {
        Value::Number(s.mem_usage)
    }),
    ("memory_limit_bytes", "gauge", "What it may use; without a limit the machine's memory.", |r, _| {
        Value::Number(r.sample.as_ref().map_or(0, |s| s.memory.limit))
    }),
    ("processes", "gauge", "Processes and threads.", |r, _| Value::Number(r.sample.as_ref().map_or(0, |s| s.pids))),
    ("block_read_bytes_total", "counter", "Bytes read from block devices.", |_, s| Value::Number(s.io_read)),
    ("block_written_bytes_total", "counter", "Bytes written to block devices.", |_, s| Value::Number(s.io_write)),
    ("network_received_bytes_total", "counter", "Bytes received.", |_, s| Value::Number(s.net_rx)),
    ("network_sent_bytes_total", "counter", "Bytes sent.", |_, s| Value::Number(s.net_tx)),
];

fn exposition(readings: &[Reading]) -> String {
    let mut out = String::new();
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    for reading in readings {
        *states.entry(reading.container.state.docker_status()).or_default() += 1;
    }
    head(&mut out, "lighter_containers", "gauge", "Containers by state.");
    for (state, count) in states {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "lighter_containers{{state=\"{state}\"}} {count}");
    }
    let sampled: Vec<_> = readings
        .iter()
        .filter_map(|reading| Some((reading, MetricsSample::of(reading.sample.as_ref()?), labels(reading))))
        .collect();
    for (name, kind, help, value) in FAMILIES {
        let name = format!("lighter_container_{name}");
        head(&mut out, &name, kind, help);
        for (reading, sample, labels) in &sampled {
            let _ = match value(reading, sample) {
                Value::Number(n) => writeln!(out, "{name}{labels} {n}"),
                Value::Nanoseconds(n) => writeln!(out, "{name}{labels} {}.{:09}", n / 1_000_000_000, n % 1_000_000_000),
            };
        }
    }
    out
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn labels(reading: &Reading) -> String {
    let container = &reading.container;
    let stack = container.compose_project().unwrap_or_default();
    let [name, image, stack] = [&container.name, &container.config.image, stack].map(escaped);
    format!("{{container=\"{name}\",id=\"{}\",image=\"{image}\",stack=\"{stack}\"}}", container.id.as_str())
}

/// As the format wants the value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
