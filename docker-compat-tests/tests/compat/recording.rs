//! Every request is in the store, and no secret is. Ours only.

use docker_compat_tests::{Scope, eventually, http};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Row};

/// One row of `shimEvents`.
#[derive(Debug)]
struct Recorded {
    kind: String,
    http_status: i64,
    container: Option<String>,
    image: Option<String>,
    api_version: Option<String>,
    client: Option<String>,
    request_id: Option<String>,
    error: Option<String>,
    micros: Option<i64>,
}

fn ours() -> Option<Scope> {
    let t = Scope::new();
    t.daemon.is_lighter("it records nothing").then_some(t)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn store(t: &Scope) -> SqliteConnection {
    let path = t.daemon.roots.as_ref().unwrap().join("data/lighter.db");
    SqliteConnectOptions::new().filename(path).read_only(true).connect().await.unwrap()
}

/// Waits for the rows of a path (requests that only read are recorded in batches).
fn recorded(t: &Scope, path: &str, at_least: usize) -> Vec<Recorded> {
    let runtime = runtime();
    eventually(&format!("{at_least} records of {path}"), || {
        let rows = runtime.block_on(async {
            sqlx::query("SELECT kind, httpStatus, containerId, image, apiVersion, client, requestId, error, durationMicros FROM shimEvents WHERE path LIKE ?1 ORDER BY timestamp, id")
                .bind(format!("%{path}%"))
                .fetch_all(&mut store(t).await)
                .await
                .unwrap()
        });
        (rows.len() >= at_least).then(|| {
            rows.iter()
                .map(|row| Recorded {
                    kind: row.get(0),
                    http_status: row.get(1),
                    container: row.get(2),
                    image: row.get(3),
                    api_version: row.get(4),
                    client: row.get(5),
                    request_id: row.get(6),
                    error: row.get(7),
                    micros: row.get(8),
                })
                .collect()
        })
    })
}

#[test]
fn a_request_is_one_row_with_its_operation() {
    let Some(t) = ours() else { return };
    let name = t.name("rec");
    let body = format!(r#"{{"Image":"busybox","Labels":{{"lighter.compat":"{}"}}}}"#, t.mark);
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    let path = format!("/v1.44/containers/create?name={name}");
    let answer = client.request("POST", &path, &[("User-Agent", "the-test/1")], Some(body.as_bytes())).unwrap();
    let id = answer.json()["Id"].as_str().unwrap().to_owned();
    t.inspect(&id);
    t.daemon.http("DELETE", &format!("/containers/{id}"), None);
    let rows = recorded(&t, &id, 2);
    let kinds: Vec<&str> = rows.iter().map(|r| r.kind.as_str()).collect();
    assert_eq!(kinds, ["ContainerInspect", "ContainerDelete"]);
    assert_eq!(rows[1].http_status, 204);
    assert_eq!(rows[1].container.as_deref(), Some(id.as_str()));
    assert!(rows.iter().all(|r| r.micros.is_some_and(|m| m > 0) && r.request_id.is_some() && r.error.is_none()), "{rows:?}");
    assert_ne!(rows[0].request_id, rows[1].request_id);
    let made: Vec<Recorded> =
        recorded(&t, "containers/create", 1).into_iter().filter(|r| r.client.as_deref() == Some("the-test/1")).collect();
    assert_eq!(made.len(), 1);
    assert_eq!((made[0].kind.as_str(), made[0].http_status), ("ContainerCreate", 201));
    assert_eq!(made[0].api_version.as_deref(), Some("1.44"));
    assert_eq!(made[0].image.as_deref(), Some("busybox"));
    assert_eq!(made[0].container.as_deref(), Some(id.as_str()));
}

#[test]
fn failures_and_hijacks_are_recorded_too() {
    let Some(t) = ours() else { return };
    let missing = format!("missing-{}", t.mark);
    t.daemon.http("GET", &format!("/containers/{missing}/json"), None);
    t.daemon.http("GET", &format!("/no-such-path-{missing}"), None);
    let rows = recorded(&t, &missing, 2);
    assert!(rows.iter().all(|r| r.http_status == 404), "{rows:?}");
    let inspect = rows.iter().find(|r| r.kind == "ContainerInspect").unwrap();
    assert!(inspect.error.as_deref().is_some_and(|e| e.contains("No such container")), "{inspect:?}");
    let id = t.docker(&["create", "--network", "none", "busybox", "true"]).ok().to_owned();
    t.docker(&["start", "-a", &id]).ok();
    let kinds: Vec<String> = eventually("the attach is recorded", || {
        let kinds: Vec<String> = recorded(&t, &id, 2).into_iter().map(|r| r.kind).collect();
        kinds.iter().any(|k| k == "ContainerAttach").then_some(kinds)
    });
    assert!(kinds.iter().any(|k| k == "ContainerStart"), "{kinds:?}");
}

#[test]
fn none_is_lost_at_full_rate() {
    let Some(t) = ours() else { return };
    let path = format!("/containers/{}-rate/json", t.mark);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (socket, path) = (t.daemon.socket.clone(), path.clone());
            std::thread::spawn(move || {
                let mut client = http::Client::connect(&socket).unwrap();
                for _ in 0..2_000 {
                    client.get(&path).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(recorded(&t, &path, 8_000).len(), 8_000);
}

#[test]
fn secrets_stay_out() {
    let Some(t) = ours() else { return };
    let secret = format!("s3cret{}", t.mark.replace('-', ""));
    let id = t.docker(&["create", "-e", &format!("PASSWORD={secret}"), "busybox"]).ok().to_owned();
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    client.request("POST", "/images/create?fromImage=none", &[("X-Registry-Auth", &secret)], Some(b"")).unwrap();
    client.request("POST", "/auth", &[], Some(format!("{{\"password\":\"{secret}\"}}").as_bytes())).unwrap();
    t.daemon.http("GET", &format!("/containers/{id}/json"), None);
    recorded(&t, &id, 1);
    let found = runtime().block_on(async {
        let mut store = store(&t).await;
        let rows = sqlx::query("SELECT * FROM shimEvents").fetch_all(&mut store).await.unwrap();
        rows.iter().filter(|row| (0..row.len()).any(|n| row.try_get::<String, _>(n).is_ok_and(|v| v.contains(&secret)))).count()
    });
    assert_eq!(found, 0);
}

#[test]
fn the_newest_log_lines_are_in_the_store() {
    let Some(t) = ours() else { return };
    let id = t.detached(&[], &format!("n=0; while [ $n -lt 2000 ]; do n=$((n+1)); echo {} $n; done", t.mark));
    t.docker(&["wait", &id]).ok();
    let runtime = runtime();
    let last = format!("{} 2000%", t.mark);
    let lines = eventually("the last line is stored, and the old ones are pruned", || {
        let lines: Vec<String> = runtime.block_on(async {
            let mut store = store(&t).await;
            sqlx::query_scalar("SELECT line FROM containerLogs WHERE containerId IN (SELECT containerId FROM containerLogs WHERE line LIKE ?1) ORDER BY id")
                .bind(&last)
                .fetch_all(&mut store)
                .await
                .unwrap()
        });
        (!lines.is_empty() && lines.len() <= 500).then_some(lines)
    });
    let expected: Vec<String> = (1501..=2000).map(|n| format!("{} {n}", t.mark)).collect();
    assert_eq!(lines.iter().map(|l| l.trim_end()).collect::<Vec<_>>(), expected);
}
