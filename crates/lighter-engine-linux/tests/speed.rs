//! `cargo test -p lighter-engine-linux --test speed --release -- --ignored --nocapture`: how long a container takes inside the
//! daemon, part by part. Runs are a moment apart, as a person's are.

mod support;

use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn create_to_cleaned_up() {
    for network in ["none", "bridge"] {
        let f = support::fixture(network).await;
        let mut parts: Vec<[Duration; 5]> = Vec::new();
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let container = f.container(&["true"]);
            let begin = Instant::now();
            f.engine.create(&container).await.expect("create");
            let created = begin.elapsed();
            f.engine.start(&container).await.expect("start");
            let started = begin.elapsed();
            f.engine.wait(&container.id).await.expect("wait");
            let ended = begin.elapsed();
            f.engine.cleanup(&container.id).await.expect("cleanup");
            f.engine.remove(&container.id).await.expect("remove");
            let all = begin.elapsed();
            parts.push([created, started - created, ended - started, all - ended, all]);
        }
        let median = |n: usize| {
            let mut values: Vec<Duration> = parts.iter().map(|p| p[n]).collect();
            values.sort_unstable();
            values[values.len() / 2]
        };
        println!(
            "{network}: create {:?}, start {:?}, wait {:?}, cleanup and remove {:?}, all {:?}",
            median(0),
            median(1),
            median(2),
            median(3),
            median(4)
        );
    }
}
