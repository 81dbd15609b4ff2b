//! What comes in later stages is refused in plain words, never dropped. Ours
//! only: dockerd does all of this.

use docker_compat_tests::Scope;

#[track_caller]
fn refused(t: &Scope, method: &str, path: &str, body: Option<&str>) {
    let answer = t.daemon.http(method, path, body);
    let message = answer.error(501);
    assert!(message.len() > 10 && message.contains(' '), "in plain words: {message:?}");
}

#[test]
fn later_stages_answer_501() {
    let t = Scope::new();
    if !t.daemon.is_lighter("it does all of this") {
        return;
    }
    refused(&t, "POST", "/build", None);
    let device = r#"{"Image":"busybox","HostConfig":{"DeviceRequests":[{"Count":-1,"Capabilities":[["gpu"]]}]}}"#;
    refused(&t, "POST", "/containers/create", Some(device));
}

#[test]
fn the_cli_shows_the_words() {
    let t = Scope::new();
    if !t.daemon.is_lighter("it does all of this") {
        return;
    }
    let out = t.docker(&["run", "--rm", "--gpus", "all", "busybox", "true"]);
    assert!(out.fails(125).contains("Error response from daemon: "), "{}", out.stderr);
}

#[test]
fn what_is_there_to_list_lists() {
    let t = Scope::new();
    // Tools list before they do anything; an empty or predefined list is no feature.
    let networks = t.docker(&["network", "ls", "--format", "{{.Name}}"]);
    for name in ["bridge", "host", "none"] {
        assert!(networks.lines().contains(&name), "{}", networks.stdout);
    }
    t.docker(&["volume", "ls"]).ok();
    assert_eq!(t.docker(&["network", "inspect", "-f", "{{.Driver}}", "bridge"]).ok(), "bridge");
}
