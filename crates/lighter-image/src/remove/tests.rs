use super::*;
use crate::fixtures::*;
use crate::{ErrorKind, NewImage};

fn add(store: &ImageStore, content: &str, tags: &[&str]) -> ImageId {
    let layers = [tar([file("base", "shared")]), tar([file("own", content)])];
    let archive = docker_archive(&config(&layers), &layers, tags, gzip);
    store.load(&archive[..], &mut |_| {}).unwrap().remove(0).id
}

fn add_child(store: &ImageStore, parent: ImageId, labels: &[(&str, &str)]) -> ImageId {
    let layers = [tar([file("base", "shared")]), tar([file("own", "child")])];
    let labels: BTreeMap<_, _> = labels.iter().copied().collect();
    let config = config_with(&layers, serde_json::json!({ "Labels": labels }));
    let stage = store.stage().unwrap();
    for layer in &layers {
        stage.add_layer(&layer[..], None).unwrap();
    }
    stage.commit(vec![NewImage { config, names: vec![], manifest: None, index: None, parent: Some(parent) }]).unwrap().remove(0)
}

const FORCE: RemoveOptions = RemoveOptions { force: true, prune_parents: true };
const CONTAINER: &str = "0123456789abcdef0123";

fn used(running: bool) -> impl Fn(&ImageId) -> Option<Use> {
    move |_| Some(Use { container_id: CONTAINER.to_owned(), running })
}

fn free(_: &ImageId) -> Option<Use> {
    None
}

fn remove(store: &ImageStore, name: &str) -> Result<Vec<Removed>> {
    store.remove(name, RemoveOptions::default(), &free)
}

#[test]
fn the_last_name_takes_the_image_along() {
    let (_dir, store) = store();
    let id = add(&store, "1", &["x:1", "x:2"]);
    let other = add(&store, "2", &["y:1"]);
    assert_eq!(remove(&store, "x:1").unwrap(), [Removed::Untagged("x:1".into(), id)]);
    let chain = chain_ids(store.get("x:2").unwrap().layers());
    let removed = remove(&store, "docker.io/library/x:2").unwrap();
    let expected = [Removed::Untagged("x:2".into(), id), Removed::Deleted(id), Removed::DeletedLayer(chain[1])];
    assert_eq!(removed, expected);
    assert_eq!(remove(&store, "x:2").unwrap_err().to_string(), "No such image: x:2");
    assert_eq!((store.list().len(), store.usage().layers_size), (1, 7));
    assert_eq!(remove(&store, &other.short()).unwrap().len(), 4);
    assert_empty(&store);
}

#[test]
fn conflicts_are_told_in_dockers_words() {
    let (_dir, store) = store();
    let id = add(&store, "1", &["x:1"]);
    let short = id.short();
    let fail = |name: &str, force, user: InUse<'_>| {
        let error = store.remove(name, RemoveOptions { force, prune_parents: true }, user).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        error.to_string()
    };
    assert_eq!(
        fail("x:1", false, &used(false)),
        format!(
            "conflict: unable to remove repository reference \"x:1\" (must force) - container 0123456789ab is using its referenced image {short}"
        )
    );
    assert_eq!(
        fail(&short, false, &used(false)),
        format!("conflict: unable to delete {short} (must be forced) - image is being used by stopped container 0123456789ab")
    );
    assert_eq!(
        fail(&short, true, &used(true)),
        format!("conflict: unable to delete {short} (cannot be forced) - image is being used by running container 0123456789ab")
    );
    store.tag("x:1", "y", "1").unwrap();
    assert_eq!(
        fail(&short, false, &free),
        format!("conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories")
    );
    // One of two names may go though a container runs.
    assert_eq!(store.remove("y:1", RemoveOptions::default(), &used(true)).unwrap().len(), 1);
    // Forced by name under a running container: the name goes, the image stays.
    assert_eq!(store.remove("x:1", FORCE, &used(true)).unwrap(), [Removed::Untagged("x:1".into(), id)]);
    assert!(store.get(&short).unwrap().is_dangling());
}

#[test]
fn an_image_under_a_stopped_container_keeps_its_layers() {
    let (_dir, store) = store();
    let id = add(&store, "1", &["x:1"]);
    let dirs = store.layer_dirs(&id).unwrap();
    assert_eq!(store.remove(&id.hex(), FORCE, &used(false)).unwrap().len(), 2);
    assert!(store.get(&id.hex()).is_err() && store.list().is_empty());
    let root = store.inner.root.clone();
    store.flush().unwrap();
    drop(store);
    let store = ImageStore::open(&root).unwrap();
    assert_eq!(store.layer_dirs(&id).unwrap(), dirs);
    assert!(dirs.iter().all(|dir| dir.is_dir()));
    store.collect_detached(&used(false)).unwrap();
    assert!(store.layer_stack(&id).is_ok());
    store.collect_detached(&free).unwrap();
    assert!(store.layer_stack(&id).is_err());
    assert_empty(&store);
}

#[test]
fn a_detached_image_comes_back_when_loaded_again() {
    let (_dir, store) = store();
    let id = add(&store, "1", &["x:1"]);
    store.remove("x:1", FORCE, &used(false)).unwrap();
    assert_eq!(add(&store, "1", &["x:1"]), id);
    store.collect_detached(&free).unwrap();
    assert_eq!(store.get("x:1").unwrap().id, id);
}

#[test]
fn parents_without_a_name_go_with_their_last_child() {
    let (_dir, store) = store();
    let parent = add(&store, "1", &[]);
    let child = add_child(&store, parent, &[]);
    let error = remove(&store, &parent.hex()).unwrap_err().to_string();
    assert!(error.ends_with("(cannot be forced) - image has dependent child images"), "{error}");
    let removed = remove(&store, &child.hex()).unwrap();
    assert!(removed.contains(&Removed::Deleted(child)) && removed.contains(&Removed::Deleted(parent)));
    assert_empty(&store);
}

#[test]
fn digests_go_with_the_last_tag_of_their_repository() {
    let (_dir, store) = store();
    let id = add(&store, "1", &["x:1"]);
    let digest = format!("x@sha256:{}", "a".repeat(64));
    let name = Reference::parse(&digest).unwrap();
    store.inner.change(|state| Ok(state.names.insert(name, id))).unwrap();
    assert_eq!(store.get(&digest).unwrap().repo_digests.join(" "), digest);
    assert_eq!(store.get(&digest.replace('@', ":ignored@")).unwrap().id, id);
    let removed = remove(&store, "x:1").unwrap();
    assert_eq!(removed[..2], [Removed::Untagged("x:1".into(), id), Removed::Untagged(digest, id)]);
    assert_empty(&store);
}

#[test]
fn finds_by_short_id_and_tells_when_it_is_not_enough() {
    let (_dir, store) = store();
    let ids: Vec<_> = (0..40).map(|n| add(&store, &n.to_string(), &[]).hex()).collect();
    let shared = ids.iter().find(|id| ids.iter().filter(|other| other[..1] == id[..1]).count() > 1).unwrap();
    assert!(matches!(store.get(&shared[..1]), Err(Error::AmbiguousId(_))));
    for id in &ids {
        assert_eq!(store.get(&id[..12]).unwrap().id.hex(), *id);
        assert_eq!(store.get(&format!("sha256:{}", &id[..12])).unwrap().id.hex(), *id);
        assert_eq!(store.get(id).unwrap().id.hex(), *id);
    }
    // A name wins over the beginning of an id.
    store.tag(&ids[0], &ids[1][..12], "").unwrap();
    assert_eq!(store.get(&ids[1][..12]).unwrap().id.hex(), ids[0]);
    assert_eq!(store.get("Bad Name").unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(store.tag("nope", "x", "").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn prune_takes_what_it_is_told_to() {
    let (_dir, store) = store();
    let tagged = add(&store, "1", &["x:1"]);
    let dangling = add(&store, "2", &[]);
    let in_use = add(&store, "3", &[]);
    let busy = move |id: &ImageId| (*id == in_use).then(|| Use { container_id: CONTAINER.into(), running: false });
    let until = |text| PruneOptions { until: crate::store::parse_time(text), ..PruneOptions::default() };
    assert_eq!(store.prune(&until("2020-01-01T00:00:00Z"), &busy).unwrap(), PruneReport::default());
    let label = |value: &str, negated| PruneOptions {
        labels: vec![LabelFilter { key: "a".into(), value: Some(value.into()), negated }],
        ..PruneOptions::default()
    };
    assert_eq!(store.prune(&label("b", true), &busy).unwrap(), PruneReport::default());
    assert_eq!(store.prune(&label("c", false), &busy).unwrap(), PruneReport::default());
    let report = store.prune(&label("b", false), &busy).unwrap();
    assert_eq!(report.space_reclaimed, 1);
    assert_eq!(report.removed[0], Removed::Deleted(dangling));
    let all = PruneOptions { dangling_only: false, ..PruneOptions::default() };
    let report = store.prune(&all, &busy).unwrap();
    assert_eq!(report.removed[..2], [Removed::Untagged("x:1".into(), tagged), Removed::Deleted(tagged)]);
    assert_eq!((report.space_reclaimed, store.list().len()), (1, 1));
    assert_eq!(store.prune(&all, &free).unwrap().space_reclaimed, 7);
    assert_empty(&store);
}

#[test]
fn usage_counts_shared_layers() {
    let (_dir, store) = store();
    let a = add(&store, "1", &[]);
    assert_eq!(store.usage().images[0].shared_size, 0);
    add(&store, "22", &[]);
    let usage = store.usage();
    assert_eq!(usage.layers_size, 6 + 1 + 2);
    let of_a = usage.images.iter().find(|image| image.id == a).unwrap();
    assert_eq!((of_a.size, of_a.shared_size), (7, 6));
    let history = store.history(&store.get_by_id(&a).unwrap());
    assert_eq!(
        history.iter().map(|item| (item.id.as_str(), item.size)).collect::<Vec<_>>(),
        [(a.to_string().as_str(), 1), ("<missing>", 6)]
    );
}
