//! `docker run`: who and where the process is, and what it is told.

use docker_compat_tests::{Scope, cli};

#[test]
fn hello_from_the_image() {
    let t = Scope::new();
    assert_eq!(t.docker(&["run", "--rm", "--network", "none", "busybox", "echo", "hello"]).ok(), "hello");
}

#[test]
fn standard_error_and_output_stay_apart() {
    let t = Scope::new();
    let out = t.docker(&["run", "--rm", "--network", "none", "busybox", "sh", "-c", "echo out; echo err >&2"]);
    out.ok();
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("out\n", "err\n"));
}

#[test]
fn environment_of_image_and_flags() {
    let t = Scope::new();
    let env = t.sh(&["-e", "A=1", "-e", "B=two words", "--env", "EMPTY=", "-e", "A=2"], "env");
    let has = |line: &str| env.lines().any(|l| l == line);
    assert!(has("A=2") && !has("A=1"), "the last value wins: {env}");
    assert!(has("B=two words"), "{env}");
    assert!(has("EMPTY="), "{env}");
    assert!(has("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), "{env}");
    assert!(has("HOME=/root"), "{env}");
    assert!(env.lines().any(|l| l.starts_with("HOSTNAME=") && l.len() == "HOSTNAME=".len() + 12), "{env}");
    assert!(!env.contains("TERM="), "no terminal, no TERM: {env}");
}

#[test]
fn environment_file() {
    let t = Scope::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("env");
    std::fs::write(&file, "# a comment\nFROM_FILE=yes\nQUOTED=\"kept\"\n\nSPACED=a b\n").unwrap();
    let env = t.sh(&["--env-file", file.to_str().unwrap(), "-e", "X=1"], "env");
    for line in ["FROM_FILE=yes", "QUOTED=\"kept\"", "SPACED=a b", "X=1"] {
        assert!(env.lines().any(|l| l == line), "{line} in {env}");
    }
}

#[test]
fn term_is_set_on_a_terminal() {
    let t = Scope::new();
    let out =
        t.spawn_on_tty(24, 80, &["run", "--rm", "-t", "--network", "none", "busybox", "sh", "-c", "echo TERM=$TERM"]).wait();
    assert_eq!(out.ok().trim(), "TERM=xterm");
}

#[test]
fn entrypoint_replaces_and_resets() {
    let t = Scope::new();
    let out = t.docker(&["run", "--rm", "--network", "none", "--entrypoint", "echo", "busybox", "a", "b"]);
    assert_eq!(out.ok(), "a b", "arguments go to the entry point");
    // An entry point on the command line drops the image's command.
    let id = t.docker(&["create", "--entrypoint", "id", "busybox"]).ok().to_owned();
    let shown = t.inspect(&id);
    assert_eq!(shown["Config"]["Entrypoint"], serde_json::json!(["id"]));
    assert_eq!(shown["Config"]["Cmd"], serde_json::Value::Null);
    assert_eq!(shown["Path"], "id");
    assert_eq!(shown["Args"], serde_json::json!([]));
    // An empty one resets the image's.
    let out = t.docker(&["run", "--rm", "--network", "none", "--entrypoint", "", "busybox", "echo", "x"]);
    assert_eq!(out.ok(), "x");
}

#[test]
fn image_command_is_the_default() {
    let t = Scope::new();
    let out = t.docker_with_input(&["run", "--rm", "-i", "--network", "none", "busybox"], b"echo from $0\nexit 7\n");
    assert_eq!(out.fails(7), "");
    assert_eq!(out.stdout, "from sh\n");
}

#[test]
fn working_directory_is_made() {
    let t = Scope::new();
    assert_eq!(t.sh(&["-w", "/made/for/this"], "pwd; ls -ld . | cut -c1-10"), "/made/for/this\ndrwxr-xr-x");
    assert_eq!(t.sh(&["-w", "/tmp"], "pwd"), "/tmp");
    let out = t.docker(&["run", "--rm", "--network", "none", "-w", "relative", "busybox", "pwd"]);
    let text = out.fails(125);
    assert!(text.contains("the working directory 'relative' is invalid, it needs to be an absolute path"), "{text}");
}

#[test]
fn user_by_name_number_and_group() {
    let t = Scope::new();
    let id = "echo $(id -u):$(id -g) $(id -G)";
    assert_eq!(t.sh(&[], id), "0:0 0 10");
    assert_eq!(t.sh(&["-u", "app"], id), "1000:1000 1000 2000");
    assert_eq!(t.sh(&["-u", "1000"], id), "1000:1000 1000 2000");
    assert_eq!(t.sh(&["-u", "nobody:daemon"], id), "65534:1 1");
    assert_eq!(t.sh(&["-u", "4242:4343"], id), "4242:4343 4343");
    assert_eq!(t.sh(&["-u", "4242"], id), "4242:0 0");
    assert_eq!(t.sh(&["-u", "app"], "echo $HOME"), "/home/app");
    assert_eq!(t.sh(&["-u", "4242"], "echo $HOME"), "/");
}

#[test]
fn unknown_user_and_group_are_refused() {
    let t = Scope::new();
    let out = t.docker(&["run", "--rm", "--network", "none", "-u", "ghost", "busybox", "true"]);
    let text = out.fails(125);
    assert!(text.contains("unable to find user ghost: no matching entries in passwd file"), "{text}");
    let out = t.docker(&["run", "--rm", "--network", "none", "-u", "root:ghosts", "busybox", "true"]);
    let text = out.fails(125);
    assert!(text.contains("unable to find group ghosts: no matching entries in group file"), "{text}");
}

#[test]
fn supplementary_groups() {
    let t = Scope::new();
    let groups = t.sh(&["-u", "app", "--group-add", "wheel", "--group-add", "7777"], "id -G");
    assert_eq!(groups, "1000 10 2000 7777");
}

#[test]
fn labels() {
    let t = Scope::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("labels");
    std::fs::write(&file, "from.file=yes\n").unwrap();
    let id =
        t.docker(&["create", "-l", "a=1", "--label", "bare", "--label-file", file.to_str().unwrap(), "busybox"]).ok().to_owned();
    let labels = t.inspect(&id)["Config"]["Labels"].clone();
    assert_eq!(labels["a"], "1");
    assert_eq!(labels["bare"], "");
    assert_eq!(labels["from.file"], "yes");
    let shown = t.docker(&["ps", "-a", "--filter", &format!("id={id}"), "--format", "{{.Label \"a\"}}|{{.Labels}}"]);
    assert!(shown.ok().starts_with("1|") && shown.ok().contains("bare="), "{}", shown.stdout);
}

#[test]
fn hostname_and_hosts_files() {
    let t = Scope::new();
    let out = t.sh(
        &["--hostname", "box", "--domainname", "example.test"],
        "hostname; cat /etc/hostname; cat /proc/sys/kernel/domainname",
    );
    assert_eq!(out, "box\nbox\nexample.test");
    let hosts = t.sh(&["--add-host", "peer:10.1.2.3"], "cat /etc/hosts");
    assert!(hosts.lines().any(|l| l == "127.0.0.1\tlocalhost"), "{hosts}");
    assert!(hosts.lines().any(|l| l == "::1\tlocalhost ip6-localhost ip6-loopback"), "{hosts}");
    assert!(hosts.lines().any(|l| l == "10.1.2.3\tpeer"), "{hosts}");
    let id = t.docker(&["create", "busybox", "cat", "/etc/hostname"]).ok().to_owned();
    assert_eq!(t.docker(&["start", "-a", &id]).ok(), &id[..12], "the default host name is the short id");
    assert_eq!(t.inspect(&id)["Config"]["Hostname"], id[..12]);
}

#[test]
fn container_name_rules() {
    let t = Scope::new();
    let name = t.name("web");
    let id = t.docker(&["create", "--name", &name, "busybox"]).ok().to_owned();
    assert_eq!(t.inspect(&name)["Name"], format!("/{name}"));
    let out = t.docker(&["create", "--name", &name, "busybox"]);
    let text = out.fails(1);
    let expected = format!(
        "Error response from daemon: Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to remove (or rename) that container to be able to reuse that name."
    );
    assert!(text.contains(&expected), "{text}");
    let out = t.docker(&["create", "--name", "not/allowed", "busybox"]);
    let text = out.fails(1);
    assert!(text.contains("Invalid container name (not/allowed), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"), "{text}");
    let out = t.docker(&["create", "--name", "x", "busybox"]);
    let text = out.fails(1);
    assert!(text.contains("Invalid container name (x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"), "{text}");
}

#[test]
fn generated_names_look_like_dockers() {
    let t = Scope::new();
    let id = t.docker(&["create", "busybox"]).ok().to_owned();
    assert_eq!(id.len(), 64);
    assert!(id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
    let shown = t.inspect(&id);
    let name = shown["Name"].as_str().unwrap().to_owned();
    let (left, right) = name.trim_start_matches('/').split_once('_').expect("adjective_surname");
    assert!(
        left.bytes().all(|b| b.is_ascii_lowercase()) && right.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
        "{name}"
    );
}

#[test]
fn cidfile_pull_never_and_platform() {
    let t = Scope::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cid");
    let id = t.docker(&["create", "--cidfile", file.to_str().unwrap(), "--pull", "never", "busybox"]).ok().to_owned();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), id);
    let out = t.docker(&["run", "--rm", "--pull", "never", "no-such-image", "true"]);
    let text = out.fails(125);
    assert!(text.contains("No such image: no-such-image:latest"), "{text}");
}

#[test]
fn terminal_size_reaches_the_container() {
    let t = Scope::new();
    let run =
        t.spawn_on_tty(33, 77, &["run", "--rm", "-it", "--network", "none", "busybox", "sh", "-c", "stty size; tty; read x"]);
    run.wait_for("/dev/pts/0");
    // The CLI resizes right after start; a program that looks at once may be early.
    let first = run.stdout();
    let mut run = run;
    run.send(b"\n");
    run.wait().ok();
    assert!(first.contains("33 77"), "{first}");
}

#[test]
fn later_resize_reaches_the_container() {
    let t = Scope::new();
    let id = t.docker(&["run", "-dit", "--network", "none", "busybox", "sh"]).ok().to_owned();
    for (rows, cols) in [(40, 120), (5, 7)] {
        let answer = t.daemon.http("POST", &format!("/containers/{id}/resize?h={rows}&w={cols}"), None);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let size = t.docker(&["exec", &id, "sh", "-c", "stty size </proc/1/fd/0"]);
        assert_eq!(size.ok(), format!("{rows} {cols}"));
    }
    assert_eq!(t.daemon.http("POST", &format!("/containers/{id}/resize?h=x&w=1"), None).status, 400);
}

#[test]
fn interactive_input_ends_with_the_clients() {
    let t = Scope::new();
    let out =
        t.docker_with_input(&["run", "--rm", "-i", "--network", "none", "busybox", "sh", "-c", "cat; echo end"], b"one\ntwo\n");
    assert_eq!(out.ok(), "one\ntwo\nend", "the half-close reaches the container");
    // Without -i the input is empty from the start.
    let out = t.docker_with_input(&["run", "--rm", "--network", "none", "busybox", "sh", "-c", "cat; echo end"], b"one\n");
    assert_eq!(out.ok(), "end");
}

#[test]
fn large_input_and_output_come_back_whole() {
    let t = Scope::new();
    let input: Vec<u8> = (0..4_000_000u32).flat_map(|n| [b'a' + (n % 26) as u8]).collect();
    let out = t.docker_with_input(&["run", "--rm", "-i", "--network", "none", "busybox", "cat"], &input);
    out.ok();
    assert_eq!(out.stdout.len(), input.len());
    assert!(out.stdout.as_bytes() == input, "bytes differ");
}

#[test]
fn attach_only_some_streams() {
    let t = Scope::new();
    let out = t.docker(&["run", "--rm", "-a", "stderr", "--network", "none", "busybox", "sh", "-c", "echo out; echo err >&2"]);
    out.ok();
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("", "err\n"));
}

#[test]
fn detached_prints_the_id_and_runs_on() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    assert_eq!(id.len(), 64);
    cli::wait_state(t.daemon, &id, "running");
    let shown = t.inspect(&id);
    assert_eq!(shown["State"]["Running"], true);
    let pid = shown["State"]["Pid"].as_u64().unwrap();
    assert!(docker_compat_tests::daemon::alive(pid as u32), "State.Pid is a process of the host");
}
