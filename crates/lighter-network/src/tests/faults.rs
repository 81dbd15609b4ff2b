//! Crashes, crowds, cancelled callers, and what must not be left after them.

use std::collections::HashSet;

use super::*;
use crate::NetworkError;

/// The daemon dies: its threads and descriptors go, what containers hold stays.
fn crash(networks: Networks) {
    drop(networks);
}

#[test]
fn a_restarted_daemon_finds_everything_and_repairs_it() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let config = BridgeConfig::new(dir.path());
        let networks = open(&config).await;
        let (a, b) = (container(&networks, "a").await, container(&networks, "b").await);
        let info = networks.info();
        crash(networks);
        // Meanwhile, somebody flushes the rules and takes the bridge down.
        crate::nft::apply(&mut netfilter(), vec![crate::nft::delete_table("lighter")]).unwrap();

        let networks = open(&config).await;
        assert_eq!(networks.info(), info);
        let live = [&a, &b].map(|c| (c.endpoint.container_id.clone(), c.attachment.clone()));
        let restored = networks.restore(live.to_vec()).await.unwrap();
        assert!(restored.iter().all(|(_, lost)| lost.is_empty()), "{restored:?}");
        assert_eq!(restored.into_iter().map(|(again, _)| again).collect::<Vec<_>>(), live.map(|(_, had)| had));
        assert!(crate::nft::rules(&mut netfilter(), "lighter").unwrap().len() > 5);
        assert_eq!(networks.reconcile(&["a".into(), "b".into()]).await.unwrap(), Vec::<String>::new());
        talk(a.netns.as_fd(), b.netns.as_fd(), b.ip()).unwrap();

        // A newcomer gets neither's address.
        let c = container(&networks, "c").await;
        assert!(![a.ip(), b.ip()].contains(&c.ip()));
        talk(c.netns.as_fd(), a.netns.as_fd(), a.ip()).unwrap();
    });
}

#[test]
fn a_lost_memory_does_not_lose_the_bridge() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let mut config = BridgeConfig::new(dir.path());
        config.pools.rotate_left(2);
        let networks = open(&config).await;
        container(&networks, "a").await;
        let before = networks.info();
        crash(networks);
        std::fs::remove_file(dir.path().join("network.json")).unwrap();
        config.pools.rotate_left(1);
        let networks = open(&config).await;
        assert_eq!(networks.info().subnet, before.subnet);
        let (a, b) = (container(&networks, "a").await, container(&networks, "b").await);
        talk(a.netns.as_fd(), b.netns.as_fd(), b.ip()).unwrap();
    });
}

#[test]
fn only_our_orphans_are_removed() {
    on_new_host(|| async {
        let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let config = BridgeConfig::new(dir.path());
        let networks = open(&config).await;
        let (live, orphan) = (container(&networks, "live").await, container(&networks, "orphan").await);
        let mut config_of_other = BridgeConfig::new(other_dir.path());
        config_of_other.bridge = "lighter1".to_owned();
        let others = open(&config_of_other).await;
        let other = container(&others, "other").await;
        // Somebody's own veth on our bridge, named like ours.
        let somebody = container(&others, "somebody").await;
        let bridge = links::by_name(&mut route(), "lighter0").unwrap().unwrap().index;
        links::enslave(&mut route(), &somebody.endpoint.host_ifname, bridge).unwrap();
        crash(networks);

        let networks = open(&config).await;
        networks.restore(vec![("live".into(), live.attachment.clone())]).await.unwrap();
        let removed = networks.reconcile(&["live".into()]).await.unwrap();
        assert_eq!(removed, [orphan.endpoint.host_ifname.as_str()]);
        for kept in [&live, &other, &somebody] {
            assert!(exists(&kept.endpoint.host_ifname), "{}", kept.endpoint.container_id);
        }
        // One that is alive but was not restored keeps its interface.
        assert_eq!(networks.reconcile(&[]).await.unwrap(), Vec::<String>::new());
    });
}

/// How many ports are led somewhere.
fn elements(table: &str) -> usize {
    crate::maps::read(&mut netfilter(), table).unwrap().len()
}

#[test]
fn what_was_half_done_when_the_daemon_died_is_done_or_undone() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let config = BridgeConfig::new(dir.path());
        let networks = open(&config).await;
        let [red, blue] = [network(&networks, "red", |_| ()).await, network(&networks, "blue", |_| ()).await];
        let port = PortWant {
            protocol: crate::Protocol::Tcp,
            container_port: 80,
            host_ip: Some(Ipv4Addr::LOCALHOST.into()),
            host_ports: Some(8080..=8080),
        };
        let joins = vec![on(&red), on(&blue)];
        let connecting = attach(&networks, "connecting", joins.clone(), Vec::new()).await.unwrap();
        let leaving = attach(&networks, "leaving", joins, vec![port]).await.unwrap();
        assert_eq!(elements("lighter"), 1);
        crash(networks);
        // The one's second place is not written down yet, the other's not crossed out.
        let mut known = connecting.attachment.clone();
        let unknown = known.endpoints.pop().unwrap();
        let gone = leaving.attachment.endpoints[1].clone();
        links::delete(&mut route(), &gone.host_ifname).unwrap();
        links::create_lone_pair(&mut route(), "dm-0", &format!("{}#gone", config.owner())).unwrap();

        let specs = vec![red.clone(), blue.clone()];
        let networks = Networks::open_with(config.clone(), specs.clone()).await.unwrap();
        assert!(!exists("dm-0"), "the parent of a network that is not there");
        let live = vec![("connecting".to_owned(), known), ("leaving".to_owned(), leaving.attachment.clone())];
        let restored = networks.restore(live).await.unwrap();
        assert!(restored[0].1.is_empty(), "{restored:?}");
        assert!(matches!(&restored[1].1[..], [NetworkError::NoInterface { name, .. }] if *name == gone.host_ifname));
        assert_eq!(restored[1].0.endpoints, leaving.attachment.endpoints[..1]);
        let removed = networks.reconcile(&["connecting".into(), "leaving".into()]).await.unwrap();
        assert_eq!(removed, [unknown.host_ifname]);
        assert_eq!(elements("lighter"), 1);
        crash(networks);

        // Now none of them is alive.
        let networks = Networks::open_with(config.clone(), specs).await.unwrap();
        networks.restore(Vec::new()).await.unwrap();
        assert_eq!(elements("lighter"), 0);
        assert!(crate::nft::table_comment(&mut netfilter(), "lighter").unwrap().is_some(), "there are networks");
        networks.reconcile(&[]).await.unwrap();
        for spec in [&red, &blue] {
            networks.remove(&spec.id).await.unwrap();
        }
        crash(networks);
        open(&config).await.restore(Vec::new()).await.unwrap();
        assert!(crate::nft::table_comment(&mut netfilter(), "lighter").unwrap().is_none(), "nor are there networks");
    });
}

#[test]
fn an_address_is_free_when_its_interface_is_gone() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let mut config = BridgeConfig::new(dir.path());
        // Room for one container.
        config.pools = vec![crate::Pool { base: "10.1.0.0/24".parse().unwrap(), size: 30 }];
        let networks = open(&config).await;
        let a = container(&networks, "a").await;
        let (name, ip) = (a.endpoint.host_ifname.clone(), a.ip());
        networks.detach("a");
        networks.detach("a");
        assert!(networks.attachment("a").is_none());
        // The namespace lives on, so the address is not free at once.
        assert!(matches!(try_container(&networks, "b").await, Err(NetworkError::Exhausted { .. })));
        drop(a);
        until("the interface is gone", || !exists(&name)).await;
        until("the address is free", || networks.is_quiet()).await;
        assert_eq!(container(&networks, "b").await.ip(), ip);
    });
}

#[test]
fn a_namespace_that_will_not_go_loses_its_interface() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let a = container(&networks, "a").await;
        networks.detach("a");
        until("the interface is gone", || !exists(&a.endpoint.host_ifname)).await;
        assert!(!inside(a.netns.as_fd(), || exists("eth0")));
    });
}

#[test]
fn nothing_works_without_a_valid_id() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        for id in ["", "a:b", "a b", "ä", &"x".repeat(500)] {
            assert!(matches!(try_container(&networks, id).await, Err(NetworkError::BadName { .. })), "{id}");
        }
        assert!(!exists("lighter0"));
        let _one = container(&networks, &"f".repeat(64)).await;
        assert!(matches!(try_container(&networks, &"f".repeat(64)).await, Err(NetworkError::AlreadyConnected { .. })));
    });
}

#[test]
fn a_failed_connect_leaves_no_interface() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let a = container(&networks, "a").await;
        let veths = || links::marked_veths(&mut route()).unwrap().len();
        // The namespace has an eth0 already.
        let join = || on_default(&networks);
        let error = networks.join("b", a.netns.try_clone().unwrap(), join()).await.unwrap_err();
        assert!(matches!(error, NetworkError::Kernel { .. }), "{error:?}");
        // What is no namespace at all.
        let file = std::fs::File::open("/dev/null").unwrap();
        networks.join("b", file.into(), join()).await.unwrap_err();
        // An interface's name that the kernel will not have, as the second of two.
        let long = Join { ask: Ask { ifname: Some("x".repeat(16)), ..Ask::default() }, ..join() };
        assert!(attach(&networks, "b", vec![long], Vec::new()).await.is_err());
        assert_eq!(veths(), 1);
        // And nothing is taken.
        let b = container(&networks, "b").await;
        talk(a.netns.as_fd(), b.netns.as_fd(), b.ip()).unwrap();
    });
}

#[test]
fn forty_at_once_and_all_gone_again() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let tasks: Vec<_> = (0..40)
            .map(|n| {
                let networks = networks.clone();
                tokio::spawn(async move { container(&networks, &format!("c{n}")).await })
            })
            .collect();
        let mut containers = Vec::new();
        for task in tasks {
            containers.push(task.await.unwrap());
        }
        let ips: HashSet<_> = containers.iter().map(|c| c.ip()).collect();
        assert_eq!(ips.len(), 40);
        let (first, last) = (&containers[0], &containers[39]);
        talk(first.netns.as_fd(), last.netns.as_fd(), last.ip()).unwrap();
        for container in containers {
            networks.detach(&container.endpoint.container_id);
        }
        until("all addresses are free", || networks.is_quiet()).await;
        assert_eq!(links::marked_veths(&mut route()).unwrap(), []);
        assert!(networks.remove_all().await.unwrap());
    });
}

#[test]
fn a_cancelled_connect_leaves_nothing() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        for polls in 1..12 {
            let id = format!("c{polls}");
            let mut connect = Box::pin(networks.attach(&id, vec![on_default(&networks)], Vec::new()));
            for _ in 0..polls {
                let poll = std::future::poll_fn(|cx| std::task::Poll::Ready(connect.as_mut().poll(cx).is_ready()));
                if poll.await {
                    break;
                }
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
            let done = networks.attachment(&id).is_some();
            drop(connect);
            // If it came to its end all the same, it is up to us.
            if done {
                networks.detach(&id);
            }
        }
        until("all addresses are free", || networks.is_quiet()).await;
        until("all interfaces are gone", || links::marked_veths(&mut route()).unwrap().is_empty()).await;
    });
}
