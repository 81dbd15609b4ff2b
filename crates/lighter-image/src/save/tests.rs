use super::*;
use crate::ImageId;
use crate::fixtures::*;

fn load(store: &ImageStore, layers: &[Vec<u8>], tags: &[&str], pack: fn(&[u8]) -> Vec<u8>) -> ImageId {
    let archive = docker_archive(&config(layers), layers, tags, pack);
    store.load(&archive[..], &mut |_| {}).unwrap().remove(0).id
}

fn save(store: &ImageStore, names: &[&str]) -> Vec<u8> {
    let mut archive = Vec::new();
    store.save(names, &mut archive).unwrap();
    archive
}

#[test]
fn what_is_saved_loads_as_the_same_images() {
    let (_dir, first) = store();
    let shared = tar([dir("a/"), file("a/f", vec![3; 100_000]), file("a/f", "replaced"), hard_link("l", "a/f")]);
    let one = load(&first, &[shared.clone(), tar([file("x", "1")])], &["one:1", "example.com:5000/one:2"], |d| d.to_vec());
    let two = load(&first, &[shared, tar([file("x", "2")])], &["two:latest"], gzip);
    let three = load(&first, &[tar([file("x", "3")])], &["three:1", "three:2"], zstd);
    let id = three.to_string();
    let archive = save(&first, &["one:1", "two", "one:1", "example.com:5000/one:2", &id]);
    assert_eq!(archive, save(&first, &["one:1", "two", "one:1", "example.com:5000/one:2", &id]), "not deterministic");

    let (_dir, second) = store();
    let loaded = second.load(&archive[..], &mut |_| {}).unwrap();
    let names: Vec<_> = loaded.iter().map(|image| (image.id, image.names.join(" "))).collect();
    let expected = [(one, "one:1 example.com:5000/one:2"), (two, "two:latest"), (three, "")];
    assert_eq!(names, expected.map(|(id, names)| (id, names.to_owned())));
    assert_eq!(second.usage(), first.usage());
    let again = save(&second, &["one:1", "two", "example.com:5000/one:2", &id]);
    assert_eq!(again, archive);

    // As an OCI layout alone it is the same too.
    let mut stripped = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(&archive[..]).entries().unwrap() {
        let entry = entry.unwrap();
        if !matches!(entry.path().unwrap().to_str(), Some("manifest.json" | "repositories")) {
            stripped.append(&entry.header().clone(), entry).unwrap();
        }
    }
    let (_dir, third) = store();
    let loaded = third.load(&stripped.into_inner().unwrap()[..], &mut |_| {}).unwrap();
    assert_eq!(loaded.iter().map(|image| image.id).collect::<Vec<_>>(), [one, two, three]);
    assert_eq!(third.get("one:1").unwrap().repo_tags, ["one:1", "example.com:5000/one:2"]);
}

#[test]
fn a_name_without_a_tag_takes_all_tags_along() {
    let (_dir, store) = store();
    load(&store, &[tar([file("x", "1")])], &["x:1", "x:2", "y:1"], gzip);
    load(&store, &[tar([file("x", "2")])], &["x:3"], gzip);
    let plan = store.resolve_save(&["x"], &[]).unwrap();
    let names: Vec<_> = plan.images.iter().flat_map(|image| &image.names).map(Reference::familiar).collect();
    assert_eq!(names, ["x:1", "x:2", "x:3"]);
    let error = store.resolve_save(&["x", "nothing"], &[]).unwrap_err();
    assert_eq!(error.to_string(), "No such image: nothing");
    assert_eq!(store.resolve_save(&["x:9"], &[]).unwrap_err().to_string(), "No such image: x:9");
}

#[test]
fn an_image_removed_meanwhile_is_saved_all_the_same() {
    let (_dir, store) = store();
    load(&store, &[tar([file("x", "1")])], &["x:1"], |d| d.to_vec());
    let before = save(&store, &["x:1"]);
    let plan = store.resolve_save(&["x:1"], &[]).unwrap();
    store.remove("x:1", crate::RemoveOptions::default(), &|_| None).unwrap();
    let mut archive = Vec::new();
    plan.write(&mut archive).unwrap();
    assert_eq!(archive, before);
    drop(plan);
    assert_empty(&store);
}

#[test]
fn a_failing_writer_and_a_damaged_layer_are_errors() {
    let (_dir, store) = store();
    let id = load(&store, &[tar([file("x", vec![1; 10_000])])], &["x:1"], |d| d.to_vec());
    let mut small = [0; 5000];
    assert!(matches!(store.save(&["x:1"], &mut small[..]), Err(Error::Output(_))));
    std::fs::write(store.layer_dirs(&id).unwrap()[0].join("x"), vec![2; 10_000]).unwrap();
    assert!(matches!(store.save(&["x:1"], std::io::sink()), Err(Error::DamagedContent(_))));
    assert_eq!(listing(&store.inner.root.join("tmp")), Vec::<String>::new());
}
