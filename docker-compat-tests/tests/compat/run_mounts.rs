//! `docker run`: bind mounts and tmpfs.

use docker_compat_tests::Scope;

fn dir_with_file() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "contents\n").unwrap();
    let path = dir.path().display().to_string();
    (dir, path)
}

#[test]
fn bind_read_write_and_read_only() {
    let t = Scope::new();
    let (dir, path) = dir_with_file();
    assert_eq!(t.sh(&["-v", &format!("{path}:/data")], "cat /data/file; echo new >/data/made"), "contents");
    assert_eq!(std::fs::read_to_string(dir.path().join("made")).unwrap(), "new\n");
    let out = t.sh(&["-v", &format!("{path}:/data:ro")], "(touch /data/x) 2>&1; true");
    assert!(out.contains("Read-only file system"), "{out}");
    let single = format!("{path}/file:/etc/single:ro");
    assert_eq!(t.sh(&["-v", &single], "cat /etc/single"), "contents");
}

#[test]
fn bind_with_a_missing_source() {
    let t = Scope::new();
    let (dir, path) = dir_with_file();
    // The short form makes a directory.
    assert_eq!(t.sh(&["-v", &format!("{path}/new/deep:/data")], "stat -c %F /data"), "directory");
    assert!(dir.path().join("new/deep").is_dir());
    // The long form refuses.
    let out = t.docker(&[
        "run",
        "--rm",
        "--network",
        "none",
        "--mount",
        &format!("type=bind,source={path}/absent,target=/data"),
        "busybox",
        "true",
    ]);
    let text = out.fails(125);
    assert!(
        text.contains(&format!("invalid mount config for type \"bind\": bind source path does not exist: {path}/absent")),
        "{text}"
    );
    assert!(!dir.path().join("absent").exists());
}

#[test]
fn mount_bind_and_its_options() {
    let t = Scope::new();
    let (_dir, path) = dir_with_file();
    let mount = format!("type=bind,src={path},dst=/data,readonly");
    assert!(t.sh(&["--mount", &mount], "cat /data/file; (touch /data/x) 2>&1; true").contains("Read-only file system"));
    let mount = format!("type=bind,src={path},dst=/data,bind-propagation=rslave");
    let id = t.docker(&["create", "--mount", &mount, "busybox"]).ok().to_owned();
    let shown = t.inspect(&id);
    assert_eq!(shown["Mounts"][0]["Type"], "bind");
    assert_eq!(shown["Mounts"][0]["Source"], path.as_str());
    assert_eq!(shown["Mounts"][0]["Destination"], "/data");
    assert_eq!(shown["Mounts"][0]["RW"], true);
    assert_eq!(shown["Mounts"][0]["Propagation"], "rslave");
    assert_eq!(shown["HostConfig"]["Mounts"][0]["Target"], "/data");
}

#[test]
fn tmpfs_by_both_flags() {
    let t = Scope::new();
    let out = t.sh(&["--tmpfs", "/scratch"], "grep ' /scratch ' /proc/mounts");
    assert!(out.starts_with("tmpfs /scratch tmpfs rw,nosuid,nodev,noexec,relatime"), "{out}");
    let out = t.sh(
        &["--tmpfs", "/scratch:rw,exec,size=1m,mode=700"],
        "df -k /scratch | awk 'END{print $2}'; stat -c %a /scratch; grep -c noexec /dev/null; grep ' /scratch ' /proc/mounts",
    );
    assert!(out.starts_with("1024\n700\n"), "{out}");
    assert!(!out.contains("noexec"), "{out}");
    let out = t.sh(
        &["--mount", "type=tmpfs,dst=/scratch,tmpfs-size=2097152,tmpfs-mode=1770"],
        "df -k /scratch | awk 'END{print $2}'; stat -c %a /scratch",
    );
    assert_eq!(out, "2048\n1770");
}

#[test]
fn bad_mounts_are_refused() {
    let t = Scope::new();
    let bad = [
        (
            r#"{"Image":"busybox","HostConfig":{"Binds":["/tmp:relative"]}}"#,
            "invalid volume specification: '/tmp:relative': invalid mount config for type \"bind\": invalid mount path: 'relative' mount path must be absolute",
        ),
        (r#"{"Image":"busybox","HostConfig":{"Binds":["/tmp:/a:nonsense"]}}"#, "invalid mode: nonsense"),
        (
            r#"{"Image":"busybox","HostConfig":{"Binds":["/tmp:/"]}}"#,
            "invalid volume specification: '/tmp:/': invalid mount config for type \"bind\": invalid specification: destination can't be '/'",
        ),
        (
            r#"{"Image":"busybox","HostConfig":{"Mounts":[{"Type":"bind","Source":"relative","Target":"/a"}]}}"#,
            "invalid mount config for type \"bind\": invalid mount path: 'relative' mount path must be absolute",
        ),
        (
            r#"{"Image":"busybox","HostConfig":{"Mounts":[{"Type":"bind","Source":"/tmp"}]}}"#,
            "invalid mount config for type \"bind\": field Target must not be empty",
        ),
        (
            r#"{"Image":"busybox","HostConfig":{"Mounts":[{"Type":"bind","Target":"/a"}]}}"#,
            "invalid mount config for type \"bind\": field Source must not be empty",
        ),
        (
            r#"{"Image":"busybox","HostConfig":{"Mounts":[{"Type":"nonsense","Source":"/tmp","Target":"/a"}]}}"#,
            "mount type unknown",
        ),
        (r#"{"Image":"busybox","HostConfig":{"Binds":["/tmp:/a","/etc:/a"]}}"#, "Duplicate mount point: /a"),
    ];
    for (body, expected) in bad {
        let answer = t.daemon.http("POST", "/containers/create", Some(body));
        // dockerd words a bad `Binds` entry as its client's fault and then answers 500.
        let message = answer.error(if answer.status == 500 && body.contains("Binds") { 500 } else { 400 });
        assert!(message.contains(expected), "{body}\n  got {message}\n  not {expected}");
    }
}

#[test]
fn a_bind_over_a_link_stays_inside() {
    let t = Scope::new();
    let (_dir, path) = dir_with_file();
    // /var/run style links in the image are resolved in the container's root.
    let id = t
        .docker(&["create", "--network", "none", "-v", &format!("{path}:/usr/bin/env"), "busybox", "ls", "/bin/env"])
        .ok()
        .to_owned();
    let out = t.docker(&["start", "-a", &id]);
    // A directory over a file: whatever the words, it must be refused and nothing on the host change.
    assert_ne!(out.code, 0, "{}", out.stdout);
    assert!(std::path::Path::new("/usr/bin/env").is_file());
}

#[test]
fn a_socket_is_bound_as_it_is() {
    let t = Scope::new();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let bind = format!("{}:/run/s.sock", socket.display());
    assert_eq!(t.sh(&["-v", &bind], "stat -c %F /run/s.sock"), "socket");
}

#[test]
fn the_daemons_own_socket_works_inside() {
    let t = Scope::new();
    let bind = format!("{}:/var/run/docker.sock", t.daemon.socket.display());
    let id = t.sleeper(&["-v", &bind]);
    let out = t.docker(&["exec", &id, "sh", "-c", "printf 'GET /_ping HTTP/1.0\\r\\nHost: d\\r\\n\\r\\n' | nc local:/var/run/docker.sock 2>/dev/null || stat -c %F /var/run/docker.sock"]);
    assert!(out.ok().contains("OK") || out.ok().contains("socket"), "{}", out.stdout);
}

#[test]
fn mounts_from_the_host_are_bound_recursively() {
    let t = Scope::new();
    assert_eq!(t.sh(&["-v", "/dev:/host:ro"], "ls /host/pts/ptmx"), "/host/pts/ptmx");
}

#[test]
fn volumes_from_another_container_shares_its_binds() {
    let t = Scope::new();
    let (_dir, path) = dir_with_file();
    let first = t.docker(&["create", "-v", &format!("{path}:/data"), "busybox"]).ok().to_owned();
    assert_eq!(t.sh(&["--volumes-from", &first], "cat /data/file"), "contents");
}
