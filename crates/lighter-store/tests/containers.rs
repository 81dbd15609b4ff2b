//! Whole containers: what is put is what is loaded, whatever is in it.

mod support;

use lighter_domain::ContainerState;
use lighter_domain::host_config::{HostConfig, PortBinding};
use lighter_domain::state::SummaryStatus;
use lighter_store::{Change, StoreError};
use proptest::prelude::*;
use sqlx::Row;
use std::sync::Arc;
use support::{Fixture, HOSTILE, Random, at};
use uuid::Uuid;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_put_is_what_is_loaded(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let f = Fixture::new().await;
            let mut random = Random::new(seed);
            let first = random.container();
            f.store.apply(vec![Change::PutContainer(Arc::new(first.clone()))]).await.unwrap();
            let loaded = f.store.load_containers().await.unwrap();
            assert_eq!(loaded.problems, vec![]);
            assert_eq!(loaded.items, vec![first.clone()]);

            // An update changes every column, and the summary agrees.
            let mut second = random.container();
            second.uuid = first.uuid;
            f.store.apply(vec![Change::PutContainer(Arc::new(second.clone()))]).await.unwrap();
            assert_eq!(f.store.load_container(first.uuid).await.unwrap().as_ref(), Some(&second));
            let summary = f.store.containers().fetch(first.uuid).await.unwrap().unwrap();
            assert_eq!(summary.status, second.state.summary_status());
            assert_eq!((summary.name, summary.image), (second.name, second.config.image));
            f.store.close().await.unwrap();
        });
    }
}

#[tokio::test]
async fn a_deleted_container_takes_its_mapping_along_and_leaves_its_lines() {
    let f = Fixture::new().await;
    let c = Arc::new(Random::new(1).container());
    f.store
        .apply(vec![
            Change::PutContainer(c.clone()),
            Change::Logs { container: c.uuid, lines: vec![(at(0), "last words".to_owned())] },
        ])
        .await
        .unwrap();
    let done = f.store.apply(vec![Change::DeleteContainer(c.uuid)]).await.unwrap();
    assert_eq!(done.rows_affected, 1);
    assert!(f.store.load_container(c.uuid).await.unwrap().is_none());
    let mut raw = f.raw().await;
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM dockerShimMappings").fetch_one(&mut raw).await.unwrap();
    assert_eq!(left, 0);
    assert_eq!(f.store.container_logs().fetch(c.uuid, 10).await.unwrap()[0].line, "last words");
    // Deleting what is not there is no error.
    assert_eq!(f.store.apply(vec![Change::DeleteContainer(c.uuid)]).await.unwrap().rows_affected, 0);
}

#[tokio::test]
async fn a_shim_id_belongs_to_one_container() {
    let f = Fixture::new().await;
    let mut random = Random::new(2);
    let a = random.container();
    let mut b = random.container();
    b.id = a.id.clone();
    f.store.apply(vec![Change::PutContainer(Arc::new(a))]).await.unwrap();
    let refused = f.store.apply(vec![Change::PutContainer(Arc::new(b.clone()))]).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    assert!(f.store.load_container(b.uuid).await.unwrap().is_none(), "half a container was stored");
}

#[tokio::test]
async fn a_container_without_an_id_is_refused() {
    let f = Fixture::new().await;
    let mut c = Random::new(3).container();
    c.uuid = Uuid::nil();
    let refused = f.store.apply(vec![Change::PutContainer(Arc::new(c))]).await;
    assert!(matches!(refused, Err(StoreError::Invalid { entity: "container", .. })), "{refused:?}");
}

#[tokio::test]
async fn derived_columns_speak_for_other_programs() {
    let f = Fixture::new().await;
    let mut c = Random::new(4).container();
    let binding = |ip: &str, port: &str| PortBinding { host_ip: ip.to_owned(), host_port: port.to_owned() };
    c.state = ContainerState::Paused { pid: 7 };
    c.config.env = vec!["A=1".to_owned(), "B".to_owned()];
    c.host_config = HostConfig { memory: 64 << 20, nano_cpus: 1_500_000_000, ..HostConfig::default() };
    c.host_config.port_bindings = [
        ("80/tcp".to_owned(), vec![binding("", "8080"), binding("127.0.0.1", "81")]),
        ("53/udp".to_owned(), vec![binding("::1", "5353")]),
    ]
    .into();
    let id = c.uuid;
    f.store.apply(vec![Change::PutContainer(Arc::new(c))]).await.unwrap();
    let summary = f.store.containers().fetch(id).await.unwrap().unwrap();
    assert_eq!(summary.status, SummaryStatus::Paused);
    assert_eq!(summary.ports, ["[::1]:5353:53/udp", "8080:80", "127.0.0.1:81:80"]);
    let mut raw = f.raw().await;
    let row = sqlx::query("SELECT env, resources ->> 'memory' AS memory, resources ->> 'nanoCpus' AS cpus FROM containers")
        .fetch_one(&mut raw)
        .await
        .unwrap();
    assert_eq!(row.get_unchecked::<String, _>("env"), r#"["A=1","B"]"#);
    assert_eq!(row.get_unchecked::<i64, _>("memory"), 64 << 20);
    assert_eq!(row.get_unchecked::<i64, _>("cpus"), 1_500_000_000);
}

#[tokio::test]
async fn a_damaged_row_is_named_and_the_others_are_loaded() {
    let f = Fixture::new().await;
    let mut random = Random::new(5);
    let good = random.container();
    let damages = [
        ("config", "config = '{\"env\": 7}'"),
        ("hostConfig", "hostConfig = '7'"),
        ("createdAt", "createdAt = 'yesterday'"),
        ("pid", "state = 'running', pid = NULL"),
        ("exitCode", "exitCode = NULL, oomKilled = 1"),
        ("args", "args = X'00ff'"),
        ("imageId", "imageId = NULL"),
    ];
    f.store.apply(vec![Change::PutContainer(Arc::new(good.clone()))]).await.unwrap();
    let mut raw = f.raw().await;
    let mut bad = Vec::new();
    for (_, damage) in damages {
        let c = random.container();
        f.store.apply(vec![Change::PutContainer(Arc::new(c.clone()))]).await.unwrap();
        let sql = format!("UPDATE containers SET {damage} WHERE id = ?");
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(c.uuid.to_string()).execute(&mut raw).await.unwrap();
        bad.push(c.uuid);
    }
    let loaded = f.store.load_containers().await.unwrap();
    let unnoticed: Vec<_> = bad.iter().zip(damages).filter(|(u, _)| loaded.items.iter().any(|c| c.uuid == **u)).collect();
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
    assert_eq!(loaded.items, vec![good]);
    for (uuid, (word, _)) in bad.iter().zip(damages) {
        let problem = loaded.problems.iter().find(|p| p.id == uuid.to_string()).expect("a problem for each damaged row");
        assert_eq!(problem.table, "containers");
        assert!(problem.reason.contains(word), "{word}: {problem:?}");
        let alone = f.store.load_container(*uuid).await;
        assert!(matches!(alone, Err(StoreError::Corrupt { table: "containers", .. })), "{alone:?}");
    }
}

#[tokio::test]
async fn hostile_texts_are_only_texts() {
    let f = Fixture::new().await;
    for (n, text) in HOSTILE.iter().enumerate() {
        let mut c = Random::new(100 + n as u64).container();
        c.name = (*text).to_owned();
        c.config.env = vec![format!("X={text}")];
        c.config.labels = [((*text).to_owned(), (*text).to_owned())].into();
        c.error = (*text).to_owned();
        f.store.apply(vec![Change::PutContainer(Arc::new(c.clone()))]).await.unwrap();
        assert_eq!(f.store.load_container(c.uuid).await.unwrap(), Some(c));
    }
    let mut raw = f.raw().await;
    let check: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut raw).await.unwrap();
    assert_eq!(check, "ok");
    assert_eq!(f.store.load_containers().await.unwrap().items.len(), HOSTILE.len());
}

#[tokio::test]
async fn an_access_is_noted_and_an_update_does_not_forget_it() {
    let f = Fixture::new().await;
    let c = Arc::new(Random::new(6).container());
    f.store.apply(vec![Change::PutContainer(c.clone())]).await.unwrap();
    f.store.apply(vec![Change::TouchShimMapping { container: c.uuid, at: at(5) }]).await.unwrap();
    f.store.apply(vec![Change::PutContainer(c.clone())]).await.unwrap();
    let mut raw = f.raw().await;
    let (shim, engine, accessed): (String, String, String) =
        sqlx::query_as("SELECT shimContainerId, engineContainerId, lastAccessedAt FROM dockerShimMappings")
            .fetch_one(&mut raw)
            .await
            .unwrap();
    assert_eq!((shim.as_str(), engine.as_str()), (c.id.as_str(), c.id.as_str()));
    assert_eq!(accessed, "2026-02-02T02:40:05.123456824Z");
}
