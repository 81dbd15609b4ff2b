//! The daemon dies under a container that has an image mounted.

use crate::survival::{Subject, reference, run};

#[test]
fn a_mounted_image_stays() {
    if reference() {
        return;
    }
    let (subject, first) = Subject::new("image-mount");
    let tar = docker_compat_tests::recipe::tar_of(&[("file", b"kept")]);
    first.docker_with_input(&["import", "-", "data:1"], &tar).ok();
    let mount = ["--mount", "type=image,source=data:1,target=/x"];
    let id = run(&first, &mount, "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done");
    let idle = first.docker(&["create", mount[0], mount[1], "--network", "none", "busybox", "cat", "/x/file"]).ok().to_owned();
    first.kill_nine();
    let second = subject.again();
    assert_eq!(second.docker(&["exec", &id, "cat", "/x/file"]).ok(), "kept");
    let words = "(cannot be forced) - image is being used by running container";
    let image = second.docker(&["image", "inspect", "-f", "{{.Id}}", "data:1"]).ok().to_owned();
    assert!(second.docker(&["rmi", "-f", &image]).fails(1).contains(words));
    assert_eq!(second.docker(&["start", "-a", &idle]).ok(), "kept");
    second.docker(&["restart", "-t", "5", &id]).ok();
    assert_eq!(second.docker(&["exec", &id, "cat", "/x/file"]).ok(), "kept");
    second.docker(&["rm", "-f", &id]).ok();
    // Removed by force it is gone once the last container is.
    second.docker(&["rmi", "-f", "data:1"]).ok();
    assert_eq!(second.docker(&["start", "-a", &idle]).ok(), "kept");
    second.docker(&["rm", &idle]).ok();
}
