//! The JSON of `/lighter/v1`, both ways: the daemon writes it, the `lighter` command reads it.
//!
//! Names are camelCase, as in the database; dates are RFC 3339 in UTC; what is not known is null and never left out. A list
//! comes in pages: [`Page::next`] is the `cursor` of the next one. The OpenAPI document that the daemon serves says the same.

mod events;
mod explain;
mod gc;
mod logs;
mod machine;
mod metrics;
mod pipelines;
mod stacks;

pub use events::Event;
pub use explain::{Explained, ExplainedContainer, Fate, Field, Mapping};
pub use gc::{CollectedImage, Collection};
pub use logs::{LogGap, LogLine, LogPage};
pub use machine::{Check, Finding, Findings, Port, PortState, SampleData};
pub use metrics::{Metric, Metrics, Series};
pub use pipelines::{NewPipeline, NewStep, Pipeline, PipelineStep};
pub use stacks::{Stack, StackContainer, Wait};

use serde::{Deserialize, Serialize};

/// One page of a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Null: there is no more.
    pub next: Option<String>,
}

/// The answer of every error, as in Docker's API.
#[derive(Debug, Clone, Deserialize)]
pub struct Failure {
    pub message: String,
}
