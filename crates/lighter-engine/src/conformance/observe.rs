//! Looking at a container from outside: its processes and what it uses.

use super::Fixture;
use super::support::{SLEEP, left_out};
use lighter_domain::id::random_hex64;
use lighter_domain::{ErrorKind, ExecConfig, HostConfig};
use std::sync::Arc;

pub async fn processes_are_listed(f: Arc<Fixture>) {
    let Some(top) = f.engine.top() else { return left_out(&f, "top") };
    let container = f.container(&SLEEP);
    f.engine.create(&container).await.expect("create");
    assert_eq!(top.top(&container, "-ef").await.expect_err("it does not run").kind(), ErrorKind::Conflict);
    let pid = f.start(&container).await.pid;
    let list = top.top(&container, "-ef").await.expect("top");
    assert_eq!(list.titles.join(" "), "UID PID PPID C STIME TTY TIME CMD");
    assert_eq!(list.processes.len(), 1, "{:?}", list.processes);
    assert_eq!(list.processes[0].len(), list.titles.len());
    assert_eq!(list.processes[0][1], pid.to_string());
    let Some(exec) = f.engine.exec() else { return left_out(&f, "exec") };
    let config = ExecConfig { cmd: SLEEP.map(str::to_owned).to_vec(), ..ExecConfig::default() };
    let second = exec.exec(&container, &random_hex64(), &config).await.expect("exec");
    let list = top.top(&container, "-ef").await.expect("top");
    let pids: Vec<&str> = list.processes.iter().map(|p| p[1].as_str()).collect();
    assert_eq!(pids, [pid.to_string(), second.pid.to_string()]);
    f.kill(&container).await;
    top.top(&container, "-ef").await.expect_err("it has ended");
}

pub async fn what_is_used_is_sampled(f: Arc<Fixture>) {
    let Some(stats) = f.engine.stats() else { return left_out(&f, "stats") };
    let container = f.container(&SLEEP);
    f.engine.create(&container).await.expect("create");
    assert_eq!(stats.sample(&container).await.expect_err("it does not run").kind(), ErrorKind::Conflict);
    f.start(&container).await;
    let mut first = stats.sample(&container).await.expect("sample");
    // What made the process may be on its way out.
    let began = std::time::Instant::now();
    while first.pids != 1 && began.elapsed() < std::time::Duration::from_secs(10) {
        tokio::task::yield_now().await;
        first = stats.sample(&container).await.expect("sample");
    }
    assert_eq!(first.pids, 1);
    assert!(first.cpu.online > 0);
    let second = stats.sample(&container).await.expect("sample");
    assert!(second.read_at > first.read_at && second.cpu.total >= first.cpu.total && second.cpu.system >= first.cpu.system);
    f.kill(&container).await;
    stats.sample(&container).await.expect_err("it has ended");
}

pub async fn limits_are_changed_while_it_runs(f: Arc<Fixture>) {
    let Some(update) = f.engine.update() else { return left_out(&f, "update") };
    let mut container = f.container(&SLEEP);
    let asked = HostConfig { memory: 64 << 20, memory_swap: 128 << 20, pids_limit: Some(50), ..HostConfig::default() };
    update.review_update(&container, &asked).expect("nothing is wrong with it");
    f.start(&container).await;
    container.host_config.memory = asked.memory;
    container.host_config.memory_swap = asked.memory_swap;
    container.host_config.pids_limit = asked.pids_limit;
    update.update(&container).await.expect("update");
    container.host_config.memory = 32 << 20;
    container.host_config.pids_limit = None;
    update.update(&container).await.expect("update");
    assert!(f.is_running(&container.id).await);
    f.kill(&container).await;
}
