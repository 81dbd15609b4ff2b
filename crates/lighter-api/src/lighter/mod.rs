//! `/lighter/v1`: what Lighter knows beyond Docker's API, on the same socket and with the same form of errors.
//!
//! [`ROUTES`] is matched, run and recorded as Docker's routes are. Its answers are described by `openapi.json`, which is served
//! as it lies here; a test holds the two against each other. A parameter that is not known is refused: a misspelt filter
//! must not look like an empty answer.

mod convert;
mod events;
mod explain;
mod gc;
mod logs;
mod machine;
mod metrics;
mod pipelines;
mod sample_data;
mod stacks;
mod store;

use crate::call::Call;
use crate::failure::Failure;
use crate::routes::{Kind, Route, Subject, routes};
use http::Method;
use lighter_wire::lighter::Page;

/// Items of a page, unless the client says how many.
const PAGE: u32 = 100;
const MOST: u32 = 1000;

#[rustfmt::skip]
pub static ROUTES: &[Route] = routes! {
    GET    "/lighter/v1/openapi.json"             LighterOpenApi          None      Read(machine::openapi)
    GET    "/lighter/v1/events"                   LighterEvents           None      Read(events::list)
    GET    "/lighter/v1/mappings"                 LighterMappings         None      Read(explain::mappings)
    GET    "/lighter/v1/containers/{id}/explain"  LighterExplain          Container Read(explain::explain)
    GET    "/lighter/v1/logs/search"              LighterLogSearch        None      Read(logs::search)
    GET    "/lighter/v1/metrics"                  LighterMetrics          None      Read(metrics::list)
    GET    "/lighter/v1/metrics/prometheus"       LighterPrometheus       None      Read(metrics::prometheus)
    GET    "/lighter/v1/pipelines"                LighterPipelines        None      Read(pipelines::list)
    POST   "/lighter/v1/pipelines"                LighterPipelineRun      None      Change(pipelines::run)
    GET    "/lighter/v1/pipelines/{id}"           LighterPipeline         None      Read(pipelines::show)
    DELETE "/lighter/v1/pipelines/{id}"           LighterPipelineRemove   None      Change(pipelines::remove)
    POST   "/lighter/v1/pipelines/{id}/cancel"    LighterPipelineCancel   None      Change(pipelines::cancel)
    POST   "/lighter/v1/pipelines/{id}/rerun"     LighterPipelineRerun    None      Change(pipelines::rerun)
    GET    "/lighter/v1/ports"                    LighterPorts            None      Read(machine::ports)
    GET    "/lighter/v1/stacks"                   LighterStacks           None      Read(stacks::list)
    GET    "/lighter/v1/stacks/{id}"              LighterStack            None      Read(stacks::show)
    GET    "/lighter/v1/doctor"                   LighterDoctor           None      Read(machine::doctor)
    GET    "/lighter/v1/gc"                       LighterGcPlan           None      Read(gc::plan)
    POST   "/lighter/v1/gc"                       LighterGc               None      Change(gc::run)
    POST   "/lighter/v1/sample-data"              LighterSampleData       None      Change(sample_data::run)
    GET    "/lighter/v1/store/check"              LighterStoreCheck       None      Read(store::check)
    GET    "/lighter/v1/store/backup"             LighterStoreBackup      None      Read(store::backup)
};

impl Call {
    /// Refuses parameters other than these.
    fn only(&self, known: &[&str]) -> Result<(), Failure> {
        match self.query.names().find(|name| !known.contains(name)) {
            Some(name) => Err(Failure::bad_request(format!("unknown parameter {name:?}; there are: {}", known.join(", ")))),
            None => Ok(()),
        }
    }

    /// How many items the client wants at once.
    fn limit(&self) -> Result<u32, Failure> {
        let bad = || Failure::bad_request(format!("limit must be a number from 1 to {MOST}"));
        match self.query.integer("limit").map_err(|_| bad())? {
            None => Ok(PAGE),
            Some(n) => u32::try_from(n).ok().filter(|n| (1..=MOST).contains(n)).ok_or_else(bad),
        }
    }

    /// Ids of the containers that a parameter names, there or gone.
    async fn ids(&self, name: &str) -> Result<Vec<String>, Failure> {
        let mut all = Vec::new();
        for reference in self.values(name) {
            let ids = self.daemon.ids_of(&reference).await?;
            // Nothing was ever called so: a condition that nothing meets.
            all.extend(if ids.is_empty() { vec![reference] } else { ids });
        }
        Ok(all)
    }

    /// The values of a parameter that may be given several times, empty ones left out.
    fn values(&self, name: &str) -> Vec<String> {
        self.query.all(name).filter(|v| !v.is_empty()).map(str::to_owned).collect()
    }
}

/// A page whose next one begins behind its last item, if it is full.
fn page<T>(items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Page<T> {
    let next = items.last().filter(|_| items.len() >= limit as usize).map(cursor);
    Page { items, next }
}

fn bad_cursor() -> Failure {
    Failure::bad_request("invalid cursor: take it from the `next` of the page before")
}
