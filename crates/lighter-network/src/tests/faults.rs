//! Crashes, crowds, cancelled callers, and what must not be left after them.

use std::collections::HashSet;

use super::*;
use crate::{Live, NetworkError};

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
        assert_eq!(crate::nft::rules(&mut netfilter(), "lighter").unwrap().len(), 5);
        let live = [&a, &b].map(|c| Live { container_id: c.endpoint.container_id.clone(), ip: c.endpoint.ip });
        let restored = networks.restore(&live).await.unwrap();
        let restored: Vec<_> = restored.into_iter().map(Result::unwrap).collect();
        assert_eq!(restored, [a.endpoint.clone(), b.endpoint.clone()]);
        assert_eq!(networks.reconcile(&["a".into(), "b".into()]).await.unwrap(), Vec::<String>::new());
        talk(a.netns.as_fd(), b.netns.as_fd(), b.endpoint.ip).unwrap();

        // A newcomer gets neither's address.
        let c = container(&networks, "c").await;
        assert!(![a.endpoint.ip, b.endpoint.ip].contains(&c.endpoint.ip));
        talk(c.netns.as_fd(), a.netns.as_fd(), a.endpoint.ip).unwrap();
    });
}

#[test]
fn a_lost_memory_does_not_lose_the_bridge() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let mut config = BridgeConfig::new(dir.path());
        config.pools.rotate_left(2);
        let networks = open(&config).await;
        networks.allocate("a").await.unwrap();
        let before = networks.info();
        crash(networks);
        std::fs::remove_file(dir.path().join("network.json")).unwrap();
        config.pools.rotate_left(1);
        let networks = open(&config).await;
        assert_eq!(networks.info().subnet, before.subnet);
        let (a, b) = (container(&networks, "a").await, container(&networks, "b").await);
        talk(a.netns.as_fd(), b.netns.as_fd(), b.endpoint.ip).unwrap();
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
        let ip = live.endpoint.ip;
        networks.restore(&[Live { container_id: "live".into(), ip }]).await.unwrap();
        let removed = networks.reconcile(&["live".into()]).await.unwrap();
        assert_eq!(removed, [orphan.endpoint.host_ifname.as_str()]);
        for kept in [&live, &other, &somebody] {
            assert!(exists(&kept.endpoint.host_ifname), "{}", kept.endpoint.container_id);
        }
        // One that is alive but was not restored keeps its interface.
        assert_eq!(networks.reconcile(&[]).await.unwrap(), Vec::<String>::new());
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
        let (name, ip) = (a.endpoint.host_ifname.clone(), a.endpoint.ip);
        networks.teardown(&a.endpoint);
        networks.teardown(&a.endpoint);
        assert!(networks.endpoint_of("a").is_none());
        assert!(matches!(networks.setup(a.netns.as_fd(), &a.endpoint).await, Err(NetworkError::UnknownEndpoint { .. })));
        // The namespace lives on, so the address is not free at once.
        assert!(matches!(networks.allocate("b").await, Err(NetworkError::Exhausted { .. })));
        drop(a);
        until("the interface is gone", || !exists(&name)).await;
        until("the address is free", || networks.endpoints().is_empty() && networks.is_quiet()).await;
        assert_eq!(container(&networks, "b").await.endpoint.ip, ip);
    });
}

#[test]
fn a_namespace_that_will_not_go_loses_its_interface() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let a = container(&networks, "a").await;
        networks.teardown(&a.endpoint);
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
            assert!(matches!(networks.allocate(id).await, Err(NetworkError::BadName { .. })), "{id}");
        }
        assert!(!exists("lighter0"));
        networks.allocate(&"f".repeat(64)).await.unwrap();
        assert!(matches!(networks.allocate(&"f".repeat(64)).await, Err(NetworkError::AlreadyConnected { .. })));
    });
}

#[test]
fn a_failed_setup_leaves_no_interface() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let a = container(&networks, "a").await;
        let b = networks.allocate("b").await.unwrap();
        // The namespace has an eth0 already.
        let error = networks.setup(a.netns.as_fd(), &b).await.unwrap_err();
        assert!(matches!(error, NetworkError::Kernel { .. }), "{error:?}");
        assert!(!exists(&b.host_ifname) && exists(&a.endpoint.host_ifname));
        // What is no namespace at all.
        let file = std::fs::File::open("/dev/null").unwrap();
        networks.setup(file.as_fd(), &b).await.unwrap_err();
        assert!(!exists(&b.host_ifname));
        // And the endpoint is still good for a proper one.
        let netns = networks.new_netns().await.unwrap();
        networks.setup(netns.as_fd(), &b).await.unwrap();
        talk(a.netns.as_fd(), netns.as_fd(), b.ip).unwrap();
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
        let ips: HashSet<_> = containers.iter().map(|c| c.endpoint.ip).collect();
        assert_eq!((ips.len(), networks.endpoints().len()), (40, 40));
        let (first, last) = (&containers[0], &containers[39]);
        talk(first.netns.as_fd(), last.netns.as_fd(), last.endpoint.ip).unwrap();
        for container in containers {
            networks.teardown(&container.endpoint);
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
            let mut connect = Box::pin(networks.connect(&id));
            for _ in 0..polls {
                let poll = std::future::poll_fn(|cx| std::task::Poll::Ready(connect.as_mut().poll(cx).is_ready()));
                if poll.await {
                    break;
                }
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
            let done = networks.endpoint_of(&id);
            drop(connect);
            // If it came to its end all the same, it is up to us.
            if let Some(endpoint) = done {
                networks.teardown(&endpoint);
            }
        }
        until("all addresses are free", || networks.is_quiet()).await;
        until("all interfaces are gone", || links::marked_veths(&mut route()).unwrap().is_empty()).await;
    });
}
