//! The suite that every engine passes, on the memory engine.

use lighter_engine::Engine as _;
use lighter_engine::conformance::{Fixture, Made};
use lighter_engine_memory::{MemoryConfig, MemoryEngine};
use std::sync::Arc;

async fn setup() -> Fixture {
    let engine = Arc::new(MemoryEngine::new(MemoryConfig::default()));
    let image_id = engine.images().expect("it has images").get("busybox").await.expect("preloaded").id.clone();
    Fixture {
        engine,
        image: "busybox:latest".to_owned(),
        image_id,
        network_mode: "none".to_owned(),
        leftovers: Box::new(|_| Vec::new()),
        keep: Box::new(()),
        made: Made::default(),
    }
}

lighter_engine::conformance_tests!(setup);
lighter_engine::network_conformance_tests!(setup);
