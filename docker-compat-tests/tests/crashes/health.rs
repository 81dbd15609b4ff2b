//! Health checks when the daemon dies.

use crate::survival::{Subject, inspect, reference, run};
use docker_compat_tests::eventually;

#[test]
fn health_is_kept_and_goes_on() {
    if reference() {
        return;
    }
    let (subject, first) = Subject::new("health");
    let flags = ["--health-cmd", "test ! -e /bad", "--health-interval", "200ms", "--health-retries", "2"];
    let id = run(&first, &flags, "sleep 1000");
    let health = |daemon: &_| inspect(daemon, &id)["State"]["Health"].clone();
    eventually("it is healthy", || (health(&first)["Status"] == "healthy").then_some(()));
    let pid = inspect(&first, &id)["State"]["Pid"].as_u64().unwrap();
    let before = health(&first)["Log"].as_array().unwrap().len();
    first.kill_nine();
    let second = subject.again();
    let found = health(&second);
    assert_eq!(found["Status"], "healthy", "{found}");
    assert!(found["Log"].as_array().unwrap().len() >= before, "nothing that was seen is lost: {found}");
    std::fs::write(format!("/proc/{pid}/root/bad"), "").unwrap();
    eventually("it is unhealthy", || (health(&second)["Status"] == "unhealthy").then_some(()));
    second.kill_nine();
    let third = subject.again();
    assert_eq!(health(&third)["Status"], "unhealthy");
    assert!(health(&third)["FailingStreak"].as_i64() >= Some(2));
    third.docker(&["kill", &id]).ok();
    third.kill_nine();
    let fourth = subject.again();
    let ended = health(&fourth);
    assert_eq!(ended["Status"], "unhealthy");
    assert!(ended["Log"].as_array().map(Vec::len) >= Some(3), "{ended}");
}
