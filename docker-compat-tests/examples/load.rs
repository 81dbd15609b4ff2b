//! A load generator over a Unix socket, for the benchmarks: as many keep-alive
//! GETs as the daemon will answer.
//!
//! usage: load SOCKET PATH SECONDS CONNECTIONS
//! Prints: requests, requests per second, median microseconds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use docker_compat_tests::http::Client;

static STOP: AtomicBool = AtomicBool::new(false);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, socket, path, seconds, connections] = args.as_slice() else {
        eprintln!("usage: load SOCKET PATH SECONDS CONNECTIONS");
        std::process::exit(2);
    };
    let length = Duration::from_secs_f64(seconds.parse().expect("seconds"));
    let connections: usize = connections.parse().expect("a number of connections");
    let started = Instant::now();
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let (socket, path) = (socket.clone(), path.clone());
            std::thread::spawn(move || worker(&socket, &path))
        })
        .collect();
    std::thread::sleep(length);
    STOP.store(true, Ordering::Relaxed);
    let mut times: Vec<u32> = threads.into_iter().flat_map(|t| t.join().expect("a worker")).collect();
    let elapsed = started.elapsed().as_secs_f64();
    times.sort_unstable();
    println!("{} {:.1} {}", times.len(), times.len() as f64 / elapsed, times.get(times.len() / 2).unwrap_or(&0));
}

fn worker(socket: &str, path: &str) -> Vec<u32> {
    let mut client = Client::connect(socket.as_ref()).expect("the daemon listens");
    let mut times = Vec::new();
    while !STOP.load(Ordering::Relaxed) {
        let before = Instant::now();
        let answer = client.get(path).expect("an answer");
        assert_eq!(answer.status, 200);
        times.push(u32::try_from(before.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    times
}
