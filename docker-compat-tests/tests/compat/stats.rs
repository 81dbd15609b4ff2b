//! `docker stats`: fields, modes, one sample a second, and containers that do not run.

use docker_compat_tests::http::Client;
use docker_compat_tests::{Scope, eventually};
use serde_json::Value;
use std::io::BufRead as _;

fn once(t: &Scope, id: &str, query: &str) -> Value {
    let answer = t.daemon.http("GET", &format!("/containers/{id}/stats?{query}"), None);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn number(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {path}: {value}"))
}

#[test]
fn the_fields_that_clients_read() {
    let t = Scope::new();
    let id = t.detached(&["-m", "64m", "--pids-limit", "20"], "while :; do :; done");
    let s = once(&t, &id, "stream=false");
    assert_eq!(s["id"], id.as_str());
    assert!(s["name"].as_str().unwrap().starts_with('/'));
    assert!(s["preread"].as_str() < s["read"].as_str() && !s["preread"].as_str().unwrap().starts_with("0001"), "two samples");
    let used = number(&s, "/cpu_stats/cpu_usage/total_usage") - number(&s, "/precpu_stats/cpu_usage/total_usage");
    let system = number(&s, "/cpu_stats/system_cpu_usage") - number(&s, "/precpu_stats/system_cpu_usage");
    let cpus = number(&s, "/cpu_stats/online_cpus");
    assert!(used > 10_000_000 && system > used / 4, "a busy loop: {used} of {system}");
    assert!((1..=4096).contains(&cpus));
    assert!(number(&s, "/cpu_stats/cpu_usage/usage_in_usermode") > 0);
    assert_eq!(number(&s, "/cpu_stats/throttling_data/periods"), 0);
    let (usage, limit) = (number(&s, "/memory_stats/usage"), number(&s, "/memory_stats/limit"));
    assert!(usage > 0 && usage < limit, "{usage} {limit}");
    assert_eq!(limit, 64 << 20);
    let table = s["memory_stats"]["stats"].as_object().unwrap();
    assert!(table.contains_key("total_inactive_file") || table.contains_key("inactive_file"), "{table:?}");
    assert_eq!(s["pids_stats"], serde_json::json!({"current": 1, "limit": 20}));
    for list in ["io_service_bytes_recursive", "io_serviced_recursive", "io_time_recursive", "sectors_recursive"] {
        assert!(s["blkio_stats"][list].is_array() || s["blkio_stats"][list].is_null(), "{list}");
    }
    assert_eq!(s.get("networks"), None, "it has none");
    assert_eq!((&s["num_procs"], &s["storage_stats"]), (&0.into(), &serde_json::json!({})));
}

#[test]
fn counters_of_the_network() {
    let t = Scope::new();
    let id = t.detached(&["--network", "bridge"], "sleep 1000");
    let gateway = t.inspect(&id)["NetworkSettings"]["Networks"]["bridge"]["Gateway"].as_str().unwrap().to_owned();
    let before = once(&t, &id, "stream=false&one-shot=1");
    t.docker(&["exec", &id, "ping", "-c", "3", "-i", "0.1", "-W", "1", &gateway]);
    let after = once(&t, &id, "stream=false&one-shot=1");
    let sent = |s: &Value| number(s, "/networks/eth0/tx_packets");
    assert!(sent(&after) > sent(&before), "{after}");
    for field in ["rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "tx_bytes", "tx_errors", "tx_dropped"] {
        assert!(after["networks"]["eth0"][field].is_u64(), "{field}");
    }
    assert_eq!(after["networks"].as_object().unwrap().len(), 1, "no loopback");
}

#[test]
fn a_throttled_container() {
    let t = Scope::new();
    let id = t.detached(&["--cpus", "0.1"], "while :; do :; done");
    eventually("it is throttled", || {
        let s = once(&t, &id, "stream=false&one-shot=1");
        let data = &s["cpu_stats"]["throttling_data"];
        (data["throttled_periods"].as_u64() >= Some(1) && data["throttled_time"].as_u64() >= Some(1)).then_some(())
    });
}

#[test]
fn a_stream_has_a_sample_each_second() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let mut client = Client::connect(&t.daemon.socket).unwrap();
    client.send("GET", &format!("/containers/{id}/stats"), &[], None).unwrap();
    assert_eq!(client.head().unwrap().status, 200);
    let mut samples: Vec<Value> = Vec::new();
    while samples.len() < 4 {
        let mut line = String::new();
        assert!(client.stream.read_line(&mut line).unwrap() > 0, "it goes on");
        if let Ok(sample @ Value::Object(_)) = serde_json::from_str(line.trim()) {
            samples.push(sample);
        }
    }
    assert_eq!(samples[0]["preread"], "0001-01-01T00:00:00Z", "the first has none before it");
    assert_eq!(number(&samples[0], "/precpu_stats/cpu_usage/total_usage"), 0);
    for pair in samples.windows(2) {
        assert_eq!(pair[0]["read"], pair[1]["preread"]);
    }
    let second = |s: &Value| {
        let at = s["read"].as_str().unwrap();
        at[14..16].parse::<f64>().unwrap() * 60.0 + at[17..at.len() - 1].parse::<f64>().unwrap()
    };
    let took = (second(&samples[3]) - second(&samples[0])).rem_euclid(3600.0);
    assert!((2.5..8.0).contains(&took), "three seconds: {took}");
}

#[test]
fn a_container_that_does_not_run_uses_nothing() {
    let t = Scope::new();
    let id = t.docker(&["create", "busybox", "true"]).ok().to_owned();
    for query in ["stream=false", "stream=false&one-shot=1"] {
        let s = once(&t, &id, query);
        assert_eq!(s["read"], "0001-01-01T00:00:00Z");
        assert_eq!(s["memory_stats"], serde_json::json!({}));
        assert_eq!(s["pids_stats"], serde_json::json!({}));
        assert_eq!(s["blkio_stats"]["io_service_bytes_recursive"], Value::Null);
        assert_eq!(number(&s, "/cpu_stats/cpu_usage/total_usage"), 0);
        assert_eq!(s["cpu_stats"].get("online_cpus"), None);
    }
    let row = t.docker(&["stats", "--no-stream", "--format", "{{.CPUPerc}} {{.MemUsage}} {{.PIDs}}", &id]);
    assert_eq!(row.ok(), "0.00% 0B / 0B 0");
}

#[test]
fn one_shot_does_not_wait() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let s = once(&t, &id, "stream=false&one-shot=true");
    assert_eq!(s["preread"], "0001-01-01T00:00:00Z");
    assert!(number(&s, "/memory_stats/usage") > 0);
    assert_eq!(
        t.daemon.http("GET", &format!("/containers/{id}/stats?one-shot=1"), None).error(400),
        "cannot have stream=true and one-shot=true"
    );
    assert_eq!(t.daemon.http("GET", "/containers/nosuch/stats", None).error(404), "No such container: nosuch");
}

#[test]
fn by_the_cli() {
    let t = Scope::new();
    let id = t.sleeper(&["-m", "32m"]);
    let line = t.docker(&["stats", "--no-stream", "--no-trunc", "--format", "{{json .}}", &id]).json();
    assert_eq!(line["ID"], id.as_str());
    assert_eq!(line["PIDs"], "2", "the shell and its sleep");
    assert!(line["MemUsage"].as_str().unwrap().ends_with(" / 32MiB"), "{line}");
    assert!(line["CPUPerc"].as_str().unwrap().ends_with('%'));
}

#[test]
fn a_stream_ends_with_its_container() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let mut client = Client::connect(&t.daemon.socket).unwrap();
    client.send("GET", &format!("/containers/{id}/stats"), &[("Connection", "close")], None).unwrap();
    client.head().unwrap();
    let mut line = String::new();
    client.stream.read_line(&mut line).unwrap();
    t.docker(&["rm", "-f", &id]).ok();
    let mut rest = Vec::new();
    // Until the end: a stream that went on would run into the time limit of the connection.
    std::io::Read::read_to_end(&mut client.stream, &mut rest).expect("the stream ends");
}
