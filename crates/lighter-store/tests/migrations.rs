//! The schema, upgrades from every older version, refusal of a newer one, and who may read the file.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print")]

mod support;

use lighter_store::{Change, Store, StoreError};
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use support::{Fixture, event, raw, shim_event};

fn migrations() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations")
}

/// A database as the version with these migrations left it.
async fn database_of(path: &Path, keep: &[&str]) -> SqliteConnection {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(migrations()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if keep.iter().any(|version| name.starts_with(version)) {
            std::fs::copy(entry.path(), dir.path().join(name)).unwrap();
        }
    }
    let mut connection =
        sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap();
    Migrator::new(dir.path()).await.unwrap().run(&mut connection).await.unwrap();
    connection
}

async fn columns(connection: &mut SqliteConnection, table: &str) -> Vec<String> {
    let sql = format!("SELECT name FROM pragma_table_xinfo('{table}') ORDER BY cid");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(connection).await.unwrap()
}

const V1: [(&str, &[&str]); 4] = [
    ("containers", &["id", "name", "image", "status", "ports", "createdAt", "updatedAt"]),
    ("images", &["id", "name", "tag", "digest", "sizeBytes", "createdAt"]),
    ("stacks", &["id", "name", "description", "createdAt", "containerNames"]),
    ("containerStacks", &["containerId", "stackId"]),
];
const V3: [(&str, &[&str]); 2] = [
    ("volumes", &["id", "name", "mountPath", "sizeBytes", "createdAt", "updatedAt"]),
    ("networks", &["id", "name", "subnet", "connectedContainerIDs", "createdAt", "updatedAt"]),
];
const V4: [(&str, &[&str]); 1] = [("containerLogs", &["id", "containerId", "line", "createdAt"])];
const V5: [(&str, &[&str]); 1] = [("shimEvents", &["id", "status", "containerId", "image", "kind", "timestamp"])];

#[tokio::test]
async fn versions_1_to_5_create_what_other_programs_expect() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = database_of(&dir.path().join("db"), &["0001", "0003", "0004", "0005"]).await;
    let tables = V1.iter().chain(&V3).chain(&V4).chain(&V5);
    let mut expected: Vec<&str> = Vec::new();
    for (table, want) in tables {
        assert_eq!(columns(&mut db, table).await, *want, "{table}");
        expected.push(table);
    }
    expected.sort_unstable();
    let have: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_*' AND name NOT GLOB '_sqlx*' ORDER BY name",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    assert_eq!(have, expected);
    for table in ["containerLogs", "shimEvents"] {
        let sql: String =
            sqlx::query_scalar("SELECT sql FROM sqlite_schema WHERE name = ?").bind(table).fetch_one(&mut db).await.unwrap();
        assert!(sql.contains("AUTOINCREMENT"), "{sql}");
    }
}

#[tokio::test]
async fn version_6_only_adds() {
    let f = Fixture::new().await;
    let mut db = f.raw().await;
    for (table, before) in V1.iter().chain(&V3).chain(&V4).chain(&V5) {
        assert_eq!(columns(&mut db, table).await[..before.len()], **before, "{table}");
    }
    let shim = columns(&mut db, "shimEvents").await;
    for column in [
        "method",
        "path",
        "operation",
        "apiVersion",
        "httpStatus",
        "durationMicros",
        "client",
        "requestId",
        "error",
        "unsupportedFlags",
        "hostPaths",
        "peerUid",
        "peerPid",
        "stack",
    ] {
        assert!(shim.iter().any(|c| c == column), "{column}");
    }
    let containers = columns(&mut db, "containers").await;
    for column in [
        "projectId",
        "imageId",
        "state",
        "env",
        "resources",
        "networkIds",
        "volumeMounts",
        "shimId",
        "engineHostPath",
        "kernelVersion",
        "rosettaRequired",
        "config",
        "hostConfig",
        "networkingConfig",
    ] {
        assert!(containers.iter().any(|c| c == column), "{column}");
    }
    assert_eq!(
        columns(&mut db, "dockerShimMappings").await,
        ["containerId", "shimContainerId", "socket", "engineContainerId", "apiVersion", "unsupportedFlags", "lastAccessedAt"]
    );
    assert_eq!(columns(&mut db, "events").await, ["id", "kind", "action", "actorId", "attributes", "scope", "timeNano"]);
}

#[tokio::test]
async fn a_status_is_one_of_three_and_memberships_follow_their_container() {
    let f = Fixture::new().await;
    let mut db = f.raw().await;
    for (status, good) in [("running", true), ("stopped", true), ("paused", true), ("exited", false), ("", false)] {
        let done = sqlx::query(
            "INSERT INTO containers (id, name, image, status, createdAt, updatedAt) VALUES (?1, 'n', 'i', ?1, 'd', 'd')",
        )
        .bind(status)
        .execute(&mut db)
        .await;
        assert_eq!(done.is_ok(), good, "{status}");
    }
    sqlx::raw_sql(
        "INSERT INTO stacks (id, name, createdAt) VALUES ('s', 'n', 'd'); INSERT INTO containerStacks VALUES ('running', 's'), ('paused', 's'); \
         DELETE FROM containers WHERE id = 'running'; ",
    )
    .execute(&mut db)
    .await
    .unwrap();
    let left: Vec<String> = sqlx::query_scalar("SELECT containerId FROM containerStacks").fetch_all(&mut db).await.unwrap();
    assert_eq!(left, ["paused"]);
    assert!(sqlx::query("INSERT INTO containerStacks VALUES ('nobody', 's')").execute(&mut db).await.is_err());
    sqlx::query("DELETE FROM stacks").execute(&mut db).await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM containerStacks").fetch_one(&mut db).await.unwrap();
    assert_eq!(left, 0);
}

/// Whoever lands a migration need not think of it: the database of each version, from the one that has events on, is opened.
#[tokio::test]
async fn every_later_version_upgrades_to_the_same_schema() {
    let f = Fixture::new().await;
    let schema = "SELECT coalesce(sql, name) FROM sqlite_schema WHERE name NOT GLOB '_sqlx*' ORDER BY type, name";
    let whole: Vec<String> = sqlx::query_scalar(schema).fetch_all(&mut f.raw().await).await.unwrap();
    let mut versions: Vec<String> =
        std::fs::read_dir(migrations()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    versions.sort();
    assert!(versions.len() > 15);
    for last in 4..versions.len() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let keep: Vec<&str> = versions[..=last].iter().map(|name| &name[..4]).collect();
        let mut db = database_of(&path, &keep).await;
        sqlx::raw_sql(ROWS).execute(&mut db).await.unwrap();
        // Before version 24 the workspace stood where the reference to the lines is now.
        let renamed = ("0016".."0024").contains(&&versions[last][..4]);
        if renamed {
            sqlx::raw_sql(PIPELINE).execute(&mut db).await.unwrap();
        }
        db.close().await.unwrap();
        let store = Store::open(&path).await.unwrap();
        assert_eq!(store.containers().fetch_all().await.unwrap().len(), 1, "{}", versions[last]);
        assert_eq!(store.stacks().fetch_all().await.unwrap().len(), 1);
        let mut db = raw(&path).await;
        let status: String = sqlx::query_scalar("SELECT status FROM stacks").fetch_one(&mut db).await.unwrap();
        assert_eq!(status, "running", "{}", versions[last]);
        if renamed {
            let told: String =
                sqlx::query_scalar("SELECT workspace || ' ' || logsRef FROM pipelines").fetch_one(&mut db).await.unwrap();
            assert_eq!(told, "ws [\"c1\"]", "{}", versions[last]);
        }
        let now: Vec<String> = sqlx::query_scalar(schema).fetch_all(&mut db).await.unwrap();
        assert_eq!(now, whole, "{}", versions[last]);
        store.close().await.unwrap();
    }
}

const ROWS: &str = "\
    INSERT INTO containers (id, name, image, status, createdAt, updatedAt) \
     VALUES ('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'old', 'busybox', 'running', '2024-05-06T07:08:09Z', '2024-05-06T07:08:09Z'); \
    INSERT INTO stacks (id, name, createdAt, containerNames) \
     VALUES ('6ba7b810-9dad-11d1-80b4-00c04fd430c9', 'shop', '2024-05-06T07:08:09Z', '[\"old\"]'); \
    INSERT INTO containerStacks SELECT c.id, s.id FROM containers c, stacks s;";

const PIPELINE: &str = "\
    INSERT INTO pipelines (id, name, steps, status, createdAt, logsRef) \
     VALUES ('p', 'build', '[{\"containerId\":\"c1\"},{\"containerId\":null}]', 'pending', '2024-05-06T07:08:09Z', 'ws')";

const CONTAINER: &str = "INSERT INTO containers VALUES ('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'old', 'busybox', 'stopped', '[\"1:2\"]', \
                         '2024-05-06 07:08:09.123', '2024-05-06T07:08:09Z')";

#[tokio::test]
async fn every_older_version_upgrades_and_keeps_its_rows() {
    let versions: [&[&str]; 4] = [&["0001"], &["0001", "0003"], &["0001", "0003", "0004"], &["0001", "0003", "0004", "0005"]];
    for keep in versions {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let mut db = database_of(&path, keep).await;
        sqlx::query(CONTAINER).execute(&mut db).await.unwrap();
        if keep.len() > 1 {
            sqlx::query("INSERT INTO volumes VALUES ('6ba7b810-9dad-11d1-80b4-00c04fd430c9', 'v', '/v', NULL, '2024-05-06', '2024-05-06')")
                .execute(&mut db)
                .await
                .unwrap();
        }
        if keep.len() > 3 {
            sqlx::query("INSERT INTO shimEvents VALUES (41, 'ok', NULL, NULL, 'ContainerList', '2024-05-06 07:08:09.123')")
                .execute(&mut db)
                .await
                .unwrap();
        }
        db.close().await.unwrap();

        let store = Store::open(&path).await.unwrap();
        let old = store.containers().fetch_all().await.unwrap();
        assert_eq!(old.len(), 1, "{keep:?}");
        assert_eq!(
            (old[0].name.as_str(), old[0].ports.as_slice(), old[0].created_at.millisecond()),
            ("old", &["1:2".to_owned()][..], 123)
        );
        let loaded = store.load_containers().await.unwrap();
        assert!(loaded.items.is_empty() && loaded.problems.is_empty(), "a bare summary is no whole container");
        if keep.len() > 1 {
            // A row that is not as it should be is named.
            let problem = store.volumes().fetch_all().await.unwrap_err();
            assert!(matches!(&problem, StoreError::Corrupt { table: "volumes", id, .. } if id.ends_with("c9")), "{problem}");
        }
        let appended = store.shim_events().append(shim_event(1)).await.unwrap();
        if keep.len() > 3 {
            assert_eq!(appended.id, 42);
            assert_eq!(store.shim_events().fetch(41).await.unwrap().unwrap().kind, "ContainerList");
        }
        store.apply(vec![Change::Event(event(1))]).await.unwrap();
        store.close().await.unwrap();
        // Opening again finds nothing to do.
        let again = Store::open(&path).await.unwrap();
        assert_eq!(again.events(None, None, 10).await.unwrap().len(), 1);
        again.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_newer_database_is_refused_and_left_as_it_is() {
    let f = Fixture::new().await;
    f.store.close().await.unwrap();
    let mut db = f.raw().await;
    sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'later', 1, X'00', 0)")
        .execute(&mut db)
        .await
        .unwrap();
    db.close().await.unwrap();
    let refused = Store::open(&f.path()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Newer { version: 99, known: 7.., .. }), "{refused:?}");
    assert!(refused.to_string().contains("schema version 99"), "{refused}");
    let mut db = f.raw().await;
    let versions: i64 = sqlx::query("SELECT count(*) FROM _sqlx_migrations").fetch_one(&mut db).await.unwrap().get(0);
    let ours = std::fs::read_dir(migrations()).unwrap().count();
    assert_eq!(usize::try_from(versions).unwrap(), ours + 1);
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    std::fs::write(
        &path,
        "this is a text, and it is longer than a hundred bytes, which is the size of a header of SQLite's, so there".repeat(50),
    )
    .unwrap();
    assert!(matches!(Store::open(&path).await, Err(StoreError::Open { .. } | StoreError::Migrate { .. })));
    assert!(matches!(Store::open(&dir.path().join("no/such/dir/db")).await, Err(StoreError::Open { .. })));
    assert!(matches!(Store::open(dir.path()).await, Err(StoreError::Open { .. })));
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lighter.db");
    // Even if somebody made it readable before.
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let store = Store::open(&path).await.unwrap();
    store.apply(vec![Change::Event(event(1))]).await.unwrap();
    store.events(None, None, 1).await.unwrap();
    for name in ["lighter.db", "lighter.db-wal", "lighter.db-shm"] {
        let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}: {mode:o}");
    }
    let mut db = raw(&path).await;
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut db).await.unwrap();
    assert_eq!(mode, "wal");
}
