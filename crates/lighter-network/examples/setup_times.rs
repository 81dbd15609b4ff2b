//! How long a container's network takes, in a network namespace of its own. Run as root:
//! `cargo run --release -p lighter-network --example setup_times`
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::time::{Duration, Instant};

use lighter_network::{Ask, BridgeConfig, Join, Networks, PortWant, Protocol};
use nix::sched::{CloneFlags, unshare};

const ROUNDS: usize = 40;
/// So long that the kernel is done with the clean-up of the one before.
const PAUSE: Duration = Duration::from_millis(200);

fn main() -> Result<(), Box<dyn Error>> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure())
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
    println!("{what:<34} median {:6.3} ms   p90 {:6.3}   max {:6.3}", at(50), at(90), at(100));
}

async fn measure() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("lighter-network-times-{}", std::process::id()));
    for pool in [0, 2] {
        let mut config = BridgeConfig::new(&dir);
        config.netns_pool = pool;
        let start = Instant::now();
        let networks = Networks::open(config).await?;
        let opened = start.elapsed();
        networks.attach("warm-up", on_default(&networks), Vec::new()).await?;
        networks.detach("warm-up");
        let first = start.elapsed();
        println!("\npool of {pool} namespaces: open {opened:.2?}, with bridge and rules {first:.2?}");
        one_by_one(&networks).await?;
        for crowd in [8, 40] {
            together(&networks, crowd).await?;
        }
        while !networks.remove_all().await? {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

fn on_default(networks: &Networks) -> Vec<Join> {
    vec![Join { network_id: networks.info().network_id, ask: Ask::default() }]
}

/// Isolated runs: each after a pause, as commands of a person come.
async fn one_by_one(networks: &Networks) -> Result<(), Box<dyn Error>> {
    let port = PortWant { protocol: Protocol::Tcp, container_port: 80, host_ip: None, host_ports: None };
    for (what, ports) in [("attach (all but detach)", Vec::new()), ("the same with a port", vec![port])] {
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            let id = format!("c{round}");
            let start = Instant::now();
            let (netns, _) = networks.attach(&id, on_default(networks), ports.clone()).await?;
            times.push(start.elapsed());
            networks.detach(&id);
            drop(netns);
            tokio::time::sleep(PAUSE).await;
        }
        report(what, &mut times);
    }
    Ok(())
}

async fn together(networks: &Networks, crowd: usize) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let tasks: Vec<_> = (0..crowd)
        .map(|n| {
            let networks = networks.clone();
            tokio::spawn(async move { networks.attach(&format!("p{n}"), on_default(&networks), Vec::new()).await })
        })
        .collect();
    let mut connected = Vec::new();
    for task in tasks {
        connected.push(task.await??);
    }
    println!("{crowd} at once: {:.2?}", start.elapsed());
    for (n, (netns, _)) in connected.into_iter().enumerate() {
        networks.detach(&format!("p{n}"));
        drop(netns);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(())
}
