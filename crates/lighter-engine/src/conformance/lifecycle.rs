//! Create, start, signal, wait, remove, list, reconcile.

use super::Fixture;
use super::support::{SLEEP, drop_after, until, within};
use crate::FoundState;
use lighter_domain::{ContainerId, ErrorKind, Signal};
use std::sync::Arc;
use std::time::Duration;

pub async fn describes_itself(f: Arc<Fixture>) {
    let description = f.engine.describe();
    assert!(!description.name.is_empty());
    assert_eq!(description.os_type, "linux");
    assert!(!description.architecture.is_empty());
    assert!(description.cpus >= 1);
    assert_eq!(f.engine.describe(), description, "facts do not change");
}

pub async fn reviews_a_plain_container_without_complaint(f: Arc<Fixture>) {
    let review = f.engine.review(&f.container(&["true"])).expect("nothing to refuse");
    assert_eq!(review.unsupported, Vec::<String>::new());
}

pub async fn create_is_idempotent(f: Arc<Fixture>) {
    let container = f.container(&["sh", "-c", "exit 4"]);
    f.engine.create(&container).await.expect("create");
    f.engine.create(&container).await.expect("create again");
    assert_eq!(f.run(&container).await.code, 4);
    f.engine.create(&container).await.expect("create what has run");
    assert_eq!(f.run(&container).await.code, 4);
}

pub async fn exit_codes(f: Arc<Fixture>) {
    for (argv, code) in [(&["true"][..], 0), (&["false"], 1), (&["sh", "-c", "exit 7"], 7), (&["sh", "-c", "exit 255"], 255)] {
        let container = f.container(argv);
        let started = f.start(&container).await;
        assert!(started.pid > 0);
        let exit = f.wait(&container).await;
        assert_eq!(exit.code, code, "{argv:?}");
        assert!(!exit.oom_killed);
        assert!(exit.finished_at >= started.started_at, "{} < {}", exit.finished_at, started.started_at);
    }
}

async fn fails(f: &Fixture, program: &str, code: i32, words: &[&str]) {
    let container = f.container(&[program]);
    f.engine.create(&container).await.expect("create");
    let failure = f.engine.start(&container).await.expect_err("there is no such program");
    let message = failure.error.message();
    assert_eq!(failure.exit_code, code, "{message}");
    // The docker CLI reads its own exit code out of these words.
    assert!(words.iter().any(|w| message.contains(w)), "{message}");
    assert!(message.contains(program), "{message}");
    assert!(!f.is_running(&container.id).await);
    f.engine.cleanup(&container.id).await.expect("cleanup");
    f.engine.remove(&container.id).await.expect("remove");
    assert_eq!(f.found(&container.id).await, None);
}

pub async fn a_missing_program_is_127(f: Arc<Fixture>) {
    fails(&f, "nosuch", 127, &["executable file not found in $PATH"]).await;
}

pub async fn a_missing_path_is_127(f: Arc<Fixture>) {
    fails(&f, "/bin/nosuch", 127, &["no such file or directory"]).await;
}

pub async fn a_program_that_is_not_executable_is_126(f: Arc<Fixture>) {
    fails(&f, "/etc/passwd", 126, &["permission denied"]).await;
}

pub async fn a_failed_start_can_be_tried_again(f: Arc<Fixture>) {
    let mut container = f.container(&["nosuch"]);
    f.engine.create(&container).await.expect("create");
    for _ in 0..2 {
        assert_eq!(f.engine.start(&container).await.expect_err("no such program").exit_code, 127);
        f.engine.cleanup(&container.id).await.expect("cleanup");
    }
    container.path = "true".to_owned();
    f.engine.start(&container).await.expect("this one exists");
    assert_eq!(f.wait(&container).await.code, 0);
}

pub async fn kill_gives_137(f: Arc<Fixture>) {
    let container = f.container(&SLEEP);
    f.start(&container).await;
    assert_eq!(f.kill(&container).await.code, 137);
}

pub async fn a_caught_signal_is_the_programs_affair(f: Arc<Fixture>) {
    let container = f.container(&["sh", "-c", "trap 'exit 7' TERM; echo ready; sleep 3600 & wait"]);
    let mut session = f.start_attached(&container).await;
    until(&mut session.output, "ready\n").await;
    f.engine.signal(&container.id, Signal::TERM).await.expect("TERM");
    assert_eq!(f.wait(&container).await.code, 7);
}

pub async fn signals_to_what_does_not_run_are_refused(f: Arc<Fixture>) {
    let container = f.container(&["true"]);
    f.run(&container).await;
    for id in [&container.id, &ContainerId::generate()] {
        let error = f.engine.signal(id, Signal::TERM).await.expect_err("nothing runs");
        assert!(matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound), "{:?} {error}", error.kind());
    }
}

pub async fn wait_before_and_after_the_end_and_twice(f: Arc<Fixture>) {
    let container = f.container(&SLEEP);
    f.start(&container).await;
    let waits: Vec<_> = (0..3)
        .map(|_| {
            let (f, container) = (Arc::clone(&f), container.clone());
            tokio::spawn(async move { f.wait(&container).await })
        })
        .collect();
    let killed = f.kill(&container).await;
    for wait in waits {
        assert_eq!(wait.await.expect("no panic"), killed);
    }
    assert_eq!(f.wait(&container).await, killed);
    assert_eq!(f.wait(&container).await, killed);
}

pub async fn wait_for_nothing_is_an_error(f: Arc<Fixture>) {
    assert_eq!(f.engine.wait(&ContainerId::generate()).await.expect_err("nothing there").kind(), ErrorKind::NotFound);
}

pub async fn starts_again_after_its_end(f: Arc<Fixture>) {
    let container = f.container(&["sh", "-c", "exit 3"]);
    for _ in 0..3 {
        assert_eq!(f.run(&container).await.code, 3);
        f.engine.cleanup(&container.id).await.expect("cleanup");
    }
}

pub async fn the_second_run_has_an_end_of_its_own(f: Arc<Fixture>) {
    let container = f.container(&SLEEP);
    f.start(&container).await;
    let first = f.kill(&container).await;
    f.engine.cleanup(&container.id).await.expect("cleanup");
    let started = f.engine.start(&container).await.expect("start again");
    assert!(started.started_at >= first.finished_at);
    assert!(!drop_after(20, f.engine.wait(&container.id)).await, "the first run's end is not the second's");
    let second = f.kill(&container).await;
    assert!(second.finished_at >= started.started_at);
}

pub async fn remove_of_the_unknown_succeeds(f: Arc<Fixture>) {
    f.engine.remove(&ContainerId::generate()).await.expect("nothing to do");
    let container = f.container(&["true"]);
    f.run(&container).await;
    f.engine.remove(&container.id).await.expect("remove");
    f.engine.remove(&container.id).await.expect("remove again");
}

pub async fn remove_frees_everything(f: Arc<Fixture>) {
    let never_started = f.container(&["true"]);
    f.engine.create(&never_started).await.expect("create");
    let ended = f.container(&["sh", "-c", "echo something"]);
    f.run(&ended).await;
    f.engine.cleanup(&ended.id).await.expect("cleanup");
    let not_cleaned_up = f.container(&["true"]);
    f.run(&not_cleaned_up).await;
    for container in [&never_started, &ended, &not_cleaned_up] {
        f.engine.remove(&container.id).await.expect("remove");
        assert_eq!(f.found(&container.id).await, None);
        let gone = within(Duration::from_secs(10), || (f.leftovers)(&container.id).is_empty()).await;
        assert!(gone, "{:?}", (f.leftovers)(&container.id));
    }
}

pub async fn list_tells_what_is_there(f: Arc<Fixture>) {
    let [created, running, ended] = [f.container(&["true"]), f.container(&SLEEP), f.container(&["sh", "-c", "exit 9"])];
    f.engine.create(&created).await.expect("create");
    let started = f.start(&running).await;
    f.run(&ended).await;
    assert_eq!(f.found(&created.id).await, Some(FoundState::Idle));
    match f.found(&running.id).await {
        Some(FoundState::Running { pid, started_at, paused, .. }) => {
            assert_eq!((pid, started_at, paused), (started.pid, started.started_at, false));
        }
        other => panic!("{other:?}"),
    }
    match f.found(&ended.id).await {
        Some(FoundState::Exited(exit)) => assert_eq!(exit.code, 9),
        // It has been told how the run ended, and may have forgotten.
        Some(FoundState::Idle) => {}
        other => panic!("{other:?}"),
    }
}

pub async fn reconcile_removes_what_nobody_knows(f: Arc<Fixture>) {
    let [known, unknown] = [f.container(&SLEEP), f.container(&["true"])];
    f.start(&known).await;
    f.engine.create(&unknown).await.expect("create");
    f.engine.reconcile(&[Arc::new(known.clone())]).await.expect("reconcile");
    assert!(f.is_running(&known.id).await, "what is known goes on");
    let mut left = true;
    for _ in 0..1000 {
        left = f.found(&unknown.id).await.is_some() || !(f.leftovers)(&unknown.id).is_empty();
        if !left {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!left, "what is not known goes");
    assert_eq!(f.kill(&known).await.code, 137);
}

pub async fn twenty_at_once(f: Arc<Fixture>) {
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let f = Arc::clone(&f);
            tokio::spawn(async move {
                let container = f.container(&["sh", "-c", &format!("exit {n}")]);
                assert_eq!(f.run(&container).await.code, n);
                f.engine.cleanup(&container.id).await.expect("cleanup");
                f.engine.remove(&container.id).await.expect("remove");
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
}
