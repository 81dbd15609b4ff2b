//! A request's record that is stored in one step with the change that the request asks for: it is then as durable as the
//! change, and one commit is waited for instead of two.

use lighter_domain::{Container, ShimEvent};
use std::sync::Arc;

/// Where the record comes from.
pub trait Record: Send + Sync {
    /// As it is to be once the change is stored; `made` is the container that the request makes. None: nothing is recorded.
    fn event(&self, made: Option<&Container>) -> Option<ShimEvent>;

    /// It is stored: there is nothing more to record.
    fn stored(&self);
}

/// The record of a request; by default of none.
#[derive(Clone, Default)]
pub(crate) struct Receipt(pub Option<Arc<dyn Record>>);

impl Receipt {
    pub fn event(&self, made: Option<&Container>) -> Option<ShimEvent> {
        self.0.as_ref().and_then(|record| record.event(made))
    }

    pub fn stored(&self) {
        if let Some(record) = &self.0 {
            record.stored();
        }
    }
}
