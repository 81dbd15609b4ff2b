//! kill -9 in the middle of a pull: nothing of the image is there, and the next pull goes on with what is good.

use docker_compat_tests::daemon::scratch;
use docker_compat_tests::proxy::{Fault, Proxy};
use docker_compat_tests::recipe::{Packing, Recipe, noise, tar_of};
use docker_compat_tests::registry::Registry;
use docker_compat_tests::{Daemon, eventually};

use crate::survival::reference;

#[test]
fn killed_while_pulling() {
    if reference() {
        return;
    }
    let registry = Registry::start();
    let layers = (1..=3).map(|n| (tar_of(&[(&format!("f{n}"), &noise(n, 1_000_000))]), Packing::Gzip)).collect();
    Recipe::new(true, layers).put(&registry, "x", "latest");
    // The configuration comes first; of the three layers the last is held back.
    let proxy = Proxy::start(registry.port, {
        let blobs = std::sync::Mutex::new(Vec::new());
        move |seen, before| {
            if !seen.is_blob() {
                return Fault::None;
            }
            let mut blobs = blobs.lock().unwrap();
            if !blobs.contains(&seen.path) {
                blobs.push(seen.path.clone());
            }
            let at = blobs.iter().position(|b| *b == seen.path).unwrap();
            if at == 3 && before == 0 { Fault::Hold(400_000) } else { Fault::None }
        }
    });
    let roots = scratch("pull");
    let daemon = Daemon::start_in(&roots, &[]);
    let pull = daemon.spawn(&["pull", &proxy.name("x")]);
    let partial = roots.join("data/image/partial");
    let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |m| m.len());
    eventually("two layers are there and some of the third", || {
        let sizes: Vec<u64> = std::fs::read_dir(&partial).ok()?.flatten().map(|e| size(&e.path())).collect();
        (sizes.iter().filter(|s| **s > 900_000).count() == 2 && sizes.iter().any(|s| *s > 100_000 && *s < 900_000)).then_some(())
    });
    daemon.kill_nine();
    drop(pull);
    proxy.release();
    let daemon = Daemon::start_in(&roots, &[]);
    assert_eq!(daemon.http("GET", &format!("/images/{}/json", proxy.name("x")), None).status, 404);
    assert_eq!(daemon.docker(&["images", "-aq"]).ok(), "");
    let before = proxy.blobs().len();
    daemon.docker(&["pull", &proxy.name("x")]).ok();
    let again: Vec<String> = proxy.blobs()[before..].iter().map(|b| b.header("range").to_owned()).collect();
    // The configuration anew, and the rest of the one layer; of another the last bytes may have been under way.
    let (rests, whole): (Vec<_>, Vec<_>) = again.iter().partition(|range| range.starts_with("bytes="));
    assert_eq!(whole.len(), 1, "{again:?}");
    assert!(matches!(rests.len(), 1 | 2), "{again:?}");
    assert_eq!(std::fs::read_dir(&partial).unwrap().count(), 0, "nothing is left of the download");
    assert_eq!(std::fs::read_dir(roots.join("data/image/tmp")).unwrap().count(), 0);
}
