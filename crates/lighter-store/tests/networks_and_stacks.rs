//! What follows from the containers: who is on which network, which stacks there are and how they are.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use lighter_domain::container::EndpointStatus;
use lighter_domain::network::{Ipam, IpamPool};
use lighter_domain::stack::Dependency;
use lighter_domain::{Container, ContainerState, EndpointConfig, Network};
use lighter_store::Change;
use sqlx::AssertSqlSafe;
use std::collections::BTreeMap;
use std::sync::Arc;
use support::{Fixture, Random, at};
use uuid::Uuid;

fn network(name: &str, digit: char) -> Arc<Network> {
    let subnet = "10.7.0.0/16".parse().unwrap();
    let gateway = Some("10.7.0.1".parse().unwrap());
    let aux_addresses = BTreeMap::from([("router".to_owned(), "10.7.0.9".parse().unwrap())]);
    Arc::new(Network {
        id: digit.to_string().repeat(64),
        name: name.to_owned(),
        driver: "bridge".to_owned(),
        created_at: at(1),
        enable_ipv4: true,
        enable_ipv6: false,
        internal: true,
        attachable: false,
        ipam: Ipam {
            driver: "default".to_owned(),
            options: None,
            pools: vec![IpamPool { subnet, ip_range: None, gateway, aux_addresses }],
        },
        options: BTreeMap::from([("mtu".to_owned(), "1400".to_owned())]),
        labels: BTreeMap::new(),
        builtin: false,
        config_only: false,
        config_from: String::new(),
    })
}

fn container(random: &mut Random, n: i64, name: &str, labels: &[(&str, &str)]) -> Container {
    let mut container = random.container();
    container.name = name.to_owned();
    container.created_at = at(n);
    container.state = ContainerState::Created;
    container.networks = BTreeMap::new();
    container.endpoints = BTreeMap::new();
    container.config.labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    container
}

fn put_on(container: &mut Container, networks: &[&Network]) -> Change {
    let on = |n: &&Network| (n.name.clone(), EndpointStatus { network_id: n.id.clone(), ..EndpointStatus::default() });
    container.networks = networks.iter().map(on).collect();
    Change::PutContainer(Arc::new(container.clone()))
}

async fn texts(f: &Fixture, sql: &str) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&mut f.raw().await).await.unwrap()
}

async fn members(f: &Fixture, network: &str) -> Vec<Uuid> {
    let all = f.store.networks().fetch_all().await.unwrap();
    all.into_iter().find(|n| n.name == network).unwrap().connected_container_ids
}

#[tokio::test]
async fn a_network_knows_who_is_on_it() {
    let f = Fixture::new().await;
    let mut random = Random::new(1);
    let (front, back) = (network("front", 'a'), network("back", 'b'));
    let mut web = container(&mut random, 1, "web", &[]);
    let mut db = container(&mut random, 2, "db", &[]);
    let made = vec![Change::PutNetwork(front.clone()), Change::PutNetwork(back.clone()), put_on(&mut web, &[&front])];
    f.store.apply(made).await.unwrap();
    f.store.apply(vec![put_on(&mut db, &[])]).await.unwrap();
    assert_eq!(members(&f, "front").await, [web.uuid]);
    f.store.apply(vec![put_on(&mut db, &[&front, &back]), put_on(&mut web, &[&front])]).await.unwrap();
    assert_eq!(members(&f, "front").await, [web.uuid, db.uuid]);
    assert_eq!(members(&f, "back").await, [db.uuid]);
    db.endpoints.insert("back".to_owned(), EndpointConfig { aliases: vec!["database".to_owned()], ..EndpointConfig::default() });
    f.store.apply(vec![put_on(&mut db, &[&back])]).await.unwrap();
    assert_eq!(members(&f, "front").await, [web.uuid]);
    let names = "SELECT dnsName FROM networkDnsNames d, networks n WHERE n.id = d.networkId AND n.name = 'back' ORDER BY 1";
    assert_eq!(texts(&f, names).await, ["database", "db"]);
    f.store.apply(vec![Change::DeleteContainer(db.uuid)]).await.unwrap();
    assert!(members(&f, "back").await.is_empty());
    f.store.apply(vec![Change::DeleteNetwork(back.id.clone())]).await.unwrap();
    let rest = f.store.networks().fetch_all().await.unwrap();
    assert_eq!(rest.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["front"]);
    assert_eq!((rest[0].subnet.as_deref(), rest[0].created_at), (Some("10.7.0.0/16"), at(1)));
}

#[tokio::test]
async fn the_table_is_brought_in_line_with_the_engine() {
    let f = Fixture::new().await;
    let mut web = container(&mut Random::new(2), 1, "web", &[]);
    let (old, kept, new) = (network("old", 'a'), network("kept", 'b'), network("new", 'c'));
    f.store.apply(vec![Change::SyncNetworks(vec![old.clone(), kept.clone()]), put_on(&mut web, &[&kept, &new])]).await.unwrap();
    let id = |name: &str| format!("SELECT id FROM networks WHERE name = '{name}'");
    let before = texts(&f, &id("kept")).await;
    f.store.apply(vec![Change::SyncNetworks(vec![kept, new])]).await.unwrap();
    assert_eq!(texts(&f, "SELECT name FROM networks ORDER BY name").await, ["kept", "new"]);
    assert_eq!(texts(&f, &id("kept")).await, before, "a row keeps its id");
    // One whose row came after its container has it, too.
    assert_eq!((members(&f, "kept").await, members(&f, "new").await), (vec![web.uuid], vec![web.uuid]));
    let row = "SELECT driver || gateway || internal || ipv6 || json_extract(addressPools, '$[0].auxAddresses.router') || \
               json_extract(options, '$.mtu') FROM networks WHERE name = 'new'";
    assert_eq!(texts(&f, row).await, ["bridge10.7.0.11010.7.0.91400"]);
}

fn service(random: &mut Random, n: i64, name: &str, more: &[(&str, &str)]) -> Container {
    let service = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
    let mut labels = vec![("com.docker.compose.project", "shop"), ("com.docker.compose.service", service)];
    labels.extend_from_slice(more);
    container(random, n, name, &labels)
}

async fn made(f: &Fixture, container: &Container) {
    let container = Arc::new(container.clone());
    f.store.apply(vec![Change::PutContainer(container.clone()), Change::JoinStack(container)]).await.unwrap();
}

#[tokio::test]
async fn a_compose_project_is_a_stack_by_itself() {
    let f = Fixture::new().await;
    let mut random = Random::new(3);
    let db = service(&mut random, 1, "db", &[]);
    let waits = [("com.docker.compose.depends_on", "db:service_healthy:false,cache:service_started:true")];
    let mut web = service(&mut random, 2, "web-1", &[waits[0], ("lighter.environment", "test")]);
    let once = service(&mut random, 3, "web-run", &[("com.docker.compose.oneoff", "True")]);
    for c in [&db, &web, &once] {
        made(&f, c).await;
    }
    made(&f, &container(&mut random, 4, "alone", &[])).await;
    let stacks = f.store.stacks_with_members().await.unwrap();
    let [shop] = stacks.as_slice() else { panic!("one stack: {stacks:?}") };
    assert_eq!((shop.name.as_str(), shop.compose, shop.environment.as_deref()), ("shop", true, Some("test")));
    assert_eq!(shop.containers.len(), 3);
    let projects = "SELECT DISTINCT coalesce(projectId, name) FROM containers ORDER BY name = 'alone'";
    assert_eq!(texts(&f, projects).await, [shop.id.to_string(), "alone".to_owned()]);
    let on = |service: &str, condition: &str| Dependency { service: service.to_owned(), condition: condition.to_owned() };
    assert_eq!(shop.graph["web"], [on("db", "service_healthy"), on("cache", "service_started")]);
    assert_eq!(shop.graph["db"], []);
    let summary = || async { f.store.stacks().fetch_all().await.unwrap().pop().unwrap() };
    assert_eq!(summary().await.container_names, ["db", "web-1", "web-run"]);

    web.name = "web-2".to_owned();
    made(&f, &web).await;
    assert_eq!(summary().await.container_names, ["db", "web-2", "web-run"]);
    let status = "SELECT status FROM stacks";
    assert_eq!(texts(&f, status).await, ["stopped"]);
    web.state = ContainerState::Running { pid: 7 };
    f.store.apply(vec![Change::PutContainer(Arc::new(web.clone()))]).await.unwrap();
    assert_eq!(texts(&f, status).await, ["running"]);
    web.state = ContainerState::Exited;
    f.store.apply(vec![Change::PutContainer(Arc::new(web.clone()))]).await.unwrap();
    assert_eq!(texts(&f, status).await, ["stopped"]);

    f.store.apply(vec![Change::DeleteContainer(once.uuid)]).await.unwrap();
    assert_eq!(summary().await.container_names, ["db", "web-2"]);
    f.store.apply(vec![Change::DeleteContainer(web.uuid), Change::DeleteContainer(db.uuid)]).await.unwrap();
    assert!(f.store.stacks_with_members().await.unwrap().is_empty(), "it goes with its last container");
}

#[tokio::test]
async fn labels_that_mean_harm_are_only_text() {
    let f = Fixture::new().await;
    let labels = [
        ("com.docker.compose.project", "'; DROP TABLE stacks; --"),
        ("com.docker.compose.service", "a\".b'$[0]"),
        ("com.docker.compose.depends_on", ":,x::y,\"]}"),
    ];
    let odd = container(&mut Random::new(4), 1, "odd", &labels);
    made(&f, &odd).await;
    let stacks = f.store.stacks_with_members().await.unwrap();
    assert_eq!(stacks[0].name, labels[0].1);
    let waits: Vec<&str> = stacks[0].graph[labels[1].1].iter().map(|d| d.service.as_str()).collect();
    assert_eq!(waits, ["x", "\"]}"]);
}

#[tokio::test]
async fn a_stack_made_by_hand_stays_without_containers() {
    let f = Fixture::new().await;
    let mut random = Random::new(5);
    let member = container(&mut random, 1, "member", &[]);
    f.store.apply(vec![Change::PutContainer(Arc::new(member.clone()))]).await.unwrap();
    let request = lighter_domain::resource::NewStack {
        name: "mine".to_owned(),
        description: Some("by hand".to_owned()),
        container_names: vec!["member".to_owned()],
    };
    f.store.stacks().create(request).await.unwrap();
    let stack = f.store.stacks_with_members().await.unwrap().pop().unwrap();
    assert_eq!((stack.compose, stack.containers.as_slice()), (false, &[member.uuid][..]));
    f.store.apply(vec![Change::DeleteContainer(member.uuid)]).await.unwrap();
    let stack = f.store.stacks_with_members().await.unwrap().pop().unwrap();
    assert_eq!((stack.name.as_str(), stack.containers.len()), ("mine", 0));
}

#[tokio::test]
async fn the_status_of_a_stack_is_that_of_its_containers() {
    let f = Fixture::new().await;
    let mut random = Random::new(6);
    let (mut one, mut two) = (container(&mut random, 1, "one", &[]), container(&mut random, 2, "two", &[]));
    let put = async |c: &Container| f.store.apply(vec![Change::PutContainer(Arc::new(c.clone()))]).await.map(drop).unwrap();
    let names = vec!["one".to_owned(), "two".to_owned()];
    let new = |names| lighter_domain::resource::NewStack { name: "mine".to_owned(), description: None, container_names: names };
    // One that runs before it joins counts, too.
    one.state = ContainerState::Running { pid: 7 };
    put(&one).await;
    put(&two).await;
    let stack = f.store.stacks().create(new(names)).await.unwrap();
    // What another program reads and what the daemon tells are the same column.
    let status = async || {
        let told = f.store.stacks_with_members().await.unwrap().pop().unwrap().status.as_str();
        assert_eq!(texts(&f, "SELECT status FROM stacks").await, [told]);
        told
    };
    assert_eq!(status().await, "running");
    one.state = ContainerState::Paused { pid: 7 };
    put(&one).await;
    assert_eq!(status().await, "paused");
    two.state = ContainerState::Running { pid: 8 };
    put(&two).await;
    assert_eq!(status().await, "running");
    f.store.apply(vec![Change::DeleteContainer(two.uuid)]).await.unwrap();
    assert_eq!(status().await, "paused");
    f.store.apply(vec![Change::DeleteContainer(one.uuid)]).await.unwrap();
    assert_eq!(status().await, "stopped", "nothing is left of it");
    f.store.stacks().delete(stack.id).await.unwrap();
    f.store.stacks().create(new(Vec::new())).await.unwrap();
    assert_eq!(status().await, "stopped");
    let odd = sqlx::query("UPDATE stacks SET status = 'degraded'").execute(&mut f.raw().await).await;
    assert!(odd.unwrap_err().to_string().contains("CHECK"));
}
