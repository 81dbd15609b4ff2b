//! Faults under load: clients create, start, exec, stop and remove while the daemon and supervisors are killed at random. Then
//! everything is compared: what was answered, what the daemon says, what the store says, and what the machine really holds.
//!
//! Ten seconds by default; `make soak` runs ten minutes (`LIGHTER_SOAK_SECONDS`). `LIGHTER_SOAK_SEED` repeats a sequence of
//! faults (not its timing).

mod check;
mod crowd;
mod load;

use docker_compat_tests::Daemon;
use docker_compat_tests::daemon::scratch;
use load::Book;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const WORKERS: u64 = 3;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn nothing_is_lost() {
    if std::env::var("LIGHTER_COMPAT_HOST").is_ok_and(|h| !h.is_empty()) {
        eprintln!("left out on the reference daemon: it is not ours to kill");
        return;
    }
    let seed = number("LIGHTER_SOAK_SEED", std::process::id().into());
    let end = Instant::now() + Duration::from_secs(number("LIGHTER_SOAK_SECONDS", 10));
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let roots = scratch("soak");
    // The dead ones stay here: dropping one takes the roots along.
    let mut daemons = vec![Daemon::start_in(&roots, &[]).with_busybox()];
    let book = Arc::new(Book::new(&daemons[0].socket));
    let writers = load::start_writers(&book);
    let workers: Vec<_> = (0..WORKERS)
        .map(|n| {
            let book = book.clone();
            std::thread::spawn(move || load::work(&book, seed ^ (n + 1)))
        })
        .collect();
    let (mut killed, mut ended, mut supervisors) = (0, 0, 0);
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(random.random_range(200..1200)));
        let daemon = daemons.last().unwrap();
        match random.random_range(0..10) {
            0..5 => {
                daemon.kill_nine();
                killed += 1;
            }
            5 => {
                daemon.terminate();
                ended += 1;
            }
            _ => {
                supervisors += usize::from(kill_a_supervisor(&roots, &book, &mut random));
                continue;
            }
        }
        daemons.push(Daemon::start_in(&roots, &[]));
    }
    book.stop.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.join().expect("a worker found nothing wrong");
    }
    let daemon = daemons.last().unwrap();
    check::logs(daemon, &book, &writers);
    let truth = check::states(daemon, &book);
    check::store(&roots, &book, truth.len());
    check::removal(daemon, &truth);
    let book = book.counts();
    println!("{killed} daemons killed, {ended} ended, {supervisors} supervisors killed; {book}");
    while daemons.pop().is_some() {}
    docker_compat_tests::leaks::assert_roots_unused(&roots);
}

/// Kills the supervisor of some container that is not a writer. False: there was none.
fn kill_a_supervisor(roots: &Path, book: &Book, random: &mut StdRng) -> bool {
    let roots = roots.display().to_string();
    let candidates: Vec<(i32, String)> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let cmdline = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
            let id = cmdline.split('/').find(|part| part.len() == 64)?.to_owned();
            (cmdline.starts_with("lighter-supervisor") && cmdline.contains(&roots) && !book.is_writer(&id)).then_some((pid, id))
        })
        .collect();
    if candidates.is_empty() {
        return false;
    }
    let (pid, id) = &candidates[random.random_range(0..candidates.len())];
    book.note(id, |fate| fate.supervisor_killed = true);
    kill_process(Pid::from_raw(*pid).unwrap(), Signal::KILL).is_ok()
}
