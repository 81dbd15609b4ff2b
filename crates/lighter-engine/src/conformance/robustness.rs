//! Futures that are dropped half-way leave something that the next call can deal with.
//!
//! Each is polled a growing number of times before it is dropped, so that an engine with several steps is cut at each.

use super::Fixture;
use super::support::{OUTPUT, SLEEP, drop_after, left_out, text, until, within};
use crate::LogQuery;
use lighter_domain::ExecConfig;
use lighter_domain::id::random_hex64;
use std::sync::Arc;
use std::time::Duration;

const CUTS: [usize; 6] = [1, 2, 3, 5, 10, 30];

pub async fn a_dropped_create(f: Arc<Fixture>) {
    for polls in CUTS {
        let container = f.container(&["true"]);
        drop_after(polls, f.engine.create(&container)).await;
        assert_eq!(f.run(&container).await.code, 0, "{polls}");
    }
}

pub async fn a_dropped_start(f: Arc<Fixture>) {
    for polls in CUTS {
        let container = f.container(&SLEEP);
        f.engine.create(&container).await.expect("create");
        drop_after(polls, f.engine.start(&container)).await;
        // It may have been started, be on its way there, or not: asking once more must end with a container that runs.
        let again = f.engine.start(&container).await;
        assert!(f.is_running(&container.id).await, "after {polls} polls: {again:?}");
        assert_eq!(f.kill(&container).await.code, 137, "{polls}");
        f.engine.cleanup(&container.id).await.expect("cleanup");
        f.engine.remove(&container.id).await.expect("remove");
        let gone = within(Duration::from_secs(10), || (f.leftovers)(&container.id).is_empty()).await;
        assert!(gone, "after {polls} polls: {:?}", (f.leftovers)(&container.id));
    }
}

pub async fn a_dropped_wait(f: Arc<Fixture>) {
    let container = f.container(&SLEEP);
    f.start(&container).await;
    for polls in CUTS {
        assert!(!drop_after(polls, f.engine.wait(&container.id)).await);
    }
    let exit = f.kill(&container).await;
    assert_eq!(exit.code, 137);
    drop_after(1, f.engine.wait(&container.id)).await;
    assert_eq!(f.wait(&container).await, exit);
}

pub async fn a_dropped_remove(f: Arc<Fixture>) {
    for polls in CUTS {
        let container = f.container(&["true"]);
        f.run(&container).await;
        drop_after(polls, f.engine.remove(&container.id)).await;
        f.engine.remove(&container.id).await.expect("remove");
        assert_eq!(f.found(&container.id).await, None);
    }
}

pub async fn a_dropped_exec(f: Arc<Fixture>) {
    let Some(exec) = f.engine.exec() else { return left_out(&f, "exec") };
    let container = f.container(&SLEEP);
    f.start(&container).await;
    let config = |argv: &[&str]| ExecConfig {
        attach_stdout: true,
        cmd: argv.iter().map(|a| (*a).to_owned()).collect(),
        ..ExecConfig::default()
    };
    for polls in CUTS {
        drop_after(polls, exec.exec(&container, &random_hex64(), &config(&SLEEP))).await;
    }
    let started = exec.exec(&container, &random_hex64(), &config(&["echo", "still here"])).await.expect("exec");
    assert_eq!(text(started.session.expect("it was asked for").output).await.0, "still here\n");
    assert_eq!(started.exit.await.expect("exit"), 0);
    assert_eq!(f.kill(&container).await.code, 137);
}

pub async fn a_dropped_log_reader(f: Arc<Fixture>) {
    let (Some(logs), Some(attach)) = (f.engine.logs(), f.engine.attach()) else { return left_out(&f, "logs and attach") };
    let container = f.container(&["sh", "-c", "echo ready; sleep 3600"]);
    f.start(&container).await;
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
    for polls in CUTS {
        drop_after(polls, logs.logs(&container, query.clone())).await;
        drop_after(polls, attach.attach(&container, OUTPUT)).await;
    }
    let mut followed = logs.logs(&container, query).await.expect("logs");
    until(&mut followed, "ready\n").await;
    assert_eq!(f.kill(&container).await.code, 137);
    assert_eq!(text(followed).await.0, "");
}
