//! Networks that only hold a configuration, on the memory engine.

use crate::support::Api;
use serde_json::{Value, json};

#[test]
fn a_configuration_and_who_has_it() {
    let api = Api::start();
    let pools = json!([{"Subnet": "fd00:77::/64"}, {"Subnet": "10.222.0.0/24"}]);
    api.network(&json!({"Name": "c", "ConfigOnly": true, "EnableIPv6": true, "IPAM": {"Config": pools}, "Labels": {"a": "b"}}));
    api.network(&json!({"Name": "n", "ConfigFrom": {"Network": "c"}, "Internal": true}));
    let (c, n) = (api.get("/networks/c").json(), api.get("/networks/n").json());
    assert_eq!((&c["Driver"], &c["ConfigOnly"], &c["ConfigFrom"]["Network"]), (&json!("null"), &json!(true), &json!("")));
    assert_eq!(c["IPAM"]["Config"], json!([{"Subnet": "10.222.0.0/24"}, {"Subnet": "fd00:77::/64"}]));
    assert_eq!((&n["Driver"], &n["ConfigOnly"], &n["ConfigFrom"]["Network"]), (&json!("bridge"), &json!(false), &json!("c")));
    assert_eq!((&n["EnableIPv6"], &n["Labels"], &n["Internal"]), (&json!(true), &c["Labels"], &json!(true)));
    api.create("kk", &json!({"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "c"}}));
    let words = "failed to set up container networking: cannot create endpoint on configuration-only network";
    assert_eq!(api.refused("POST", "/containers/kk/start", &Value::Null), (403, words.to_owned()));
    let words = "error while removing network: configuration network \"c\" is in use";
    assert_eq!(api.refused("DELETE", "/networks/c", &Value::Null), (403, words.to_owned()));
    assert_eq!(api.post("/networks/prune", "").json()["NetworksDeleted"], json!(["n"]));
    assert_eq!(api.names(&json!({"type": ["custom"]})), ["c"]);
    assert_eq!(api.send("DELETE", "/networks/c", "").status, 204);
}
