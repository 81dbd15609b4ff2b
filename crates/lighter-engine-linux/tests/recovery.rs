//! The daemon's death and return: an engine is dropped and another opened on the same roots, as after a restart.

mod support;

use lighter_domain::{Container, ExecConfig, Signal};
use lighter_engine::conformance::{Fixture, Made};
use lighter_engine::{Engine, FoundState, LogQuery};
use lighter_engine_linux::LinuxEngine;
use std::sync::Arc;
use support::{Kept, Place, leftovers, open};
use tokio::io::AsyncReadExt as _;

/// Makes containers without being the engine's keeper.
async fn maker(engine: &LinuxEngine, network: &str) -> Fixture {
    let image = engine.images().expect("images").list().await.expect("list").remove(0);
    Fixture {
        engine: Arc::new(engine.clone()),
        image: image.repo_tags[0].clone(),
        image_id: image.id.clone(),
        network_mode: network.to_owned(),
        leftovers: Box::new(|_| Vec::new()),
        keep: Box::new(()),
        made: Made::default(),
    }
}

async fn started(engine: &LinuxEngine, network: &str, script: &str) -> (Container, u32) {
    let container = maker(engine, network).await.container(&["sh", "-c", script]);
    engine.create(&container).await.expect("create");
    let started = engine.start(&container).await.expect("start");
    (container, started.pid)
}

async fn gone(place: &Place, containers: &[&Container]) {
    let parent = format!("lighter-test-{}", place.name);
    for _ in 0..1000 {
        let left: Vec<String> = containers.iter().flat_map(|c| leftovers(place.dir.path(), &parent, &c.id)).collect();
        if left.is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_do_not_notice() {
    let place = Place::new();
    let engine = open(&place).await;
    let (running, pid) =
        started(&engine, "bridge", "i=0; while true; do i=$((i+1)); echo $i; done | head -n 2000; sleep 3600").await;
    let (ended, _) = started(&engine, "none", "exit 7").await;
    let (killed, _) = started(&engine, "none", "sleep 3600").await;
    let address = engine.list().await.expect("list").into_iter().find_map(|f| match f.state {
        FoundState::Running { placement, .. } => placement.networks.get("bridge").and_then(|n| n.ip),
        _ => None,
    });
    assert!(address.is_some());
    // The ended one has ended, but this daemon never asked.
    while !place.dir.path().join(format!("exec/containers/{}/exit.json", ended.id)).exists() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    drop(engine);

    let engine = open(&place).await;
    let list = engine.list().await.expect("list");
    let state = |c: &Container| list.iter().find(|f| f.id == c.id).map(|f| f.state.clone()).expect("it is there");
    match state(&running) {
        FoundState::Running { pid: found, placement, .. } => {
            assert_eq!(found, pid);
            assert_eq!(placement.networks["bridge"].ip, address);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(state(&ended), FoundState::Exited(exit) if exit.code == 7));
    engine.reconcile(&[&running, &ended, &killed].map(|c| Arc::new(c.clone()))).await.expect("reconcile");
    assert_eq!(engine.wait(&ended.id).await.expect("wait").code, 7);

    // It can be asked, executed in, read, signalled and waited for by the new daemon.
    let exec = ExecConfig { cmd: vec!["true".into()], ..ExecConfig::default() };
    let session = engine.exec().expect("exec").exec(&running, &lighter_domain::id::random_hex64(), &exec).await.expect("exec");
    assert_eq!(session.exit.await.expect("exit"), 0);
    let query = LogQuery {
        stdout: true,
        stderr: true,
        follow: true,
        timestamps: false,
        details: false,
        since: None,
        until: None,
        tail: None,
    };
    let mut log = engine.logs().expect("logs").logs(&running, query).await.expect("logs");
    let mut text = Vec::new();
    while !text.ends_with(b"2000\n") {
        assert!(log.read_buf(&mut text).await.expect("read") > 0);
    }
    assert_eq!(text.iter().filter(|b| **b == b'\n').count(), 2000, "no line is missing");
    // A second container gets another address.
    let (second, _) = started(&engine, "bridge", "sleep 3600").await;
    let addresses: Vec<_> = engine
        .list()
        .await
        .expect("list")
        .into_iter()
        .filter_map(|f| match f.state {
            FoundState::Running { placement, .. } => placement.networks.get("bridge").and_then(|n| n.ip),
            _ => None,
        })
        .collect();
    assert_eq!(addresses.len(), 2);
    assert_ne!(addresses[0], addresses[1]);
    for container in [&running, &killed, &second] {
        let waiting = tokio::spawn({
            let (engine, id) = (engine.clone(), container.id.clone());
            async move { engine.wait(&id).await }
        });
        engine.signal(&container.id, Signal::KILL).await.expect("kill");
        assert_eq!(waiting.await.expect("no panic").expect("wait").code, 137);
    }
    let mut end = Vec::new();
    log.read_to_end(&mut end).await.expect("the log ends with the container");
    for container in [&running, &ended, &killed, &second] {
        engine.cleanup(&container.id).await.expect("cleanup");
        engine.remove(&container.id).await.expect("remove");
    }
    gone(&place, &[&running, &ended, &killed, &second]).await;
    drop(Kept { engine, place });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_that_is_killed_takes_its_container_along() {
    let place = Place::new();
    let engine = open(&place).await;
    let (container, pid) = started(&engine, "none", "sleep 3600").await;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let parent = status.lines().find_map(|l| l.strip_prefix("PPid:\t")).and_then(|p| p.parse().ok()).expect("a parent");
    let waiting = tokio::spawn({
        let (engine, id) = (engine.clone(), container.id.clone());
        async move { engine.wait(&id).await }
    });
    let supervisor = rustix::process::Pid::from_raw(parent).expect("a pid");
    rustix::process::kill_process(supervisor, rustix::process::Signal::KILL).expect("kill");
    assert_eq!(waiting.await.expect("no panic").expect("wait").code, 137);
    engine.cleanup(&container.id).await.expect("cleanup");
    engine.remove(&container.id).await.expect("remove");
    gone(&place, &[&container]).await;
    // Whoever inherited it may be slow to reap it.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    assert!(status.is_empty() || status.contains("State:\tZ"), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_store_does_not_know_goes() {
    let place = Place::new();
    let engine = open(&place).await;
    let (unknown, _) = started(&engine, "bridge", "sleep 3600").await;
    drop(engine);
    let engine = open(&place).await;
    engine.reconcile(&[]).await.expect("reconcile");
    gone(&place, &[&unknown]).await;
    assert!(engine.list().await.expect("list").is_empty());
    drop(Kept { engine, place });
}
