//! What indexes log lines is behind the containers' backs: with the database in somebody else's hands a container prints and ends
//! as ever, its log is whole, and what the index has passed over is told when it comes to that.

use docker_compat_tests::daemon::{alive, scratch};
use docker_compat_tests::lighter::run;
use docker_compat_tests::{Daemon, PATIENCE, eventually};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Executor as _};
use std::io::BufRead as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::survival::reference;

/// More than two looks of the index take.
const LINES: usize = 300_000;

#[test]
fn a_flood_while_the_database_is_held() {
    if reference() {
        return;
    }
    let roots = scratch("held");
    let daemon = Daemon::start_in(&roots, &[]).with_busybox();
    let shared = roots.join("shared");
    std::fs::create_dir(&shared).unwrap();
    let script = format!("until [ -e /shared/now ]; do sleep 0.05; done; seq {LINES}");
    let volume = format!("{}:/shared", shared.display());
    let command = ["run", "-d", "--network", "none", "--name", "flood", "-v", &volume, "busybox", "sh", "-c", &script];
    daemon.docker(&command).ok();
    let shown = daemon.http("GET", "/containers/flood/json", None).json();
    let pid = u32::try_from(shown["State"]["Pid"].as_u64().unwrap()).unwrap();
    let log = Path::new(shown["LogPath"].as_str().unwrap());

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut held = runtime.block_on(hold(&roots.join("data/lighter.db")));
    std::fs::write(shared.join("now"), "").unwrap();
    eventually("the container has ended", || (!alive(pid)).then_some(()));
    eventually("its log is whole", || (lines(log) == LINES).then_some(()));
    runtime.block_on(held.execute("ROLLBACK")).unwrap();

    assert_eq!(daemon.docker(&["wait", "flood"]).ok(), "0");
    let printed = daemon.docker(&["logs", "flood"]).ok().lines().map(|line| line.parse().unwrap()).collect::<Vec<usize>>();
    assert!(printed.into_iter().eq(1..=LINES));
    let told = found(&daemon);
    assert!(told.contains("(flood printed more than could be kept"), "{told}");
    daemon.docker(&["rm", "flood"]).ok();
}

/// The daemon can read, and not write, until this is rolled back.
async fn hold(database: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(database).busy_timeout(Duration::from_secs(10));
    let mut connection = options.connect().await.unwrap();
    connection.execute("BEGIN IMMEDIATE").await.unwrap();
    connection
}

fn lines(log: &Path) -> usize {
    std::io::BufReader::new(std::fs::File::open(log).unwrap()).lines().count()
}

/// What is said beside the last line once it is found. That may take long on a busy machine, as long as it gets on.
fn found(daemon: &Daemon) -> String {
    let (mut newest, mut since) = (String::new(), Instant::now());
    loop {
        let last = run(daemon, &["logs", "search", "--container", "flood", "-n", "1", "--", &LINES.to_string()]);
        if last.ok().contains(&LINES.to_string()) {
            return last.stderr;
        }
        let now = run(daemon, &["logs", "search", "--container", "flood", "-n", "1", "--json"]);
        if now.stdout != newest {
            (newest, since) = (now.stdout, Instant::now());
        }
        assert!(since.elapsed() < PATIENCE, "the index gets no further than {newest}");
    }
}
