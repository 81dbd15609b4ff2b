//! Containers that do not start: what is told, and that nothing stays.

use crate::support::{Container, can_run};
use lighter_supervisor_proto::{Failure, Ready, Reply, Request, Stage, files};
use serde_json::json;
use std::fs;
use std::io::Read;

fn failure(container: &mut Container) -> Failure {
    match container.start() {
        Ready::Failed(failure) => failure,
        ready @ Ready::Started { .. } => panic!("{ready:?}"),
    }
}

fn failure_of(args: &[&str]) -> Failure {
    failure(&mut Container::new(args))
}

#[test]
fn programs_that_cannot_run() {
    if !can_run() {
        return;
    }
    let told = |stage, errno, message: &str| Failure { stage, errno: Some(errno), message: message.to_owned() };
    let absent = "exec: \"nosuch\": executable file not found in $PATH";
    assert_eq!(failure_of(&["nosuch"]), told(Stage::Lookup, libc::ENOENT, absent));
    let absent = "exec: \"/nosuch\": stat /nosuch: no such file or directory";
    assert_eq!(failure_of(&["/nosuch"]), told(Stage::Lookup, libc::ENOENT, absent));
    assert_eq!(failure_of(&["/etc"]), told(Stage::Lookup, libc::EISDIR, "exec: \"/etc\": is a directory"));
    assert_eq!(failure_of(&["/etc/passwd"]), told(Stage::Lookup, libc::EACCES, "exec: \"/etc/passwd\": permission denied"));
    let mut container = Container::new(&["/broken"]);
    fs::write(container.rootfs.upper.join("broken"), [0x7f, b'E', b'L', b'F', 0, 0]).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(container.rootfs.upper.join("broken"), mode).unwrap();
    assert_eq!(failure(&mut container), told(Stage::Exec, libc::ENOEXEC, "exec /broken: exec format error"));
}

#[test]
fn a_working_directory_that_is_absent_or_a_file() {
    if !can_run() {
        return;
    }
    for (cwd, errno) in [("/nosuch", libc::ENOENT), ("/etc/passwd", libc::ENOTDIR)] {
        let mut container = Container::new(&["true"]);
        container.spec["process"]["cwd"] = json!(cwd);
        let failure = failure(&mut container);
        assert_eq!((failure.stage, failure.errno), (Stage::WorkingDir, Some(errno)), "{}", failure.message);
    }
}

#[test]
fn set_up_that_cannot_be_done_is_told_with_its_cause_and_to_those_who_wait() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["true"]);
    container.rootfs.lower = vec!["/nosuch-layer".into()];
    let failed = failure(&mut container);
    assert_eq!((failed.stage, failed.errno), (Stage::Setup, Some(libc::ENOENT)), "{}", failed.message);
    let kept: Ready = serde_json::from_slice(&fs::read(container.launch.run_dir.join(files::READY)).unwrap()).unwrap();
    assert_eq!(kept, Ready::Failed(failed));

    let mut container = Container::new(&["true"]);
    container.spec["mounts"].as_array_mut().unwrap().push(json!({
        "destination": "/x", "type": "bind", "source": "/nosuch-source", "options": ["rbind"]
    }));
    let mut waiting = container.connect();
    waiting.send(&Request::Wait);
    let mut attached = container.connect();
    attached.send(&Request::Attach { stdin: true, stdout: true, stderr: true });
    let failed = failure(&mut container);
    assert_eq!(failed.stage, Stage::Setup);
    assert_eq!(waiting.reply(), Reply::Failed(failed));
    assert_eq!(attached.reply(), Reply::Ok);
    assert_eq!(attached.0.read(&mut [0]).unwrap(), 0, "only closed");
    assert!(!container.launch.run_dir.join(files::EXIT).exists());
}
