//! Images, where the engine owns them.

use super::Fixture;
use super::support::left_out;
use crate::{ByteStream, Images, Progress};
use lighter_domain::image::{
    CollectableImage, ImageCollection, ImageDeleted, ImagePlatform, ImagePrune, ImageRemoval, ImageUser, ImageUsers, LoadedImage,
    ManifestKind,
};
use lighter_domain::{ContainerId, ErrorKind, Result};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;
use tokio::sync::mpsc;

/// SHA-256 of an empty archive: 1024 zero bytes.
const EMPTY_LAYER: &str = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

/// A docker archive of one image with an empty layer. `mark` makes its id its own.
fn archive(name: &str, mark: &str) -> Vec<u8> {
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","created":"2024-05-06T07:08:09.123456789Z","comment":"{mark}",
            "config":{{"Env":["PATH=/bin"],"Cmd":["true"],"Labels":{{"mark":"{mark}"}}}},
            "rootfs":{{"type":"layers","diff_ids":["sha256:{EMPTY_LAYER}"]}},
            "history":[{{"created":"2024-05-06T07:08:09Z","created_by":"conformance"}}]}}"#
    );
    let manifest = format!(r#"[{{"Config":"config.json","RepoTags":["{name}"],"Layers":["{EMPTY_LAYER}/layer.tar"]}}]"#);
    let mut tar = tar::Builder::new(Vec::new());
    let layer = vec![0; 1024];
    let layer_name = format!("{EMPTY_LAYER}/layer.tar");
    for (path, bytes) in
        [("config.json", config.as_bytes()), (&layer_name, layer.as_slice()), ("manifest.json", manifest.as_bytes())]
    {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, bytes).expect("a header");
    }
    tar.into_inner().expect("a buffer takes everything")
}

async fn load(images: &dyn Images, archive: Vec<u8>) -> Result<Vec<LoadedImage>> {
    let stream: ByteStream = Box::pin(Cursor::new(archive));
    let (sender, mut receiver) = mpsc::channel::<Progress>(4);
    let listener = tokio::spawn(async move { while receiver.recv().await.is_some() {} });
    let loaded = images.load(stream, &[], sender).await;
    listener.await.expect("no panic");
    loaded
}

fn untagged(name: &str, image: &str) -> ImageDeleted {
    ImageDeleted::Untagged { name: name.to_owned(), image: image.to_owned() }
}

async fn remove(images: &dyn Images, reference: &str, force: bool, users: &ImageUsers) -> Result<Vec<ImageDeleted>> {
    images.remove(&ImageRemoval { reference: reference.to_owned(), force, ..ImageRemoval::default() }, users).await
}

fn users(image: &str, running: bool, reference: &str) -> ImageUsers {
    let user = ImageUser { container_id: ContainerId::generate().as_str().to_owned(), running, reference: reference.to_owned() };
    ImageUsers(BTreeMap::from([(image.to_owned(), vec![user])]))
}

fn nobody() -> ImageUsers {
    ImageUsers::default()
}

pub async fn found_by_all_its_names(f: Arc<Fixture>) {
    let Some(images) = f.engine.images() else { return left_out(&f, "images") };
    assert!(images.list().await.expect("list").iter().any(|i| i.id == f.image_id && i.repo_tags.contains(&f.image)));
    let hex = f.image_id.strip_prefix("sha256:").expect("an id");
    let long = format!("docker.io/library/{}", f.image);
    let bare = f.image.strip_suffix(":latest").unwrap_or(&f.image);
    for name in [&f.image, &f.image_id, hex, &hex[..12], &long, bare] {
        assert_eq!(images.get(name).await.unwrap_or_else(|e| panic!("{name}: {e}")).id, f.image_id, "{name}");
    }
    assert!(images.disk_usage().await.is_ok());
}

pub async fn unknown_images_are_refused(f: Arc<Fixture>) {
    let Some(images) = f.engine.images() else { return left_out(&f, "images") };
    let error = images.get("nosuch").await.expect_err("no such image");
    assert_eq!((error.kind(), error.message()), (ErrorKind::NotFound, "No such image: nosuch:latest"));
    assert_eq!(remove(images, "nosuch:7", true, &nobody()).await.expect_err("none").kind(), ErrorKind::NotFound);
    assert_eq!(images.tag("nosuch", "other", "1").await.expect_err("none").kind(), ErrorKind::NotFound);
    assert_eq!(images.tag(&f.image, "UPPER", "1").await.expect_err("no name").kind(), ErrorKind::InvalidArgument);
    assert!(images.save(&["nosuch".to_owned()], &[]).await.is_err());
}

pub async fn tags_come_and_go(f: Arc<Fixture>) {
    let Some(images) = f.engine.images() else { return left_out(&f, "images") };
    assert_eq!(images.tag(&f.image, "conformance/one", "v1").await.expect("tag"), f.image_id);
    assert_eq!(images.tag("conformance/one:v1", "conformance/one", "v1").await.expect("tag again"), f.image_id);
    let image = images.get("conformance/one:v1").await.expect("get");
    assert_eq!(image.repo_tags.iter().filter(|t| *t == "conformance/one:v1").count(), 1);
    let removed = remove(images, "conformance/one:v1", false, &nobody()).await.expect("remove");
    assert_eq!(removed, [untagged("conformance/one:v1", &f.image_id)]);
    assert!(images.get("conformance/one:v1").await.is_err());
    assert_eq!(images.get(&f.image).await.expect("still there").id, f.image_id);
}

pub async fn used_images_stay(f: Arc<Fixture>) {
    let Some(images) = f.engine.images() else { return left_out(&f, "images") };
    let hex = f.image_id.strip_prefix("sha256:").expect("an id");
    for (reference, running, force) in
        [(&f.image, true, false), (&f.image, false, false), (&f.image_id, true, false), (&f.image_id, true, true)]
    {
        let users = users(&f.image_id, running, &f.image);
        let error = remove(images, reference, force, &users).await.expect_err("it is used");
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert!(error.message().starts_with("conflict: unable to "), "{error}");
        assert!(error.message().contains(&hex[..12]), "{error}");
    }
    assert_eq!(images.get(&f.image).await.expect("still there").id, f.image_id);
}

pub async fn a_loaded_image_can_be_used_and_removed(f: Arc<Fixture>) {
    let Some(images) = f.engine.images() else { return left_out(&f, "images") };
    let loaded = load(images, archive("conformance/load:1", "a")).await.expect("load");
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].names, ["conformance/load:1"]);
    let image = images.get("conformance/load:1").await.expect("get");
    assert_eq!(image.id, loaded[0].id);
    assert_eq!(image.config.cmd, Some(vec!["true".to_owned()]));
    assert_eq!(image.config.labels.get("mark").map(String::as_str), Some("a"));
    assert_eq!(image.layers, [format!("sha256:{EMPTY_LAYER}")]);
    assert_eq!(image.created.map(time::OffsetDateTime::nanosecond), Some(123_456_789));
    assert_eq!(image.history.len(), 1);

    // A second image under the same name takes the name away from the first.
    let second = load(images, archive("conformance/load:1", "b")).await.expect("load");
    assert_ne!(second[0].id, image.id);
    assert!(images.get(&image.id).await.expect("still there").repo_tags.is_empty());

    let removed = remove(images, "conformance/load:1", false, &nobody()).await.expect("remove");
    assert_eq!(removed.first(), Some(&untagged("conformance/load:1", &second[0].id)));
    assert!(removed.contains(&ImageDeleted::Deleted(second[0].id.clone())), "{removed:?}");
    remove(images, &image.id, false, &nobody()).await.expect("remove by id");
    assert_eq!(images.get(&image.id).await.expect_err("gone").kind(), ErrorKind::NotFound);
}

pub async fn a_cut_off_archive_leaves_nothing(f: Arc<Fixture>) {
    let Some(images) = f.engine.images() else { return left_out(&f, "images") };
    let before = images.list().await.expect("list").len();
    let whole = archive("conformance/cut:1", "c");
    for end in [0, 100, 700, whole.len() / 2] {
        load(images, whole[..end].to_vec()).await.expect_err("it is cut off");
        assert_eq!(images.list().await.expect("list").len(), before, "{end}");
    }
    load(images, b"this is no archive".to_vec()).await.expect_err("it is none");
    assert!(images.get("conformance/cut:1").await.is_err());
}

pub async fn prune_takes_what_nobody_uses(f: Arc<Fixture>) {
    let Some(images) = f.engine.images() else { return left_out(&f, "images") };
    let dangling = load(images, archive("conformance/prune:1", "old")).await.expect("load").remove(0).id;
    let tagged = load(images, archive("conformance/prune:1", "new")).await.expect("load").remove(0).id;
    let all = users(&f.image_id, false, &f.image);
    let prune = |dangling_only| ImagePrune { dangling_only, ..ImagePrune::default() };

    let pruned = images.prune(&prune(true), &all).await.expect("prune");
    assert!(pruned.deleted.contains(&ImageDeleted::Deleted(dangling.clone())), "{pruned:?}");
    assert!(images.get(&tagged).await.is_ok());
    let pruned = images.prune(&prune(false), &all).await.expect("prune");
    assert!(pruned.deleted.contains(&ImageDeleted::Deleted(tagged)), "{pruned:?}");
    assert_eq!(images.get(&f.image).await.expect("it is used").id, f.image_id);
}

pub async fn platforms_are_told_and_minded(f: Arc<Fixture>) {
    let Some(images) = f.engine.images() else { return left_out(&f, "images") };
    let image = images.get(&f.image).await.expect("get");
    let (architecture, os, variant) = (image.architecture.clone(), image.os.clone(), image.variant.clone());
    let own = ImagePlatform { architecture, os, variant };
    assert_eq!(images.get_for(&f.image, &own.to_string()).await.expect("its own").id, image.id);
    let error = images.get_for(&f.image, "linux/s390x").await.expect_err("another");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let words = format!(
        "image with reference {} was found but its platform ({own}) does not match the specified platform (linux/s390x)",
        f.image
    );
    assert_eq!(error.message(), words);
    let all = images.manifests(&image.id).await.expect("manifests");
    let [one] = &all.manifests[..] else { panic!("{all:?}") };
    let ManifestKind::Image { platform, id, .. } = &one.kind else { panic!("{one:?}") };
    assert_eq!((platform, id.as_ref(), one.available), (&own, Some(&image.id), true));
    assert_eq!(one.descriptor.digest, all.target.digest);
    assert!(images.attestations(&f.image, &Default::default()).await.expect("attestations").is_empty());
}

pub async fn collection_takes_what_nobody_uses_in_order(f: Arc<Fixture>) {
    let Some(images) = f.engine.images() else { return left_out(&f, "images") };
    let one = load(images, archive("conformance/gc:1", "one")).await.expect("load").remove(0).id;
    let two = load(images, archive("conformance/gc:2", "two")).await.expect("load").remove(0).id;
    let order = [&f.image_id, &one, &two].map(|id| CollectableImage { id: id.clone(), always: *id == one });
    let collection = |dry_run| ImageCollection { order: order.to_vec(), limit: None, dry_run };
    let used = users(&f.image_id, false, &f.image);
    let planned = images.collect(&collection(true), &used).await.expect("a plan");
    assert_eq!(planned.ids, std::slice::from_ref(&one));
    assert!(images.get(&one).await.is_ok(), "a plan changes nothing");
    assert_eq!(images.collect(&collection(false), &used).await.expect("collect"), planned);
    assert_eq!(images.get(&one).await.expect_err("gone").kind(), ErrorKind::NotFound);
    let order = [&f.image_id, &two].map(|id| CollectableImage { id: id.clone(), always: true });
    let all = ImageCollection { order: order.to_vec(), limit: None, dry_run: false };
    assert_eq!(images.collect(&all, &used).await.expect("collect").ids, [two]);
    assert_eq!(images.get(&f.image).await.expect("it is used").id, f.image_id);
}
