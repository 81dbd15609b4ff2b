//! The data model's rules that the store keeps: each is broken here once, and nothing is written.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use lighter_domain::cluster::{ClusterState, DevCluster, NodeType};
use lighter_domain::resource::{ImageSummary, VolumeSummary};
use lighter_domain::volume::Volume;
use lighter_store::{Change, ImageSource, RowChange, StoreError};
use sqlx::sqlite::SqliteConnection;
use std::collections::BTreeMap;
use std::sync::Arc;
use support::{Fixture, Random, at};
use uuid::Uuid;

async fn refused(db: &mut SqliteConnection, sql: &'static str) -> String {
    sqlx::query(sql).execute(db).await.unwrap_err().to_string()
}

async fn text(db: &mut SqliteConnection, sql: &'static str) -> Option<String> {
    sqlx::query_scalar(sql).fetch_one(db).await.unwrap()
}

#[tokio::test]
async fn a_pipeline_goes_forward_only() {
    let f = Fixture::new().await;
    let mut db = f.raw().await;
    let insert = "INSERT INTO pipelines (id, name, steps, status, createdAt) VALUES ('p', 'build', '[{}]', 'pending', 'd')";
    sqlx::query(insert).execute(&mut db).await.unwrap();
    assert!(refused(&mut db, "UPDATE pipelines SET status = 'success', finishedAt = 'd'").await.contains("never goes back"));
    sqlx::query("UPDATE pipelines SET status = 'running', startedAt = 'd'").execute(&mut db).await.unwrap();
    for back in ["UPDATE pipelines SET status = 'pending'"] {
        assert!(refused(&mut db, back).await.contains("never goes back"), "{back}");
    }
    assert!(
        refused(&mut db, "UPDATE pipelines SET status = 'failed', finishedAt = 'd'").await.contains("CHECK"),
        "without a reason"
    );
    assert!(refused(&mut db, "UPDATE pipelines SET status = 'success'").await.contains("CHECK"), "without an end");
    sqlx::query("UPDATE pipelines SET status = 'success', finishedAt = 'd'").execute(&mut db).await.unwrap();
    for back in [
        "UPDATE pipelines SET status = 'running', finishedAt = NULL",
        "UPDATE pipelines SET status = 'failed', failureReason = 'x'",
    ] {
        assert!(refused(&mut db, back).await.contains("never goes back"), "{back}");
    }
    let none = "INSERT INTO pipelines (id, name, steps, status, createdAt) VALUES ('q', 'none', '[]', 'pending', 'd')";
    assert!(refused(&mut db, none).await.contains("CHECK"), "a pipeline has steps");
}

fn cluster(name: &str, state: ClusterState, kubeconfig: &str) -> DevCluster {
    DevCluster {
        id: Uuid::nil(),
        name: name.to_owned(),
        kubeconfig_path: kubeconfig.to_owned(),
        state,
        node_type: NodeType::MicroVm,
        resources: "{\"cpus\":2}".to_owned(),
        created_at: at(1),
        updated_at: at(2),
    }
}

#[tokio::test]
async fn a_cluster_that_runs_can_be_reached_and_none_stays_half_started() {
    let f = Fixture::new().await;
    let clusters = f.store.dev_clusters();
    let nowhere = clusters.insert(cluster("a", ClusterState::Running, "")).await.unwrap_err();
    assert!(matches!(nowhere, StoreError::Invalid { entity: "dev cluster", .. }), "{nowhere}");
    let kept = clusters.insert(cluster("a", ClusterState::Starting, "")).await.unwrap();
    assert_ne!(kept.id, Uuid::nil(), "an id that is missing is generated");
    assert!(matches!(clusters.insert(cluster("a", ClusterState::Stopped, "")).await, Err(StoreError::Conflict { .. })));
    clusters.insert(cluster("b", ClusterState::Running, "/k")).await.unwrap();
    f.store.apply(vec![Change::RecoverClusters]).await.unwrap();
    let mut all = clusters.fetch_all().await.unwrap();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(all.iter().map(|c| c.state).collect::<Vec<_>>(), [ClusterState::Error, ClusterState::Running]);
    assert_eq!(all[0], DevCluster { state: ClusterState::Error, ..kept });
}

#[tokio::test]
async fn a_mapping_is_of_one_container_and_its_id_is_unique() {
    let f = Fixture::new().await;
    let (a, mut b) = (Random::new(1).container(), Random::new(2).container());
    f.store.apply(vec![Change::PutContainer(Arc::new(a.clone()))]).await.unwrap();
    b.id = a.id.clone();
    assert!(matches!(f.store.apply(vec![Change::PutContainer(Arc::new(b))]).await, Err(StoreError::Conflict { .. })));
    assert_eq!(f.store.load_containers().await.unwrap().items.len(), 1);
    let mut db = f.raw().await;
    let second = "INSERT INTO dockerShimMappings SELECT containerId, shimContainerId, 'other', engineContainerId, apiVersion, \
                  unsupportedFlags, lastAccessedAt FROM dockerShimMappings";
    assert!(refused(&mut db, second).await.contains("UNIQUE"), "1:1");
}

#[tokio::test]
async fn a_volume_tells_its_type() {
    let f = Fixture::new().await;
    let row = |name: &str| VolumeSummary {
        id: Uuid::nil(),
        name: name.to_owned(),
        mount_path: format!("/v/{name}"),
        size_bytes: None,
        created_at: at(0),
        updated_at: at(0),
    };
    let volume = |name: &str, options: &[(&str, &str)]| {
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let labels = Some(BTreeMap::from([("l".to_owned(), "1".to_owned())]));
        Arc::new(Volume { name: name.to_owned(), mountpoint: format!("/v/{name}"), labels, options, created_at: at(0) })
    };
    let bound = volume("bound", &[("type", "none"), ("o", "ro,bind"), ("device", "/srv")]);
    f.store
        .apply(vec![
            Change::Volumes(RowChange::ReplaceAll(vec![row("own"), row("bound")])),
            Change::VolumeDetails(volume("own", &[])),
            Change::VolumeDetails(bound),
        ])
        .await
        .unwrap();
    let mut db = f.raw().await;
    let told = text(
        &mut db,
        "SELECT group_concat(name || ' ' || type || ' ' || backingStore || ' ' || driver || ' ' || labels, ';') FROM volumes",
    );
    assert_eq!(told.await.unwrap(), "own managed /v/own local {\"l\":\"1\"};bound bind /srv local {\"l\":\"1\"}");
    assert!(refused(&mut db, "UPDATE volumes SET type = 'odd'").await.contains("CHECK"));
    assert!(refused(&mut db, "UPDATE volumes SET type = NULL").await.contains("has a type"));
    // One that comes without is the engine's own.
    f.store.volumes().insert(row("plain")).await.unwrap();
    let told = text(&mut db, "SELECT type || ' ' || backingStore FROM volumes WHERE name = 'plain'");
    assert_eq!(told.await.as_deref(), Some("managed /v/plain"));
}

#[tokio::test]
async fn an_image_knows_where_it_is_from_though_its_rows_are_written_anew() {
    let f = Fixture::new().await;
    let row = |digest: &str| ImageSummary {
        id: Uuid::nil(),
        name: String::new(),
        tag: String::new(),
        digest: Some(digest.to_owned()),
        size_bytes: None,
        created_at: at(0),
    };
    let images = || Change::Images(RowChange::ReplaceAll(vec![row("sha256:a"), row("sha256:b")]));
    f.store.apply(vec![Change::ImageSource("sha256:a".into(), ImageSource::Commit), images()]).await.unwrap();
    f.store.apply(vec![images()]).await.unwrap();
    let mut db = f.raw().await;
    let told = text(&mut db, "SELECT group_concat(digest || ' ' || coalesce(source, '?'), ';') FROM images");
    assert_eq!(told.await.unwrap(), "sha256:a commit;sha256:b ?");
    assert!(matches!(f.store.images().insert(ImageSummary { digest: None, ..row("") }).await, Err(StoreError::Invalid { .. })));
}

#[tokio::test]
async fn a_container_is_of_the_project_that_it_joined() {
    let f = Fixture::new().await;
    let container = Arc::new(Random::new(3).container());
    f.store.apply(vec![Change::PutContainer(container.clone())]).await.unwrap();
    let mut db = f.raw().await;
    sqlx::raw_sql("INSERT INTO stacks (id, name, createdAt) VALUES ('s', 'n', 'd'); INSERT INTO containerStacks SELECT id, 's' FROM containers")
        .execute(&mut db)
        .await
        .unwrap();
    f.store.apply(vec![Change::PutContainer(container)]).await.unwrap();
    assert_eq!(text(&mut db, "SELECT projectId FROM containers").await.as_deref(), Some("s"));
    sqlx::query("DELETE FROM stacks").execute(&mut db).await.unwrap();
    assert_eq!(text(&mut db, "SELECT projectId FROM containers").await, None);
}
