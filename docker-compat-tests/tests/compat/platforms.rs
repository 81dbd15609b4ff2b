//! Names that stand for images of several platforms: pulled, shown, saved, pushed and removed platform by platform, with
//! what builds attest of them. Ours only: dockerd knows them with its other image store.

use docker_compat_tests::recipe::{Packing, Recipe, host_architecture, tar_of};
use docker_compat_tests::registry::{INDEX, OCI, Registry, digest};
use docker_compat_tests::{Scope, http};
use serde_json::{Value, json};

const PREDICATE: &str = "https://slsa.dev/provenance/v0.2";
const STATEMENT: &str =
    r#"{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://slsa.dev/provenance/v0.2","predicate":{"n":1}}"#;

/// The platform as queries have it.
fn query(architecture: &str) -> String {
    http::encode(&format!(r#"{{"os":"linux","architecture":"{architecture}"}}"#))
}

/// Puts `multi:latest` there, for this machine (attested) and s390x; gives the index' digest.
fn put(t: &Scope, registry: &Registry) -> String {
    let of = |architecture: &'static str| {
        let layers = vec![(tar_of(&[("for", format!("{architecture}{}", t.mark).as_bytes())]), Packing::Gzip)];
        Recipe { architecture, label: t.mark.clone(), ..Recipe::new(true, layers) }.put(registry, "multi", "")
    };
    let (host, other) = (of(host_architecture()), of("s390x"));
    let blob = |bytes: &str, kind: &str| json!({"mediaType": kind, "size": bytes.len(), "digest": registry.blob("multi", bytes.as_bytes())});
    let mut layer = blob(STATEMENT, "application/vnd.in-toto+json");
    layer["annotations"] = json!({"in-toto.io/predicate-type": PREDICATE});
    let config = blob(r#"{"architecture":"unknown","os":"unknown"}"#, "application/vnd.oci.image.config.v1+json");
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": [layer]});
    let size = serde_json::to_vec(&manifest).unwrap().len();
    let attestation = json!({
        "mediaType": OCI, "size": size, "digest": registry.manifest("multi", "", OCI, &manifest),
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": host["digest"]},
    });
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [other, host, attestation]});
    registry.manifest("multi", "latest", INDEX, &index)
}

/// A registry with such an index, its digest, and its name; the image for this machine is pulled.
fn pulled(t: &Scope) -> Option<(Registry, String, String)> {
    if !t.daemon.is_lighter("its default image store keeps no indexes") {
        return None;
    }
    let registry = Registry::start();
    let (digest, name) = (put(t, &registry), registry.name("multi"));
    t.docker(&["pull", "-q", &name]).ok();
    Some((registry, digest, name))
}

fn inspect(t: &Scope, name: &str, query: &str) -> http::Response {
    t.daemon.http("GET", &format!("/v1.49/images/{name}/json?{query}"), None)
}

#[test]
fn pulled_shown_and_removed_one_by_one() {
    let t = Scope::new();
    let Some((_registry, digest, name)) = pulled(&t) else { return };
    let whole = inspect(&t, &name, "manifests=1").json();
    assert_eq!((&whole["Descriptor"]["digest"], &whole["Descriptor"]["mediaType"]), (&json!(digest), &json!(INDEX)));
    let shown = |whole: &Value| {
        let of = |m: &Value| format!("{} {}", m["Kind"].as_str().unwrap(), m["Available"]);
        whole["Manifests"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(shown(&whole), ["image false", "image true", "attestation true"]);
    assert_eq!(whole["Manifests"][2]["AttestationData"]["For"], whole["Manifests"][1]["ID"]);
    let refused = inspect(&t, &name, &format!("platform={}", query("s390x")));
    let words = format!("image with reference {name} was found but does not provide the specified platform (linux/s390x)");
    assert_eq!(refused.error(404), words);

    // The other platform comes beside it; the name leads to what was pulled last, as with dockerd.
    t.docker(&["pull", "-q", "--platform", "linux/s390x", &name]).ok();
    let list = t
        .daemon
        .http(
            "GET",
            &format!("/v1.51/images/json?manifests=1&filters={}", http::encode(&format!(r#"{{"reference":["{name}"]}}"#))),
            None,
        )
        .json();
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(shown(&list[0]), ["image true", "image true", "attestation true"]);
    assert_eq!(list[0]["RepoDigests"], json!([format!("{name}@{digest}")]));
    let of = |architecture: &str| inspect(&t, &name, &format!("platform={}", query(architecture))).json();
    assert_eq!(
        (&of("s390x")["Architecture"], &inspect(&t, &name, "").json()["Architecture"]),
        (&json!("s390x"), &json!("s390x"))
    );
    let host = of(host_architecture());
    assert_eq!(host["Architecture"], host_architecture());
    // A container of the one for this machine, by platform.
    let platform = format!("linux/{}", host_architecture());
    let container = t.docker(&["create", "--platform", &platform, &name, "true"]).ok().to_owned();
    assert_eq!(t.inspect(&container)["Image"], host["Id"]);
    let conflict = t.daemon.http("DELETE", &format!("/v1.51/images/{name}?platforms={}", query(host_architecture())), None);
    assert!(conflict.error(409).contains("image is being used by stopped container"), "{}", conflict.text());
    let conflict = t.docker(&["rmi", &name]);
    assert!(
        conflict.fails(1).contains(&format!("container {} is using its referenced image", &container[..12])),
        "{}",
        conflict.stderr
    );
    t.docker(&["rm", &container]).ok();

    let gone = t.daemon.http("DELETE", &format!("/v1.51/images/{name}?platforms={}", query("s390x")), None).json();
    assert!(gone[0]["Deleted"].is_string(), "{gone}");
    assert_eq!(inspect(&t, &name, "").json()["Id"], host["Id"]);
    let removed = t.docker(&["rmi", &name]);
    assert!(removed.ok().contains(&format!("Deleted: {}", host["Id"].as_str().unwrap())), "{}", removed.stdout);
}

#[test]
fn attestations() {
    let t = Scope::new();
    let Some((_registry, _, name)) = pulled(&t) else { return };
    let ask = |query: &str| t.daemon.http("GET", &format!("/images/{name}/attestations?{query}"), None);
    let all = ask("statement=1").json();
    let statement: Value = serde_json::from_str(STATEMENT).unwrap();
    assert_eq!(all[0]["PredicateType"], PREDICATE);
    assert_eq!(all[0]["Statement"], statement);
    assert_eq!(all[0]["Descriptor"]["digest"], digest(STATEMENT.as_bytes()));
    assert_eq!(all[0]["Descriptor"]["annotations"], json!({"in-toto.io/predicate-type": PREDICATE}));
    let short = ask(&format!("type={}", http::encode(PREDICATE))).json();
    assert!(short[0].get("Statement").is_none() && short.as_array().map(Vec::len) == Some(1), "{short}");
    assert_eq!(ask("type=other").json(), json!([]));
    assert_eq!(ask(&format!("platform={}", query("s390x"))).json(), json!([]));
    assert_eq!(ask(&format!("platform={}", query("arm"))).status, 404);
    assert_eq!(ask("platform=%7B%7D").error(400), "both OS and Architecture must be provided");
    assert_eq!(t.daemon.http("GET", "/images/busybox/attestations", None).json(), json!([]));
    t.docker(&["rmi", &name]).ok();
}

#[test]
fn saved_loaded_and_pushed_as_a_whole() {
    let t = Scope::new();
    let Some((registry, digest, name)) = pulled(&t) else { return };
    t.docker(&["pull", "-q", "--platform", "linux/s390x", &name]).ok();
    let (copy, other) = (registry.name("copy"), Registry::start());
    t.docker(&["tag", &name, &copy]).ok();
    let out = t.docker(&["push", &copy]);
    assert!(out.lines().last().unwrap().starts_with(&format!("latest: digest: {digest} size: ")), "{}", out.stdout);
    assert_eq!(registry.raw_manifest("copy", "latest")["manifests"].as_array().map(Vec::len), Some(3));
    // To a registry that has nothing of it.
    let far = other.name("far");
    t.docker(&["tag", &name, &far]).ok();
    assert!(t.docker(&["push", &far]).ok().contains(&digest));
    let single = t.daemon.http("POST", &format!("/v1.47/images/{far}/push?tag=latest&platform={}", query("s390x")), None);
    assert!(single.status == 200 && !single.text().contains(&digest) && single.text().contains("\"aux\""), "{}", single.text());
    assert!(other.raw_manifest("far", "latest").get("layers").is_some());

    let saved = t.daemon.http("GET", &format!("/images/{name}/get"), None).body;
    let one = t.daemon.http("GET", &format!("/images/{name}/get?platform={}", query("s390x")), None).body;
    let none = t.daemon.http("GET", &format!("/images/{name}/get?platform={}", query("arm")), None);
    assert_eq!(none.error(404), "no suitable export target found for platform linux/arm");
    t.docker(&["rmi", &name, &copy, &far]).ok();
    t.docker_with_input(&["load", "-q"], &saved).ok();
    let whole = inspect(&t, &name, "manifests=1").json();
    assert_eq!(whole["Descriptor"]["digest"], digest);
    assert!(whole["Manifests"].as_array().unwrap().iter().all(|m| m["Available"] == true), "{whole}");
    t.docker(&["rmi", &name]).ok();
    t.docker_with_input(&["load", "-q"], &one).ok();
    assert_eq!(inspect(&t, &name, "").json()["Architecture"], "s390x");
    t.docker(&["rmi", &name]).ok();
}
