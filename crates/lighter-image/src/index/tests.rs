use serde_json::{Value, json};

use super::*;
use crate::fixtures::*;
use crate::remove::{RemoveOptions, Removed, Use};
use crate::{ErrorKind, LoadedImage};

const STATEMENT: &[u8] = br#"{"_type":"https://in-toto.io/Statement/v0.1","predicate":{}}"#;
const PREDICATE: &str = "https://slsa.dev/provenance/v0.2";

fn platform(architecture: &str) -> Platform {
    Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: String::new() }
}

/// An image for an architecture; its descriptor in an index, and its blobs.
fn image_for(architecture: &str) -> (Value, Vec<Item>) {
    let layers = [tar([file("shared", "by all")]), tar([file("for", architecture)])];
    let mut config: Value = serde_json::from_slice(&config(&layers)).unwrap();
    config["architecture"] = json!(architecture);
    let (mut descriptor, items) = oci_image(config.to_string().as_bytes(), &layers, gzip);
    descriptor["platform"] = json!({ "os": "linux", "architecture": architecture });
    (descriptor, items)
}

fn attestation_of(image: &Value) -> (Value, Vec<Item>) {
    let (mut layer, statement) = blob("application/vnd.in-toto+json", STATEMENT);
    layer["annotations"] = json!({ "in-toto.io/predicate-type": PREDICATE });
    let (config, config_item) = blob("application/vnd.oci.image.config.v1+json", b"{\"architecture\":\"unknown\"}");
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] }).to_string();
    let (mut descriptor, item) = blob("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
    descriptor["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    descriptor["annotations"] =
        json!({ "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image["digest"] });
    (descriptor, vec![statement, config_item, item])
}

/// A layout with `multi:1` for two architectures, one attested; a third is in the index only.
fn multi() -> Vec<u8> {
    let (host, other) = (Platform::host().architecture, "s390x");
    let (first, mut items) = image_for(other);
    let (second, more) = image_for(&host);
    let (attested, proofs) = attestation_of(&second);
    items.extend(more);
    items.extend(proofs);
    let absent = image_for("riscv64").0;
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [first, second, attested, absent] });
    let (mut top, item) = blob(OCI_INDEX, index.to_string().as_bytes());
    top["annotations"] = json!({ "io.containerd.image.name": "docker.io/library/multi:1" });
    items.push(item);
    oci_layout(&[top], items)
}

fn load(store: &ImageStore, archive: &[u8], platforms: &[Platform]) -> Result<Vec<LoadedImage>> {
    store.load_for(archive, platforms, &mut |_| {})
}

fn loaded() -> (tempfile::TempDir, ImageStore) {
    let (dir, store) = store();
    let told = load(&store, &multi(), &[]).unwrap();
    assert_eq!(told.iter().map(|image| image.names.join(" ")).collect::<Vec<_>>(), ["multi:1"]);
    (dir, store)
}

#[test]
fn one_name_for_several_platforms() {
    let (dir, store) = loaded();
    // The thread that puts layers on the disk would write into the next store.
    store.flush().unwrap();
    drop(store);
    // As it is found after a restart.
    let store = ImageStore::open(&dir.path().join("image")).unwrap();
    assert_eq!((store.list().len(), store.list_all().len()), (1, 2));
    let host = store.get("multi:1").unwrap();
    assert_eq!(host.config.architecture, Platform::host().architecture);
    let other = store.get_for("multi:1", &platform("s390x")).unwrap();
    assert!(other.companion && other.repo_tags.is_empty() && other.config.architecture == "s390x");
    assert_eq!(store.get_for(&host.id.to_string(), &platform("s390x")).unwrap().id, other.id);
    let error = store.get_for("multi:1", &platform("riscv64")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        "image with reference multi:1 was found but does not provide the specified platform (linux/riscv64)"
    );
    let all = store.manifests(&host);
    assert_eq!(all.target.media_type, OCI_INDEX);
    let available: Vec<_> = all.manifests.iter().map(|m| (m.available, m.content > 0, m.unpacked > 0)).collect();
    assert_eq!(available, [(true, true, true), (true, true, true), (true, true, false), (false, false, false)]);
    assert!(matches!(all.manifests[2].kind, ManifestKind::Attestation(of) if of == all.manifests[1].descriptor.digest));
    // Another tag has the index, too.
    store.tag("multi:1", "again", "2").unwrap();
    assert_eq!(store.get_for("again:2", &platform("s390x")).unwrap().id, other.id);
}

#[test]
fn attestations_are_found() {
    let (_dir, store) = loaded();
    let ask = |platform: &Platform, predicates: &[&str], bodies| {
        let predicates: Vec<_> = predicates.iter().map(ToString::to_string).collect();
        store.attestations("multi:1", platform, &predicates, bodies)
    };
    let all = ask(&Platform::host(), &[], true).unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].predicate.as_str(), all[0].body.as_deref()), (PREDICATE, Some(STATEMENT)));
    assert_eq!(ask(&Platform::host(), &[PREDICATE], false).unwrap()[0].body, None);
    assert!(ask(&Platform::host(), &["other"], false).unwrap().is_empty());
    assert!(ask(&platform("s390x"), &[], false).unwrap().is_empty());
    assert_eq!(ask(&platform("arm"), &[], false).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn an_index_is_saved_and_loaded_again() {
    let (_dir, first) = loaded();
    let index = first.get("multi:1").unwrap().index;
    let mut archive = Vec::new();
    first.save(&["multi:1"], &mut archive).unwrap();
    let (_dir, second) = store();
    assert_eq!(load(&second, &archive, &[]).unwrap().len(), 1);
    assert_eq!(second.get("multi:1").unwrap().index, index);
    assert_eq!(second.usage(), first.usage());
    assert_eq!(second.attestations("multi:1", &Platform::host(), &[], true).unwrap().len(), 1);
    let mut again = Vec::new();
    second.save(&["multi:1"], &mut again).unwrap();
    assert_eq!(again, archive);

    // One platform: a plain image of it.
    let mut one = Vec::new();
    first.resolve_save(&["multi:1"], &[platform("s390x")]).unwrap().write(&mut one).unwrap();
    let (_dir, third) = store();
    load(&third, &one, &[]).unwrap();
    assert_eq!(third.get("multi:1").unwrap().config.architecture, "s390x");
    assert_eq!((third.list_all().len(), third.get("multi:1").unwrap().index), (1, None));
    assert!(first.resolve_save(&["multi:1"], &[platform("arm")]).is_err());

    let (_dir, fourth) = store();
    load(&fourth, &archive, &[platform("s390x")]).unwrap();
    assert_eq!(fourth.get("multi:1").unwrap().config.architecture, "s390x");
    assert_eq!(load(&fourth, &archive, &[platform("riscv64")]).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(load(&fourth, &one, &[platform("arm")]).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn companions_go_with_the_last_name() {
    let (_dir, store) = loaded();
    let other = store.get_for("multi:1", &platform("s390x")).unwrap().id;
    store.tag("multi:1", "again", "2").unwrap();
    let remove = |name: &str| store.remove(name, RemoveOptions::default(), &|_| None).unwrap();
    assert_eq!(remove("multi:1").len(), 1);
    assert!(store.get_by_id(&other).is_some());
    assert!(remove("again:2").contains(&Removed::Deleted(other)));
    assert_empty(&store);
}

#[test]
fn a_used_companion_keeps_the_name() {
    let (_dir, store) = loaded();
    let other = store.get_for("multi:1", &platform("s390x")).unwrap().id;
    let used = |id: &ImageId| (*id == other).then(|| Use { container_id: "c".repeat(64), running: true });
    let error = store.remove("multi:1", RemoveOptions::default(), &used).unwrap_err();
    assert!(error.to_string().contains(&format!("is using its referenced image {}", other.short())), "{error}");
    let pruned = store.prune(&crate::PruneOptions { dangling_only: false, ..Default::default() }, &used).unwrap();
    assert!(pruned.removed.is_empty(), "{pruned:?}");
    // By force the name goes; what runs stays, as an image without a name.
    store.remove("multi:1", RemoveOptions { force: true, prune_parents: true }, &used).unwrap();
    assert_eq!(store.list().iter().map(|image| image.id).collect::<Vec<_>>(), [other]);
    store.prune(&crate::PruneOptions::default(), &|_| None).unwrap();
    assert_empty(&store);
}

#[test]
fn platforms_are_removed_one_by_one() {
    let (_dir, store) = loaded();
    let host = store.get("multi:1").unwrap().id;
    let other = store.get_for("multi:1", &platform("s390x")).unwrap().id;
    let remove = |architecture: &str, used: bool| {
        let user = |_: &ImageId| used.then(|| Use { container_id: "c".repeat(64), running: true });
        store.remove_platforms("multi:1", &[platform(architecture)], RemoveOptions::default(), &user)
    };
    assert_eq!(remove("arm", false).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(remove("s390x", true).unwrap_err().kind(), ErrorKind::Conflict);
    let gone = remove(&Platform::host().architecture, false).unwrap();
    assert_eq!(gone[0], Removed::Deleted(host));
    assert_eq!(store.get("multi:1").unwrap().id, other);
    assert_eq!(remove("s390x", false).unwrap()[0], Removed::Untagged("multi:1".to_owned(), other));
    assert_empty(&store);
}
