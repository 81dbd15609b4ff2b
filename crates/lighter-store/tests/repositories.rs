//! Every operation of every summary repository, on real SQLite.

#![allow(clippy::cloned_ref_to_slice_refs, reason = "a list of one reads better")]

mod support;

use lighter_domain::resource::{ContainerSummary, ImageSummary, NetworkSummary, NewStack, StackSummary, VolumeSummary};
use lighter_domain::state::SummaryStatus;
use lighter_domain::{ShimEvent, ShimEventFilter, ShimStatus};
use lighter_store::{Change, LOG_LINES_KEPT, RowChange, StoreError};
use std::sync::Arc;
use support::{Fixture, HOSTILE, Random, at, shim_event};
use uuid::Uuid;

fn container(n: i64, name: &str) -> ContainerSummary {
    ContainerSummary {
        id: Uuid::nil(),
        name: name.to_owned(),
        image: "nginx:1.27".to_owned(),
        status: SummaryStatus::Stopped,
        ports: vec!["8080:8080".to_owned()],
        created_at: at(n),
        updated_at: at(n),
    }
}
fn image(n: i64, name: &str) -> ImageSummary {
    ImageSummary {
        id: Uuid::nil(),
        name: name.to_owned(),
        tag: "latest".to_owned(),
        digest: None,
        size_bytes: Some(4_200_000_000),
        created_at: at(n),
    }
}
fn volume(n: i64, name: &str) -> VolumeSummary {
    VolumeSummary {
        id: Uuid::nil(),
        name: name.to_owned(),
        mount_path: "/data".to_owned(),
        size_bytes: None,
        created_at: at(n),
        updated_at: at(n),
    }
}
fn network(n: i64, name: &str) -> NetworkSummary {
    NetworkSummary {
        id: Uuid::nil(),
        name: name.to_owned(),
        subnet: Some("10.1.0.0/16".to_owned()),
        connected_container_ids: vec![Uuid::from_u128(7), Uuid::from_u128(9)],
        created_at: at(n),
        updated_at: at(n),
    }
}
fn stack(n: i64, name: &str) -> StackSummary {
    StackSummary {
        id: Uuid::nil(),
        name: name.to_owned(),
        description: Some("what it is for".to_owned()),
        container_names: vec!["web".to_owned(), "db".to_owned()],
        created_at: at(n),
    }
}

/// What all repositories have in common, with one test for each.
macro_rules! common {
    ($($test:ident: $repository:ident, $make:ident;)+) => {$(
        #[tokio::test]
        async fn $test() {
            let f = Fixture::new().await;
            let repo = f.store.$repository();
            assert_eq!(repo.fetch_all().await.unwrap(), vec![]);
            assert_eq!(repo.fetch(Uuid::from_u128(1)).await.unwrap(), None);

            // insert: an id is made up, everything comes back, an id that exists is refused.
            let a = repo.insert($make(1, "a")).await.unwrap();
            assert!(!a.id.is_nil());
            assert_eq!(repo.fetch(a.id).await.unwrap().as_ref(), Some(&a));
            assert!(matches!(repo.insert(a.clone()).await, Err(StoreError::Conflict { .. })));

            // update: of what is there, and only of that.
            let mut changed = $make(2, "changed");
            changed.id = a.id;
            assert!(repo.update(changed.clone()).await.unwrap());
            assert_eq!(repo.fetch(a.id).await.unwrap().as_ref(), Some(&changed));
            let mut absent = changed.clone();
            absent.id = Uuid::from_u128(2);
            assert!(!repo.update(absent).await.unwrap());

            // upsert: both ways.
            let b = repo.upsert($make(3, "b")).await.unwrap();
            let mut b2 = $make(4, "b2");
            b2.id = b.id;
            assert_eq!(repo.upsert(b2.clone()).await.unwrap(), b2);
            assert_eq!(repo.fetch_all().await.unwrap(), vec![changed.clone(), b2.clone()]);

            // delete
            assert!(repo.delete(b.id).await.unwrap());
            assert!(!repo.delete(b.id).await.unwrap());

            // seedIfEmpty: not now, then yes, then not again.
            assert!(!repo.seed_if_empty(vec![$make(5, "seed")]).await.unwrap());
            assert!(repo.delete(a.id).await.unwrap());
            assert!(repo.seed_if_empty(vec![$make(5, "s1"), $make(6, "s2")]).await.unwrap());
            assert!(!repo.seed_if_empty(vec![$make(7, "s3")]).await.unwrap());
            assert_eq!(repo.fetch_all().await.unwrap().len(), 2);

            // replaceAll: exactly those; upon a conflict, as before.
            repo.replace_all(vec![a.clone(), b2.clone()]).await.unwrap();
            assert_eq!(repo.fetch_all().await.unwrap(), vec![a.clone(), b2.clone()]);
            assert!(repo.replace_all(vec![changed.clone(), changed.clone()]).await.is_err());
            assert_eq!(repo.fetch_all().await.unwrap(), vec![a, b2]);
            repo.replace_all(vec![]).await.unwrap();
            assert_eq!(repo.fetch_all().await.unwrap(), vec![]);

            // Texts are only texts.
            for text in HOSTILE.iter().filter(|t| !t.is_empty()) {
                let h = repo.insert($make(8, text)).await.unwrap();
                assert_eq!(repo.fetch(h.id).await.unwrap(), Some(h));
            }
        }
    )+};
}

common! {
    containers_have_the_common_operations: containers, container;
    images_have_the_common_operations: images, image;
    volumes_have_the_common_operations: volumes, volume;
    networks_have_the_common_operations: networks, network;
    stacks_have_the_common_operations: stacks, stack;
}

#[tokio::test]
async fn containers_are_searched_and_filtered_by_status() {
    let f = Fixture::new().await;
    let repo = f.store.containers();
    let web = repo.insert(ContainerSummary { status: SummaryStatus::Running, ..container(1, "Web-1") }).await.unwrap();
    let db = repo.insert(ContainerSummary { image: "Postgres:17".to_owned(), ..container(2, "db") }).await.unwrap();
    let paused = repo.insert(ContainerSummary { status: SummaryStatus::Paused, ..container(3, "100%_x") }).await.unwrap();
    assert_eq!(repo.search("WEB").await.unwrap(), vec![web.clone()]);
    assert_eq!(repo.search("postgres").await.unwrap(), vec![db]);
    assert_eq!(repo.search("%_").await.unwrap(), vec![paused], "no wildcards");
    assert_eq!(repo.search("' OR 1=1 --").await.unwrap(), vec![]);
    assert_eq!(repo.fetch_running().await.unwrap(), vec![web]);
}

#[tokio::test]
async fn summaries_leave_whole_containers_alone() {
    let f = Fixture::new().await;
    let whole = Arc::new(Random::new(9).container());
    f.store.apply(vec![Change::PutContainer(whole.clone())]).await.unwrap();
    let repo = f.store.containers();
    let forged = ContainerSummary { id: whole.uuid, ..container(1, "forged") };
    assert!(!repo.update(forged.clone()).await.unwrap());
    assert!(matches!(repo.upsert(forged).await, Err(StoreError::Conflict { .. })));
    repo.replace_all(vec![container(2, "bare")]).await.unwrap();
    assert_eq!(repo.fetch_all().await.unwrap().len(), 2);
    assert_eq!(f.store.load_containers().await.unwrap().items, vec![(*whole).clone()]);
    assert!(repo.delete(whole.uuid).await.unwrap());
}

#[tokio::test]
async fn images_are_searched_and_found_by_name_and_tag() {
    let f = Fixture::new().await;
    let repo = f.store.images();
    let old = repo.insert(image(1, "library/busybox")).await.unwrap();
    let new = repo.insert(image(2, "library/busybox")).await.unwrap();
    let digest_only =
        ImageSummary { name: String::new(), tag: String::new(), digest: Some("sha256:ABCdef".to_owned()), ..image(3, "") };
    let untagged = repo.insert(digest_only).await.unwrap();
    assert_eq!(repo.search("BusyBox").await.unwrap(), vec![old, new.clone()]);
    assert_eq!(repo.search("abcDEF").await.unwrap(), vec![untagged]);
    assert_eq!(repo.fetch_by_name_and_tag("library/busybox", "latest").await.unwrap(), Some(new));
    assert_eq!(repo.fetch_by_name_and_tag("library/busybox", "1.0").await.unwrap(), None);
}

#[tokio::test]
async fn an_image_has_a_digest_or_a_name_and_a_tag() {
    let f = Fixture::new().await;
    let nameless = ImageSummary { name: String::new(), ..image(1, "") };
    let tagless = ImageSummary { tag: String::new(), ..image(1, "x") };
    let empty_digest = ImageSummary { digest: Some(String::new()), ..tagless.clone() };
    let repo = f.store.images();
    for bad in [nameless, tagless, empty_digest] {
        for refused in [repo.insert(bad.clone()).await.err(), repo.upsert(bad.clone()).await.err()] {
            assert!(matches!(refused, Some(StoreError::Invalid { entity: "image", .. })), "{refused:?}");
        }
        // The rule is the writer's, so that no way around the repository is open.
        assert!(f.store.apply(vec![Change::Images(RowChange::ReplaceAll(vec![image(1, "ok"), bad]))]).await.is_err());
    }
    assert_eq!(repo.fetch_all().await.unwrap(), vec![]);
}

#[tokio::test]
async fn a_volume_declares_its_mount_path() {
    let f = Fixture::new().await;
    let bad = VolumeSummary { mount_path: String::new(), ..volume(1, "v") };
    let refused = f.store.volumes().insert(bad).await;
    assert!(matches!(refused, Err(StoreError::Invalid { entity: "volume", .. })), "{refused:?}");
}

#[tokio::test]
async fn a_stack_is_made_from_a_request_and_knows_its_containers() {
    let f = Fixture::new().await;
    let web = f.store.containers().insert(container(1, "web")).await.unwrap();
    f.store.containers().insert(container(2, "other")).await.unwrap();
    let names = vec!["web".to_owned(), "web".to_owned(), "not there".to_owned()];
    let request = NewStack { name: "shop".to_owned(), description: None, container_names: names.clone() };
    let stacks = f.store.stacks();
    let made = stacks.create(request).await.unwrap();
    assert_eq!(made.container_names, names);
    assert_eq!(stacks.fetch(made.id).await.unwrap().as_ref(), Some(&made));
    assert_eq!(stacks.container_ids(made.id).await.unwrap(), vec![web.id]);
    f.store.containers().delete(web.id).await.unwrap();
    assert!(stacks.container_ids(made.id).await.unwrap().is_empty());
}

#[tokio::test]
async fn of_each_container_the_newest_lines_are_kept() {
    let f = Fixture::new().await;
    let logs = f.store.container_logs();
    let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let lines = |from: i64, to: i64| (from..to).map(|n| (at(n), format!("line {n}"))).collect::<Vec<_>>();
    logs.append(b, lines(0, 3)).await.unwrap();
    logs.append(a, lines(0, 300)).await.unwrap();
    logs.append(a, lines(300, 620)).await.unwrap();
    let kept = logs.fetch(a, 10_000).await.unwrap();
    assert_eq!(kept.len(), LOG_LINES_KEPT);
    assert_eq!((kept[0].line.as_str(), kept[0].created_at), ("line 120", at(120)));
    assert_eq!(kept.last().unwrap().line, "line 619");
    assert_eq!(logs.fetch(a, 2).await.unwrap().iter().map(|l| l.line.as_str()).collect::<Vec<_>>(), ["line 618", "line 619"]);
    assert_eq!(logs.fetch(b, 10).await.unwrap().len(), 3, "another container's lines are not touched");
    // One batch larger than what is kept.
    logs.append(a, lines(1000, 3000)).await.unwrap();
    let kept = logs.fetch(a, 10_000).await.unwrap();
    assert_eq!((kept.len(), kept[0].line.as_str()), (LOG_LINES_KEPT, "line 2500"));
    assert_eq!(logs.prune(a).await.unwrap(), 0);
    assert_eq!(logs.fetch_all(0, 5).await.unwrap().len(), 5);
    for text in HOSTILE {
        logs.append(b, vec![(at(9), text.to_owned())]).await.unwrap();
        assert_eq!(logs.fetch(b, 1).await.unwrap()[0].line, text);
    }
}

#[tokio::test]
async fn shim_events_are_appended_fetched_and_filtered() {
    let f = Fixture::new().await;
    let repo = f.store.shim_events();
    let ping = repo.append(shim_event(1)).await.unwrap();
    let create = ShimEvent {
        status: ShimStatus::Refused,
        container_id: Some("c".repeat(64)),
        image: Some("busybox:latest".to_owned()),
        kind: "ContainerCreate".into(),
        method: "POST".into(),
        path: HOSTILE[0].to_owned(),
        api_version: None,
        http_status: Some(409),
        client: Some(HOSTILE[3].to_owned()),
        error: Some(HOSTILE[1].to_owned()),
        unsupported_flags: vec!["--gpus".to_owned(), HOSTILE[2].to_owned()],
        host_paths: vec!["/etc".to_owned(), HOSTILE[3].to_owned()],
        peer_uid: Some(u32::MAX),
        peer_pid: Some(u32::MAX),
        stack: Some("shop".to_owned()),
        ..shim_event(2)
    };
    let create = repo.append(create).await.unwrap();
    let aborted = ShimEvent { status: ShimStatus::Aborted, http_status: None, ..shim_event(3) };
    f.store.record(aborted.clone()).await.unwrap();
    f.store.flush().await.unwrap();
    let all = repo.fetch_all(10).await.unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(all[0], ShimEvent { id: all[0].id, ..aborted });
    assert_eq!(all[1..], [create.clone(), ping.clone()]);
    assert_eq!(repo.fetch(create.id).await.unwrap(), Some(create.clone()));
    assert_eq!(repo.fetch(999).await.unwrap(), None);
    for edge in [i64::MIN, i64::MAX, 0] {
        assert_eq!(repo.fetch(edge).await.unwrap(), None);
    }

    let store = &f.store;
    let only = |filter: ShimEventFilter| async move { store.shim_events().filter(&filter).await.unwrap() };
    let any = ShimEventFilter::default;
    let one = std::slice::from_ref(&create);
    let own = |text: &str| vec![text.to_owned()];
    assert_eq!(only(ShimEventFilter { kinds: own("ContainerCreate"), ..any() }).await, one);
    assert_eq!(only(ShimEventFilter { kinds: vec!["ContainerCreate".into(), "SystemPing".into()], ..any() }).await.len(), 3);
    assert_eq!(only(ShimEventFilter { statuses: vec![ShimStatus::Refused], ..any() }).await, one);
    assert_eq!(only(ShimEventFilter { statuses: vec![ShimStatus::Refused, ShimStatus::Ok], ..any() }).await.len(), 2);
    assert_eq!(only(ShimEventFilter { containers: own(&"c".repeat(64)), ..any() }).await, one);
    assert_eq!(only(ShimEventFilter { containers: own("ccc"), ..any() }).await, one, "how the id begins");
    assert_eq!(only(ShimEventFilter { containers: own("cccd"), ..any() }).await, []);
    assert_eq!(only(ShimEventFilter { stacks: own("shop"), ..any() }).await, one);
    assert_eq!(only(ShimEventFilter { stacks: own("sho"), ..any() }).await, []);
    assert_eq!(only(ShimEventFilter { images: own("busybox:latest"), ..any() }).await, one);
    assert_eq!(only(ShimEventFilter { clients: own(HOSTILE[3]), ..any() }).await, one);
    assert_eq!(only(ShimEventFilter { clients: own("docker-CLIENT"), ..any() }).await.len(), 2, "a part, in any case");
    let followed = store.shim_events().follow(&ShimEventFilter { after_id: Some(ping.id), ..any() }).await.unwrap();
    assert_eq!(followed, [create.clone(), all[0].clone()]);
    assert_eq!(store.shim_events().last_id().await.unwrap(), all[0].id);
    assert_eq!(
        only(ShimEventFilter { request_id: Some(create.request_id.to_string()), ..any() }).await,
        std::slice::from_ref(&create)
    );
    assert_eq!(
        only(ShimEventFilter { since: Some(create.timestamp), until: Some(create.timestamp), ..any() }).await,
        std::slice::from_ref(&create)
    );
    assert_eq!(
        only(ShimEventFilter { after_id: Some(ping.id), before_id: Some(all[0].id), ..any() }).await,
        std::slice::from_ref(&create)
    );
    assert_eq!(only(ShimEventFilter { before_id: Some(all[0].id), limit: Some(1), ..any() }).await, [create]);
    assert_eq!(only(ShimEventFilter { kinds: own("x' OR 1=1 --"), ..any() }).await, []);
}
