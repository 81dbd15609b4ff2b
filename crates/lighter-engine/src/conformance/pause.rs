//! Freezing, where the engine can.

use super::Fixture;
use super::support::{SLEEP, left_out, until};
use crate::FoundState;
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;

pub async fn a_paused_container_is_listed_so(f: Arc<Fixture>) {
    let Some(pause) = f.engine.pause() else { return left_out(&f, "pause") };
    let container = f.container(&SLEEP);
    f.start(&container).await;
    for expected in [true, false] {
        match expected {
            true => pause.pause(&container.id).await.expect("pause"),
            false => pause.unpause(&container.id).await.expect("unpause"),
        }
        match f.found(&container.id).await {
            Some(FoundState::Running { paused, .. }) => assert_eq!(paused, expected),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(f.kill(&container).await.code, 137);
}

pub async fn a_paused_program_goes_on_afterwards(f: Arc<Fixture>) {
    let Some(pause) = f.engine.pause() else { return left_out(&f, "pause") };
    if f.engine.attach().is_none() {
        return left_out(&f, "attach");
    }
    let container = f.container_with(&["cat"], |c| {
        c.config.open_stdin = true;
        c.config.stdin_once = true;
    });
    let mut session = f.start_attached(&container).await;
    let mut input = session.input.take().expect("an input");
    input.write_all(b"warm\n").await.expect("write");
    until(&mut session.output, "warm\n").await;
    pause.pause(&container.id).await.expect("pause");
    input.write_all(b"frozen\n").await.expect("write");
    pause.unpause(&container.id).await.expect("unpause");
    until(&mut session.output, "frozen\n").await;
    input.shutdown().await.expect("shutdown");
    assert_eq!(f.wait(&container).await.code, 0);
}

pub async fn a_killed_paused_container_ends(f: Arc<Fixture>) {
    let Some(pause) = f.engine.pause() else { return left_out(&f, "pause") };
    let container = f.container(&SLEEP);
    f.start(&container).await;
    pause.pause(&container.id).await.expect("pause");
    assert_eq!(f.kill(&container).await.code, 137);
}
