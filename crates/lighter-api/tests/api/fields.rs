//! Every field of a create request, sent with a value of its own: what happens is what the table of decisions says, and
//! what is kept comes back from `inspect`.

use crate::support::Api;
use lighter_engine::fields::{self, Decision};
use serde_json::{Value, json};

const ENGINE: &str = "memory";

/// Name and request body of each field.
fn samples() -> impl Iterator<Item = (&'static str, Value)> {
    let list = include_str!("../../../lighter-engine/fields.txt");
    list.lines().filter_map(|line| line.split_once('\t')).map(|(name, sample)| {
        let sample = sample.replace("@BLOCK@", "/dev/sda").replace("@OTHER@", "other").replace("@NET@", "net");
        let mut body: Value = serde_json::from_str(&sample).unwrap();
        body.as_object_mut().unwrap().entry("Image").or_insert("busybox".into());
        (name, body)
    })
}

#[test]
fn each_field_is_answered_as_the_table_says() {
    let api = Api::start();
    api.create("other", &json!({"Image": "busybox"}));
    let pools = json!([{"Subnet": "10.213.7.0/24"}, {"Subnet": "fd13:213::/64"}]);
    let net = json!({"Name": "net", "EnableIPv6": true, "IPAM": {"Config": pools}});
    assert_eq!(api.post("/networks/create", &net.to_string()).status, 201);
    let wrong: Vec<String> =
        samples().filter_map(|(name, body)| Some(format!("{name}: {}", problem(&api, name, &body)?))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(samples().count() > 150);
}

/// What is wrong about the answer to `body`, which sets the field `name`.
fn problem(api: &Api, name: &str, body: &Value) -> Option<String> {
    let field = fields::find(name).unwrap();
    let reply = api.post("/containers/create", &body.to_string());
    let (answer, said) = (reply.json(), reply.text());
    let flags = api.recorded().pop().unwrap().unsupported_flags;
    let warnings = answer["Warnings"].as_array().map_or(0, Vec::len);
    let warned = flags.iter().any(|f| f == field.name);
    let as_decided = match field.decision(ENGINE) {
        Decision::Honoured | Decision::Ignored(_) => reply.status == 201 && !warned && warnings == flags.len(),
        Decision::Warned(why) | Decision::Discarded(why) => reply.status == 201 && warned && said.contains(why),
        Decision::Refused(words) => reply.status == 400 && reply.message() == words,
        Decision::NotYet(_) => reply.status == 501,
    };
    if !as_decided {
        return Some(format!("{:?}, but {} {said} {flags:?}", field.decision(ENGINE), reply.status));
    }
    let id = answer["Id"].as_str()?;
    // Whatever is done about it, what was asked is kept.
    let shown = api.get(&format!("/containers/{id}/json")).json();
    assert_eq!(api.send("DELETE", &format!("/containers/{id}"), "").status, 204);
    (!kept(body, &shown)).then(|| format!("{body} became {} {}", shown["Config"], shown["HostConfig"]))
}

/// Whether `inspect` has all that was sent. Endpoints are shown as they are, not as they were asked for.
fn kept(sent: &Value, shown: &Value) -> bool {
    let config = sent.as_object().unwrap().iter().filter(|(key, _)| !matches!(key.as_str(), "HostConfig" | "NetworkingConfig"));
    // Not shown to clients of this version; and the older limits are dropped on arrival, as by dockerd. Links are shown as paths.
    let gone = ["MacAddress", "KernelMemory", "KernelMemoryTCP", "Links"];
    let config = config.filter(|(key, _)| !gone.contains(&key.as_str()));
    let host = sent["HostConfig"].as_object().into_iter().flatten().filter(|(key, _)| !gone.contains(&key.as_str()));
    config.into_iter().all(|(key, value)| within(value, &shown["Config"][key]))
        && host.into_iter().all(|(key, value)| within(value, &shown["HostConfig"][key]))
}

/// Whether everything in `small` is in `large`.
fn within(small: &Value, large: &Value) -> bool {
    match (small, large) {
        (Value::Object(small), Value::Object(large)) => {
            small.iter().all(|(key, value)| large.get(key).is_some_and(|l| within(value, l)))
        }
        (Value::Array(small), Value::Array(large)) if small.iter().all(Value::is_object) => {
            small.len() == large.len() && small.iter().zip(large).all(|(s, l)| within(s, l))
        }
        (Value::Array(small), Value::Array(large)) => small.iter().all(|value| large.contains(value)),
        (small, large) => small == large,
    }
}
