//! The engine conformance suite on real containers. Needs root, the supervisor's program and a busybox image
//! (`scripts/busybox-image.sh`); without them each test says so and passes over.

mod support;

use lighter_engine::conformance::Fixture;

async fn setup() -> Fixture {
    support::fixture("none").await
}

lighter_engine::conformance_tests!(setup);
lighter_engine::network_conformance_tests!(setup);
