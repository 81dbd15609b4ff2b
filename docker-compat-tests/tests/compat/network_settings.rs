//! Networks that only hold a configuration, and those that have theirs from one.

use docker_compat_tests::Scope;
use serde_json::Value;

fn shown(t: &Scope, network: &str) -> Value {
    let answer = t.daemon.http("GET", &format!("/networks/{network}"), None);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Makes a network by the API; what it is told if that is refused.
fn create(t: &Scope, more: &Value) -> (u16, String) {
    let mut body = serde_json::json!({"Name": t.name("refused")});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = t.daemon.http("POST", "/networks/create", Some(&body.to_string()));
    if answer.status == 201 {
        t.daemon.http("DELETE", &format!("/networks/{}", t.name("refused")), None);
    }
    (answer.status, answer.json()["message"].as_str().unwrap_or_default().to_owned())
}

/// A configuration, and the name of a network that is made with it and goes with the test: its label is the configuration's.
fn made_from(t: &Scope, flags: &[&str], own: &[&str]) -> (String, String) {
    let settings = t.network("settings", &[&["--config-only"], flags].concat());
    let user = t.name("user");
    t.docker(&[&["network", "create", "--config-from", &settings], own, &[&user]].concat()).ok();
    (settings, user)
}

/// Who goes first must be the user of a configuration.
fn remove(t: &Scope, user: &str, settings: &str) {
    t.docker(&["network", "rm", user]).ok();
    t.docker(&["network", "rm", settings]).ok();
}

#[test]
fn a_configuration_is_kept_and_used() {
    let t = Scope::new();
    let flags = ["--subnet", "10.77.40.0/24", "--ip-range", "10.77.40.128/25", "--opt", "com.docker.network.driver.mtu=1310"];
    let (settings, user) = made_from(&t, &flags, &["--internal", "--attachable"]);
    let holds = shown(&t, &settings);
    assert_eq!(
        (&holds["Driver"], &holds["ConfigOnly"], &holds["Scope"], &holds["ConfigFrom"]["Network"]),
        (&"null".into(), &true.into(), &"local".into(), &"".into()),
        "{holds}"
    );
    assert_eq!(holds["IPAM"]["Config"], serde_json::json!([{"Subnet": "10.77.40.0/24", "IPRange": "10.77.40.128/25"}]));
    let uses = shown(&t, &user);
    assert_eq!(
        (&uses["Driver"], &uses["ConfigOnly"], &uses["Internal"], &uses["Attachable"], &uses["ConfigFrom"]["Network"]),
        (&"bridge".into(), &false.into(), &true.into(), &true.into(), &settings.as_str().into()),
        "{uses}"
    );
    assert_eq!((&uses["Options"], &uses["Labels"]), (&holds["Options"], &holds["Labels"]));
    assert_eq!((&uses["IPAM"]["Config"][0]["Subnet"], &holds["Internal"]), (&"10.77.40.0/24".into(), &false.into()));
    let id = t.sleeper(&["--network", &user]);
    let address = t.inspect(&id)["NetworkSettings"]["Networks"][&user]["IPAddress"].as_str().unwrap().to_owned();
    assert!(address.starts_with("10.77.40.1") || address.starts_with("10.77.40.2"), "of the upper half: {address}");
    assert_eq!(t.docker(&["exec", &id, "cat", "/sys/class/net/eth0/mtu"]).ok(), "1310");
    // Its addresses are one network's, however many refer to it.
    let (status, words) = create(&t, &serde_json::json!({"ConfigFrom": {"Network": settings}}));
    assert_eq!((status, words.contains("Pool overlaps with other one on this address space")), (403, true), "{words}");
    let listed = t.docker(&["network", "ls", "--format", "{{.Name}} {{.Driver}}"]);
    assert!(listed.lines().contains(&format!("{settings} null").as_str()), "{}", listed.stdout);
    t.docker(&["rm", "-f", &id]).ok();
    remove(&t, &user, &settings);
}

#[test]
fn it_stays_while_it_is_used_and_when_all_is_pruned() {
    let t = Scope::new();
    let (settings, user) = made_from(&t, &[], &[]);
    let answer = t.daemon.http("DELETE", &format!("/networks/{settings}"), None);
    let words = format!("error while removing network: configuration network \"{settings}\" is in use");
    assert_eq!(answer.error(403), words);
    let filter = format!("label=lighter.compat={}", t.mark);
    t.docker(&["network", "prune", "-f", "--filter", &filter]).ok();
    assert_eq!(t.daemon.http("GET", &format!("/networks/{user}"), None).status, 404, "it had the label of its configuration");
    assert_eq!(shown(&t, &settings)["ConfigOnly"], true);
    t.docker(&["network", "rm", &settings]).ok();
}

#[test]
fn nobody_is_on_a_configuration() {
    let t = Scope::new();
    let settings = t.network("settings", &["--config-only"]);
    let words = "cannot create endpoint on configuration-only network";
    let refused = t.docker(&["run", "--rm", "--network", &settings, "busybox", "true"]);
    assert!(refused.fails(125).contains(&format!("failed to set up container networking: {words}")), "{}", refused.stderr);
    let id = t.sleeper(&["--network", "bridge"]);
    let connect = |id: &str| {
        let body = format!(r#"{{"Container":"{id}"}}"#);
        t.daemon.http("POST", &format!("/networks/{settings}/connect"), Some(&body))
    };
    assert_eq!(connect(&id).error(403), words);
    // One that does not run finds out at its start.
    let rests = t.docker(&["create", "busybox", "true"]).ok().to_owned();
    assert_eq!(connect(&rests).status, 200);
    let answer = t.daemon.http("POST", &format!("/containers/{rests}/start"), None);
    assert_eq!(answer.error(403), format!("failed to set up container networking: {words}"));
}

#[test]
fn what_is_refused() {
    let t = Scope::new();
    let settings = t.network("settings", &["--config-only"]);
    let plain = t.network("plain", &[]);
    let id = shown(&t, &settings)["Id"].as_str().unwrap().to_owned();
    let operator = "configuration network can only contain network specific fields. \
                    Network operator fields like [ ingress | internal | attachable | scope ] are not supported.";
    let own = "user specified configurations are not supported if the network depends on a configuration network";
    let options = "network driver options are not supported if the network depends on a configuration network";
    let missing = |name: &str| format!("configuration network \"{name}\" does not exist");
    let from = |more: Value| {
        let mut body = serde_json::json!({"ConfigFrom": {"Network": settings}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    use serde_json::json;
    for (body, status, words) in [
        (json!({"ConfigOnly": true, "Internal": true}), 403, operator.to_owned()),
        (json!({"ConfigOnly": true, "Attachable": true}), 403, operator.to_owned()),
        (json!({"ConfigOnly": true, "Ingress": true}), 403, operator.to_owned()),
        (json!({"ConfigOnly": true, "Scope": "local"}), 403, operator.to_owned()),
        (from(json!({"ConfigOnly": true})), 403, "a configuration network cannot depend on another configuration network".into()),
        (from(json!({"Labels": {"a": "b"}})), 403, own.to_owned()),
        (from(json!({"EnableIPv6": true})), 403, own.to_owned()),
        (from(json!({"EnableIPv4": false})), 403, own.to_owned()),
        (from(json!({"IPAM": {"Config": [{"Subnet": "10.77.41.0/24"}]}})), 403, own.to_owned()),
        (from(json!({"IPAM": {"Driver": "other"}})), 403, own.to_owned()),
        (from(json!({"IPAM": {"Options": {"a": "b"}}, "Options": {"a": "b"}})), 403, own.to_owned()),
        (from(json!({"Options": {"a": "b"}, "Internal": true})), 403, options.to_owned()),
        (from(json!({"Driver": "nosuch"})), 404, "plugin \"nosuch\" not found".to_owned()),
        (json!({"ConfigFrom": {"Network": "nosuch"}}), 404, missing("nosuch")),
        (json!({"ConfigFrom": {"Network": plain}}), 404, missing(&plain)),
        (json!({"ConfigFrom": {"Network": id}}), 404, missing(&id)),
        // What is in a configuration is nobody's concern until it is used.
        (json!({"ConfigOnly": true, "Driver": "nosuch", "IPAM": {"Driver": "nosuch"}, "EnableIPv4": false}), 201, String::new()),
    ] {
        assert_eq!(create(&t, &body), (status, words), "{body}");
    }
}
