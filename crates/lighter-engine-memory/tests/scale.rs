//! What only this engine promises: it is cheap, and a terminal's control characters do what a user expects.

use lighter_domain::Signal;
use lighter_engine::conformance::{Fixture, Made};
use lighter_engine::{Attach, AttachOptions, Engine as _, FoundState};
use lighter_engine_memory::{MemoryConfig, MemoryEngine};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn fixture() -> Fixture {
    Fixture {
        engine: Arc::new(MemoryEngine::new(MemoryConfig::default())),
        image: "busybox:latest".to_owned(),
        image_id: String::new(),
        network_mode: "bridge".to_owned(),
        leftovers: Box::new(|_| Vec::new()),
        keep: Box::new(()),
        made: Made::default(),
    }
}

#[tokio::test]
async fn ten_thousand_containers() {
    let fixture = fixture();
    let engine = MemoryEngine::new(MemoryConfig::default());
    let containers: Vec<_> = (0..10_000).map(|_| fixture.container(&["sleep", "inf"])).collect();
    for container in &containers {
        engine.create(container).await.unwrap();
        let started = engine.start(container).await.unwrap();
        assert_eq!(started.placement.networks["bridge"].prefix_len, 16);
    }
    let found = engine.list().await.unwrap();
    assert_eq!(found.iter().filter(|f| matches!(f.state, FoundState::Running { .. })).count(), 10_000);
    for container in &containers {
        engine.signal(&container.id, Signal::TERM).await.unwrap();
        assert_eq!(engine.wait(&container.id).await.unwrap().code, 143);
        engine.remove(&container.id).await.unwrap();
    }
    assert!(engine.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn control_characters_of_a_terminal() {
    let fixture = fixture();
    let engine = MemoryEngine::new(MemoryConfig::default());
    for (key, code) in [(3, 130), (4, 0)] {
        let container = fixture.container_with(&["cat"], |c| {
            c.config.tty = true;
            c.config.open_stdin = true;
        });
        let options = AttachOptions { stdin: true, stdout: true, stderr: true };
        let mut session = Attach::attach(&engine, &container, options).await.unwrap();
        engine.start(&container).await.unwrap();
        session.input.as_mut().unwrap().write_all(&[b'x', key]).await.unwrap();
        assert_eq!(engine.wait(&container.id).await.unwrap().code, code);
        let mut seen = String::new();
        session.output.read_to_string(&mut seen).await.unwrap();
        assert!(seen.starts_with('x'), "the echo: {seen:?}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_its_container_back() {
    let fixture = fixture();
    let engine = MemoryEngine::new(MemoryConfig::default());
    let container = fixture.container(&["seq", "500000"]);
    let options = AttachOptions { stdin: false, stdout: true, stderr: true };
    let session = Attach::attach(&engine, &container, options).await.unwrap();
    engine.start(&container).await.unwrap();
    let running = |state: &FoundState| matches!(state, FoundState::Running { .. });
    assert!(running(&engine.list().await.unwrap()[0].state), "it waits for room");
    drop(session);
    assert_eq!(engine.wait(&container.id).await.unwrap().code, 0);
}
