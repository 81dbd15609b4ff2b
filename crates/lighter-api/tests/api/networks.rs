//! Networks on the memory engine: what dockerd answers, and what becomes of containers. The words were read off a dockerd.

use crate::support::Api;
use serde_json::{Value, json};

impl Api {
    pub fn network(&self, body: &Value) -> String {
        let reply = self.post("/networks/create", &body.to_string());
        assert_eq!(reply.status, 201, "{}", reply.text());
        assert_eq!(reply.json()["Warning"], "");
        reply.json()["Id"].as_str().unwrap().to_owned()
    }

    fn sleeper(&self, name: &str, more: &Value) -> String {
        let mut body = json!({"Image": "busybox", "Cmd": ["sleep", "1000"]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let id = self.create(name, &body);
        let started = self.post(&format!("/containers/{name}/start"), "");
        assert_eq!(started.status, 204, "{}", started.text());
        id
    }

    fn networks_of(&self, name: &str) -> Value {
        self.get(&format!("/containers/{name}/json")).json()["NetworkSettings"]["Networks"].clone()
    }

    /// Status and words of a refusal.
    pub fn refused(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let reply = self.send(method, path, &if body.is_null() { String::new() } else { body.to_string() });
        assert!(reply.status >= 400, "{method} {path} {body}: {} {}", reply.status, reply.text());
        (reply.status, reply.message())
    }

    pub fn names(&self, filters: &Value) -> Vec<String> {
        let encoded: String = filters.to_string().bytes().map(|b| format!("%{b:02X}")).collect();
        let list = self.get(&format!("/networks?filters={encoded}")).json();
        let mut names: Vec<String> = list.as_array().unwrap().iter().map(|n| n["Name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_network_as_it_was_asked_for() {
    let api = Api::start();
    let pool = json!({"Subnet": "10.222.0.0/24", "IPRange": "10.222.0.128/25", "AuxiliaryAddresses": {"x": "10.222.0.5"}});
    let id = api.network(&json!({
        "Name": "n2", "IPAM": {"Driver": "default", "Options": {}, "Config": [pool]}, "Internal": true, "Attachable": true,
        "Options": {"com.docker.network.driver.mtu": "1400"}, "Labels": {"a": "b"}, "CheckDuplicate": true,
    }));
    let mut shown = api.get("/v1.51/networks/n2").json();
    assert_eq!(shown, api.get(&format!("/v1.51/networks/{}", &id[..9])).json(), "found by the beginning of its id");
    assert!(shown["Created"].as_str().unwrap().ends_with('Z'));
    shown.as_object_mut().unwrap().remove("Created");
    assert_eq!(
        shown,
        json!({
            "Name": "n2", "Id": id, "Scope": "local", "Driver": "bridge", "EnableIPv4": true, "EnableIPv6": false,
            "IPAM": {"Driver": "default", "Options": {}, "Config": [{
                "Subnet": "10.222.0.0/24", "IPRange": "10.222.0.128/25", "Gateway": "10.222.0.1",
                "AuxiliaryAddresses": {"x": "10.222.0.5"}
            }]},
            "Internal": true, "Attachable": true, "Ingress": false, "ConfigFrom": {"Network": ""}, "ConfigOnly": false,
            "Containers": {}, "Options": {"com.docker.network.driver.mtu": "1400"}, "Labels": {"a": "b"}
        })
    );
    api.network(&json!({"Name": "n6", "EnableIPv6": true}));
    let six = api.get("/networks/n6").json();
    assert_eq!(six["IPAM"]["Options"], Value::Null);
    assert_eq!(six["IPAM"]["Config"].as_array().unwrap().len(), 2, "a pool for each family: {six}");
    assert!(six["IPAM"]["Config"][1]["Subnet"].as_str().unwrap().starts_with("fd"), "{six}");
}

#[test]
fn what_is_refused_when_a_network_is_made() {
    let api = Api::start();
    api.network(&json!({"Name": "n1", "IPAM": {"Config": [{"Subnet": "10.222.0.0/16"}]}}));
    let config = |pool: Value| json!({"Name": "n3", "IPAM": {"Config": [pool]}});
    let overlap = "invalid pool request: Pool overlaps with other one on this address space";
    for (body, status, words) in [
        (json!({}), 400, "invalid name: name is empty"),
        (json!({"Name": " "}), 400, "invalid name: name is empty"),
        (json!({"Name": "n1"}), 409, "network with name n1 already exists"),
        (json!({"Name": "bridge"}), 403, "operation is not permitted on predefined bridge network "),
        (json!({"Name": "default"}), 403, "operation is not permitted on predefined default network "),
        (json!({"Name": "x", "Driver": "nosuch"}), 404, "plugin \"nosuch\" not found"),
        (json!({"Name": "x", "Driver": "host"}), 403, "only one instance of \"host\" network is allowed"),
        (json!({"Name": "x", "IPAM": {"Driver": "nosuch"}}), 404, "plugin \"nosuch\" not found"),
        (json!({"Name": "x", "Scope": "swarm"}), 403, "cannot create a swarm scoped network when swarm is not active"),
        (json!({"Name": "x", "Ingress": true}), 403, "Ingress network can only be global scope network"),
        (json!({"Name": "x", "EnableIPv4": false}), 400, "IPv4 or IPv6 must be enabled"),
        (config(json!({"Subnet": "10.222.1.0/24"})), 403, overlap),
        (config(json!({"Subnet": "abc"})), 400, "invalid network config:\ninvalid subnet abc: invalid CIDR block notation"),
        (
            config(json!({"Subnet": "10.9.0.7/24"})),
            400,
            "invalid network config:\ninvalid subnet 10.9.0.7/24: it should be 10.9.0.0/24",
        ),
        (
            config(
                json!({"Subnet": "10.9.0.0/24", "IPRange": "10.8.0.0/25", "Gateway": "1.2.3.4", "AuxiliaryAddresses": {"x": "9.9.9.9"}}),
            ),
            400,
            "invalid network config:\n\
             * invalid ip-range 10.8.0.0/25: parent subnet 10.9.0.0/24 doesn't contain ip-range\n\
             * invalid gateway 1.2.3.4: parent subnet 10.9.0.0/24 doesn't contain this address\n\
             * invalid auxiliary address x: parent subnet 10.9.0.0/24 doesn't contain this address",
        ),
    ] {
        assert_eq!(api.refused("POST", "/networks/create", &body), (status, words.to_owned()), "{body}");
    }
    let (status, words) = api.refused("POST", "/networks/create", &json!({"Name": "ov", "Driver": "overlay"}));
    assert!(status == 403 && words.starts_with("This node is not a swarm manager."), "{status} {words}");
    let (_, words) = api.refused("POST", "/networks/create", &json!({"Name": 5}));
    assert_eq!(words, "invalid JSON: json: cannot unmarshal number into Go struct field CreateRequest.Name of type string");
    // Older clients do not know that there is a choice.
    assert_eq!(api.post("/v1.47/networks/create", r#"{"Name":"old","EnableIPv4":false}"#).status, 201);
    assert_eq!(api.names(&json!({"type": ["custom"]})), ["n1", "old"]);
}

#[test]
fn a_container_on_two_networks_and_its_way_through_life() {
    let api = Api::start();
    let (one, two) = (api.network(&json!({"Name": "one"})), api.network(&json!({"Name": "two", "EnableIPv6": true})));
    let endpoints = json!({"one": {"Aliases": ["al"]}, &two: {"GwPriority": 5}});
    let more = json!({"HostConfig": {"NetworkMode": "one"}, "NetworkingConfig": {"EndpointsConfig": endpoints}});
    let mut body = json!({"Image": "busybox", "Cmd": ["sleep", "1000"]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let id = api.create("co", &body);
    let created = api.networks_of("co");
    assert_eq!(created.as_object().unwrap().keys().collect::<Vec<_>>(), ["one", "two"], "by name");
    assert_eq!((&created["one"]["DNSNames"], &created["one"]["NetworkID"]), (&Value::Null, &json!("")));

    assert_eq!(api.post("/containers/co/start", "").status, 204);
    let live = api.networks_of("co");
    assert_eq!(live["one"]["DNSNames"], json!(["co", "al", &id[..12]]));
    assert_eq!((&live["one"]["NetworkID"], &live["two"]["NetworkID"]), (&json!(one), &json!(two)));
    assert_eq!(live["two"]["GwPriority"], 5);
    assert!(live["two"]["GlobalIPv6Address"].as_str().unwrap().starts_with("fd"), "{live}");
    let attached = &api.get("/networks/one").json()["Containers"][&id];
    assert_eq!(attached["Name"], "co");
    assert_eq!(attached["IPv4Address"], format!("{}/16", live["one"]["IPAddress"].as_str().unwrap()));
    let (status, words) = api.refused("DELETE", "/networks/one", &Value::Null);
    let endpoint = &live["one"]["EndpointID"].as_str().unwrap()[..12];
    let wanted = format!("error while removing network: network one has active endpoints (name:\"co\" id:\"{endpoint}\")");
    assert_eq!((status, words), (403, wanted));

    assert_eq!(api.post("/containers/co/stop?t=0", "").status, 204);
    let idle = api.networks_of("co");
    assert_eq!((&idle["one"]["NetworkID"], &idle["one"]["IPAddress"]), (&json!(one), &json!("")));
    assert_eq!(api.get("/networks/one").json()["Containers"], json!({}));
    // A stopped container does not keep its network; but another of the same name is not the one that was meant.
    assert_eq!(api.send("DELETE", "/networks/one", "").status, 204);
    api.network(&json!({"Name": "one"}));
    let (status, words) = api.refused("POST", "/containers/co/start", &Value::Null);
    assert_eq!((status, words), (404, format!("failed to set up container networking: network {one} not found")));
    assert_eq!(api.get("/containers/co/json").json()["State"]["ExitCode"], 128);
}

#[test]
fn connecting_and_disconnecting_what_runs() {
    let api = Api::start();
    api.network(&json!({"Name": "n1"}));
    let n2 = api.network(&json!({"Name": "n2", "IPAM": {"Config": [{"Subnet": "10.222.0.0/24"}]}}));
    let id = api.sleeper("c1", &json!({"HostConfig": {"NetworkMode": "n1"}}));
    let connect = |network: &str, body: &Value| api.post(&format!("/networks/{network}/connect"), &body.to_string());
    let on = |config: Value| json!({"Container": "c1", "EndpointConfig": config});
    for (network, body, status, words) in [
        ("n1", json!({"Container": "c1"}), 403, "endpoint with name c1 already exists in network n1"),
        ("n1", json!({"Container": "nosuch"}), 404, "No such container: nosuch"),
        ("nosuch", json!({"Container": "c1"}), 404, "network nosuch not found"),
        ("n1", json!({}), 400, "invalid name or ID supplied: \"\""),
        (
            "host",
            json!({"Container": "c1"}),
            400,
            "cannot connect container to host network - container must be created in host network mode",
        ),
        (
            "none",
            json!({"Container": "c1"}),
            400,
            "container cannot be connected to multiple networks with one of the networks in private (none) mode",
        ),
        (
            "bridge",
            on(json!({"Aliases": ["x"]})),
            400,
            "invalid endpoint settings:\nnetwork-scoped alias is supported only for containers in user defined networks",
        ),
        (
            "n2",
            on(json!({"IPAMConfig": {"IPv4Address": "10.9.9.9"}})),
            400,
            "invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 10.9.9.9",
        ),
    ] {
        let path = format!("/networks/{network}/connect");
        assert_eq!(api.refused("POST", &path, &body), (status, words.to_owned()), "{network} {body}");
    }
    let asked = json!({"IPAMConfig": {"IPv4Address": "10.222.0.140"}, "Aliases": ["ka"], "MacAddress": "02:42:0A:0a:0a:0a"});
    let reply = connect(&n2[..12], &on(asked));
    assert_eq!((reply.status, reply.text().as_str()), (200, ""));
    let n2 = api.networks_of("c1")["n2"].clone();
    assert_eq!(n2["IPAMConfig"], json!({"IPv4Address": "10.222.0.140"}));
    assert_eq!((&n2["IPAddress"], &n2["IPPrefixLen"]), (&json!("10.222.0.140"), &json!(24)));
    assert_eq!((&n2["MacAddress"], &n2["DNSNames"]), (&json!("02:42:0a:0a:0a:0a"), &json!(["c1", "ka", &id[..12]])));
    api.sleeper("c2", &json!({}));
    let taken = json!({"Container": "c2", "EndpointConfig": {"IPAMConfig": {"IPv4Address": "10.222.0.140"}}});
    assert_eq!(api.refused("POST", "/networks/n2/connect", &taken), (403, "Address already in use".to_owned()));

    let disconnect = |network: &str, body: &Value| {
        let reply = api.post(&format!("/networks/{network}/disconnect"), &body.to_string());
        (reply.status, if reply.status == 200 { String::new() } else { reply.message() })
    };
    let (c1, gone) = (json!({"Container": "c1"}), json!({"Container": "nosuch", "Force": true}));
    assert_eq!(disconnect("n2", &c1).0, 200);
    assert_eq!(disconnect("n2", &c1), (500, format!("container {id} is not connected to network n2")));
    assert_eq!(disconnect("n2", &json!({"Container": "nosuch"})), (404, "No such container: nosuch".to_owned()));
    assert_eq!(disconnect("n2", &gone), (404, "endpoint nosuch not found".to_owned()));
    assert_eq!(disconnect("nosuch", &c1), (404, "network nosuch not found".to_owned()));
    assert_eq!(api.networks_of("c1").as_object().unwrap().len(), 1);
    assert_eq!(connect("n2", &taken).status, 200, "the address is free again");
    assert_eq!(api.send("DELETE", "/networks/n2", "").status, 403);
    api.sleeper("on-host", &json!({"HostConfig": {"NetworkMode": "host"}}));
    assert_eq!(disconnect("host", &json!({"Container": "on-host"})).0, 400);
}

#[test]
fn connecting_and_disconnecting_what_does_not_run() {
    let api = Api::start();
    for name in ["n1", "n2"] {
        api.network(&json!({"Name": name}));
    }
    let id = api.create("co", &json!({"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "n1"}}));
    let with = |alias: &str| json!({"Container": "co", "EndpointConfig": {"Aliases": [alias]}}).to_string();
    for alias in ["first", "second"] {
        assert_eq!(api.post("/networks/n2/connect", &with(alias)).status, 200);
    }
    assert_eq!(api.networks_of("co")["n2"]["Aliases"], json!(["first"]));
    assert_eq!(api.refused("POST", "/networks/none/connect", &json!({"Container": "co"})).0, 400);
    let c = json!({"Container": "co"}).to_string();
    for network in ["n1", "n2"] {
        assert_eq!(api.post(&format!("/networks/{network}/disconnect"), &c).status, 200);
    }
    let again = api.refused("POST", "/networks/n1/disconnect", &json!({"Container": "co"}));
    assert_eq!(again, (500, format!("container {id} is not connected to the network n1")));
    // Off all networks it starts, and is on none; its mode does not bring it back.
    assert_eq!(api.post("/containers/co/start", "").status, 204);
    assert_eq!(api.networks_of("co"), json!({}));
    assert_eq!(api.get("/containers/co/json").json()["HostConfig"]["NetworkMode"], "n1");
    assert_eq!(api.post("/networks/n2/connect", &c).status, 200);
    assert!(api.networks_of("co")["n2"]["IPAddress"].as_str().unwrap().starts_with("172."));
}

#[test]
fn a_network_may_come_after_its_container() {
    let api = Api::start();
    api.create("co", &json!({"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "later"}}));
    let missing = api.refused("POST", "/containers/co/start", &Value::Null);
    assert_eq!(missing, (404, "failed to set up container networking: network later not found".to_owned()));
    let id = api.network(&json!({"Name": "later"}));
    assert_eq!(api.post("/containers/co/start", "").status, 204);
    assert_eq!(api.networks_of("co")["later"]["NetworkID"], id.as_str());
}

#[test]
fn filters_and_prune() {
    let api = Api::start();
    api.network(&json!({"Name": "web-front", "Labels": {"tier": "front"}}));
    api.network(&json!({"Name": "web-back", "Labels": {"tier": "back"}}));
    let lone = api.network(&json!({"Name": "lone", "Driver": "macvlan"}));
    api.sleeper("co", &json!({"HostConfig": {"NetworkMode": "web-front"}}));
    assert_eq!(api.names(&json!({"name": ["web"]})), ["web-back", "web-front"]);
    assert_eq!(api.names(&json!({"name": ["^web$"]})), [""; 0]);
    assert_eq!(api.names(&json!({"label": ["tier=back"]})), ["web-back"]);
    assert_eq!(api.names(&json!({"id": [&lone[..8]]})), ["lone"]);
    assert_eq!(api.names(&json!({"driver": ["macvlan", "null"]})), ["lone", "none"]);
    assert_eq!(api.names(&json!({"type": ["builtin"]})), ["bridge", "host", "none"]);
    assert_eq!(api.names(&json!({"scope": ["swarm"]})), [""; 0]);
    assert_eq!(api.names(&json!({"dangling": ["true"]})), ["lone", "web-back"]);
    assert_eq!(api.names(&json!({"dangling": ["false"]})), ["bridge", "host", "none", "web-front"]);
    for (filters, words) in [
        (
            "%7B%22dangling%22:%5B%22x%22%5D%7D",
            "invalid value for filter 'dangling', must be \"true\" (or \"1\"), or \"false\" (or \"0\")",
        ),
        ("%7B%22type%22:%5B%22x%22%5D%7D", "invalid filter: 'type'='x'"),
        ("%7B%22nosuch%22:%5B%22x%22%5D%7D", "invalid filter 'nosuch'"),
    ] {
        assert_eq!(api.refused("GET", &format!("/networks?filters={filters}"), &Value::Null), (400, words.to_owned()));
    }
    let front = "/networks/prune?filters=%7B%22label!%22:%5B%22tier=back%22%5D%7D";
    assert_eq!(api.post(front, "").json(), json!({"NetworksDeleted": ["lone"]}));
    assert_eq!(api.post("/networks/prune", "").json(), json!({"NetworksDeleted": ["web-back"]}));
    assert_eq!(api.post("/networks/prune", "").json(), json!({"NetworksDeleted": null}));
    assert_eq!(api.names(&json!({"type": ["custom"]})), ["web-front"]);
}

#[test]
fn events_of_networks() {
    let api = Api::start();
    let id = api.network(&json!({"Name": "n"}));
    let container = api.sleeper("co", &json!({"HostConfig": {"NetworkMode": "n"}}));
    api.post("/networks/bridge/connect", &json!({"Container": "co"}).to_string());
    api.post("/networks/bridge/disconnect", &json!({"Container": "co"}).to_string());
    assert_eq!(api.post("/containers/co/stop?t=0", "").status, 204);
    assert_eq!(api.send("DELETE", "/containers/co", "").status, 204);
    assert_eq!(api.send("DELETE", "/networks/n", "").status, 204);
    let until = time::OffsetDateTime::now_utc().unix_timestamp_nanos();
    let until = format!("{}.{:09}", until / 1_000_000_000, until % 1_000_000_000);
    let events: Vec<Value> = api
        .get(&format!("/events?since=1&until={until}"))
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told: Vec<String> = events
        .iter()
        .map(|e| {
            let name = if e["Type"] == "network" { e["Actor"]["Attributes"]["name"].as_str().unwrap() } else { "" };
            format!("{} {} {name}", e["Type"].as_str().unwrap(), e["Action"].as_str().unwrap())
        })
        .collect();
    let wanted = [
        "network create n",
        "container create ",
        "network connect n",
        "container start ",
        "network connect bridge",
        "network disconnect bridge",
        "container kill ",
        "network disconnect n",
        "container stop ",
        "container die ",
        "container destroy ",
        "network destroy n",
    ];
    assert_eq!(told, wanted);
    assert_eq!(events[0]["Actor"], json!({"ID": id, "Attributes": {"name": "n", "type": "bridge"}}));
    assert_eq!(events[2]["Actor"]["Attributes"], json!({"container": container, "name": "n", "type": "bridge"}));
}

#[test]
fn requests_about_networks_are_recorded_with_their_container() {
    let api = Api::start();
    api.network(&json!({"Name": "n"}));
    let id = api.running("co");
    api.post("/networks/n/connect", &json!({"Container": "co"}).to_string());
    let connect = api.committed().pop().unwrap();
    assert_eq!((connect.kind.as_ref(), connect.container_id.as_deref()), ("NetworkConnect", Some(id.as_str())));
}

/// A container of a compose project that publishes its port 80 on this port of the host.
fn service(project: &str, at: &str) -> Value {
    json!({
        "Image": "busybox", "Cmd": ["sleep", "1000"], "Labels": {"com.docker.compose.project": project},
        "ExposedPorts": {"80/tcp": {}}, "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": at}]}}
    })
}

#[test]
fn published_ports_are_shown_where_they_are() {
    let api = Api::start();
    let bindings = json!({"80/tcp": [{"HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": ""}], "82/tcp": null});
    let exposed = json!({"80/tcp": {}, "81/udp": {}, "82/tcp": {}});
    api.sleeper("web", &json!({"ExposedPorts": exposed, "HostConfig": {"PortBindings": bindings}}));
    let ports = api.get("/containers/web/json").json()["NetworkSettings"]["Ports"].clone();
    assert_eq!(ports["80/tcp"][0], json!({"HostIp": "0.0.0.0", "HostPort": "8080"}));
    assert_eq!(ports["80/tcp"][1]["HostIp"], "127.0.0.1");
    let chosen: u16 = ports["80/tcp"][1]["HostPort"].as_str().unwrap().parse().unwrap();
    assert_eq!((&ports["81/udp"], &ports["82/tcp"]), (&Value::Null, &Value::Null));
    let listed = api.get("/containers/json").json()[0]["Ports"].clone();
    assert_eq!(
        listed,
        json!([
            {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
            {"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": chosen, "Type": "tcp"},
            {"PrivatePort": 81, "Type": "udp"},
            {"PrivatePort": 82, "Type": "tcp"},
        ])
    );
    let id = api.get("/containers/web/json").json()["Id"].clone();
    assert_eq!(api.get("/containers/web/json").json()["NetworkSettings"]["SandboxID"], id);
    api.sleeper("all", &json!({"ExposedPorts": {"90/tcp": {}}, "HostConfig": {"PublishAllPorts": true}}));
    let ports = api.get("/containers/all/json").json()["NetworkSettings"]["Ports"].clone();
    assert_ne!(ports["90/tcp"][0]["HostPort"], json!(chosen.to_string()));
    for bad in [json!({"x/tcp": [{}]}), json!({"80/tcp": [{"HostPort": "90-80"}]})] {
        let body = json!({"Image": "busybox", "HostConfig": {"PortBindings": bad}});
        let (status, words) = api.refused("POST", "/containers/create", &body);
        assert!(status == 400 && words.starts_with("invalid port specification: "), "{status} {words}");
    }
}

#[test]
fn a_port_that_is_taken_is_named_with_its_holder() {
    let api = Api::start();
    api.create("web", &service("shop", "8080"));
    assert_eq!(api.post("/containers/web/start", "").status, 204);
    let id = api.create("other", &service("blog", "8080"));
    let (status, words) = api.refused("POST", "/containers/other/start", &Value::Null);
    let wanted = format!(
        "failed to set up container networking: driver failed programming external connectivity on endpoint other ({}): \
         Bind for 0.0.0.0:8080 failed: port is already allocated, held by container web of stack shop",
        &id[..12]
    );
    assert_eq!((status, words), (500, wanted.clone()));
    let state = api.get("/containers/other/json").json()["State"].clone();
    assert_eq!((&state["Status"], &state["ExitCode"], &state["Error"]), (&json!("created"), &json!(128), &json!(wanted)));
    assert_eq!(api.post("/containers/web/stop?t=0", "").status, 204);
    assert_eq!(api.post("/containers/other/start", "").status, 204);
}

#[test]
fn the_first_start_of_a_project_names_every_collision() {
    let api = Api::start();
    api.create("old-web", &service("shop", "8080"));
    api.create(
        "old-db",
        &json!({
            "Image": "busybox", "Cmd": ["sleep", "1000"],
            "HostConfig": {"PortBindings": {"5432/tcp": [{"HostIp": "127.0.0.1", "HostPort": "5432"}]}}
        }),
    );
    for name in ["old-web", "old-db"] {
        assert_eq!(api.post(&format!("/containers/{name}/start"), "").status, 204);
    }
    api.create("cache", &json!({"Image": "busybox", "Cmd": ["sleep", "9"], "Labels": {"com.docker.compose.project": "blog"}}));
    api.create("web", &service("blog", "8080"));
    api.create("db", &service("blog", "5432"));
    let (_, words) = api.refused("POST", "/containers/cache/start", &Value::Null);
    for part in [
        "endpoint web (",
        "Bind for 0.0.0.0:8080 failed: port is already allocated, held by container old-web of stack shop",
        "endpoint db (",
        "Bind for 0.0.0.0:5432 failed: port is already allocated, held by container old-db",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    // The project's own containers make way for those that replace them.
    api.create("new-web", &service("shop", "8080"));
    api.create("new-job", &service("shop", "8090"));
    assert_eq!(api.post("/containers/new-job/start", "").status, 204);
    assert_eq!(api.refused("POST", "/containers/new-web/start", &Value::Null).0, 500);
}

#[test]
fn links_of_the_default_bridge() {
    let api = Api::start();
    let link = |link: &str| json!({"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"Links": [link]}});
    let missing = api.refused("POST", "/containers/create", &link("nosuch:al"));
    assert_eq!(missing, (400, "could not get container for nosuch: No such container: nosuch".to_owned()));
    assert_eq!(api.refused("POST", "/containers/create", &link("db:al:x")).1, "bad format for links: db:al:x");
    api.create("db", &json!({"Image": "busybox", "Cmd": ["sleep", "1000"]}));
    api.create("web", &link("db:base"));
    let shown = |name: &str| api.get(&format!("/containers/{name}/json")).json()["HostConfig"]["Links"].clone();
    assert_eq!((shown("web"), shown("db")), (json!(["/db:/web/base"]), Value::Null));
    let idle = api.refused("POST", "/containers/web/start", &Value::Null);
    assert_eq!(idle, (409, "Cannot link to a non running container: /db AS /web/base".to_owned()));
    assert_eq!(api.post("/containers/db/start", "").status, 204);
    assert_eq!(api.post("/containers/web/start", "").status, 204);
    assert_eq!(api.post("/containers/db/rename?name=store", "").status, 204);
    assert_eq!(shown("web"), json!(["/store:/web/base"]));
    // What inspect shows makes the same container again.
    api.create("again", &link("/store:/web/base"));
    assert_eq!(shown("again"), json!(["/store:/again/base"]));
    // On a network that users made the endpoint has the links, and its containers may come later.
    api.network(&json!({"Name": "n"}));
    api.create("own", &json!({"Image": "busybox", "HostConfig": {"NetworkMode": "n", "Links": ["later:al"]}}));
    assert_eq!((shown("own"), &api.networks_of("own")["n"]["Links"]), (Value::Null, &json!(["later:al"])));
}

#[test]
fn newer_clients_are_told_of_addresses() {
    let api = Api::start();
    let pool = json!({"Subnet": "10.222.0.0/24", "IPRange": "10.222.0.128/25", "AuxiliaryAddresses": {"x": "10.222.0.5"}});
    api.network(&json!({"Name": "n", "IPAM": {"Config": [pool]}}));
    api.sleeper("on", &json!({"HostConfig": {"NetworkMode": "n"}}));
    let shown = api.get("/v1.52/networks/n").json();
    // Network, gateway, broadcast, the router, the container; the last two but one are in the range.
    let status = json!({"IPAM": {"Subnets": {"10.222.0.0/24": {"IPsInUse": 5, "DynamicIPsAvailable": 126}}}});
    assert_eq!(shown["Status"], status);
    assert!(api.get("/v1.51/networks/n").json().get("Status").is_none());
    let listed = |version: &str| api.get(&format!("/{version}/networks")).json()[0].get("Containers").cloned();
    assert_eq!((listed("v1.51"), listed("v1.52")), (Some(json!({})), None));
}

#[test]
fn of_many_that_want_a_name_one_gets_it_and_removals_do_not_cross_starts() {
    let api = Api::start();
    let made = std::thread::scope(|s| {
        let tries: Vec<_> = (0..12).map(|_| s.spawn(|| api.post("/networks/create", r#"{"Name":"one"}"#).status)).collect();
        tries.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(made.iter().filter(|s| **s == 201).count(), 1, "{made:?}");
    assert!(made.iter().all(|s| matches!(s, 201 | 409)), "{made:?}");
    // Whatever the order: a network that is gone has nobody on it, one that somebody is on is there.
    for round in 0..8 {
        let name = format!("c{round}");
        api.network(&json!({"Name": format!("n{round}")}));
        api.create(
            &name,
            &json!({"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": format!("n{round}")}}),
        );
        let (started, removed) = std::thread::scope(|s| {
            let start = s.spawn(|| api.post(&format!("/containers/{name}/start"), "").status);
            let remove = s.spawn(|| api.send("DELETE", &format!("/networks/n{round}"), "").status);
            (start.join().unwrap(), remove.join().unwrap())
        });
        assert!(matches!((started, removed), (204, 403) | (404, 204)), "{started} {removed}");
    }
}
