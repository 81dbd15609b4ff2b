//! Bad input: Docker's status and message, and a daemon that stays up.

use docker_compat_tests::{Scope, http};

fn create(t: &Scope, body: &str) -> http::Response {
    t.daemon.http("POST", "/containers/create", Some(body))
}

#[test]
fn malformed_json() {
    let t = Scope::new();
    let eof = "invalid JSON: unexpected EOF";
    assert_eq!(create(&t, r#"{"Image":"busybox""#).error(400), eof);
    assert_eq!(create(&t, "{").error(400), eof);
    assert!(create(&t, "nonsense").error(400).starts_with("invalid JSON: "));
    assert!(create(&t, "\u{0}").error(400).starts_with("invalid JSON: "));
    assert_eq!(create(&t, "").error(400), "invalid JSON: got EOF while reading request body");
    assert_eq!(create(&t, r#"{"Image":"busybox"} trailing"#).error(400), "unexpected content after JSON");
    assert_eq!(create(&t, "{}").error(400), "config cannot be empty in order to create a container");
    assert_eq!(create(&t, "null").error(400), "config cannot be empty in order to create a container");
}

#[test]
fn wrong_types() {
    let t = Scope::new();
    let bad = [
        (r#"{"Image":5}"#, "json: cannot unmarshal number into Go struct field .Image of type string"),
        (
            r#"{"Image":"busybox","HostConfig":"x"}"#,
            "json: cannot unmarshal string into Go struct field .HostConfig of type container.HostConfig",
        ),
        ("[]", "json: cannot unmarshal array into Go value of type container.CreateRequest"),
        (r#"{"Image":"busybox","Env":"A=1"}"#, "json: cannot unmarshal string into Go"),
        (r#"{"Image":"busybox","Tty":"yes"}"#, "json: cannot unmarshal string into Go"),
        (r#"{"Image":"busybox","HostConfig":{"Memory":"64m"}}"#, "json: cannot unmarshal string into Go"),
        (r#"{"Image":"busybox","HostConfig":{"Memory":1e40}}"#, "json: cannot unmarshal number"),
        (r#"{"Image":"busybox","Labels":["a"]}"#, "json: cannot unmarshal array into Go"),
        (r#"{"Image":"busybox","Entrypoint":5}"#, "json: cannot unmarshal number into Go value of type"),
    ];
    for (body, expected) in bad {
        let message = create(&t, body).error(400);
        assert!(message.starts_with("invalid JSON: ") && message.contains(expected), "{body}\n  got {message}\n  not {expected}");
    }
}

#[test]
fn wrong_values() {
    let t = Scope::new();
    let bad = [
        (r#"{"Image":"BUSYBOX"}"#, "invalid reference format: repository name (library/BUSYBOX) must be lowercase"),
        (r#"{"Image":"busybox","Env":["=x"]}"#, "invalid environment variable: =x"),
        (r#"{"Image":"busybox","StopSignal":"NONSENSE"}"#, "invalid signal: NONSENSE"),
        (r#"{"Image":"busybox","HostConfig":{"PidMode":"nonsense"}}"#, "invalid PID mode: nonsense"),
        (r#"{"Image":"busybox","HostConfig":{"IpcMode":"nonsense"}}"#, "invalid IPC mode: nonsense"),
        (r#"{"Image":"busybox","HostConfig":{"Runtime":"nonsense"}}"#, "unknown or invalid runtime name: nonsense"),
        (
            r#"{"Image":"busybox","HostConfig":{"LogConfig":{"Type":"nonsense"}}}"#,
            "error looking up logging plugin nonsense: plugin \"nonsense\" not found",
        ),
        (r#"{"Image":"busybox","HostConfig":{"CapAdd":["NONSENSE"]}}"#, "invalid CapAdd: unknown capability: \"CAP_NONSENSE\""),
        (r#"{"Image":"busybox","Healthcheck":{"Interval":1}}"#, "Interval in Healthcheck cannot be less than 1ms"),
    ];
    for (body, expected) in bad {
        assert_eq!(create(&t, body).error(400), expected, "{body}");
    }
}

#[test]
fn unknown_fields_are_accepted() {
    let t = Scope::new();
    let body = format!(
        r#"{{"Image":"busybox","Nonsense":1,"Labels":{{"lighter.compat":"{}"}},"HostConfig":{{"More":null,"Binds":null,"Memory":null}},"NetworkingConfig":{{"Odd":[]}},"Healthcheck":null}}"#,
        t.mark
    );
    assert_eq!(create(&t, &body).status, 201);
    // Names of fields are matched whatever their case, as Go does it.
    let body = format!(r#"{{"image":"busybox","labels":{{"lighter.compat":"{}"}},"hostConfig":{{"memory":67108864}}}}"#, t.mark);
    let answer = create(&t, &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(t.inspect(answer.json()["Id"].as_str().unwrap())["HostConfig"]["Memory"], 67_108_864);
}

#[test]
fn content_types() {
    let t = Scope::new();
    let body = format!(r#"{{"Image":"busybox","Labels":{{"lighter.compat":"{}"}}}}"#, t.mark);
    let send = |kind: &str| {
        let mut client = http::Client::connect(&t.daemon.socket).unwrap();
        client.request("POST", "/containers/create", &[("Content-Type", kind)], Some(body.as_bytes())).unwrap()
    };
    assert_eq!(send("application/json; charset=utf-8").status, 201);
    assert_eq!(send("").error(400), "malformed Content-Type header (): mime: no media type");
}

#[test]
fn bad_queries() {
    let t = Scope::new();
    for path in ["/containers/json?filters=x", "/images/json?filters=x"] {
        assert!(t.daemon.http("GET", path, None).error(400).starts_with("invalid filter"), "{path}");
    }
    for path in ["/containers/json?limit=x", "/events?since=x", "/containers/json?size=maybe&all=%zz"] {
        let status = t.daemon.http("GET", path, None).status;
        assert!(matches!(status, 200 | 400 | 500), "{path}: {status}");
    }
    assert_eq!(
        t.daemon.http("GET", "/events?until=1&since=2", None).error(400),
        "`since` time (2) cannot be after `until` time (1)"
    );
}

#[test]
fn unknown_paths_and_methods() {
    let t = Scope::new();
    for (method, path) in [
        ("GET", "/nosuch"),
        ("GET", "/v1.44/nosuch"),
        ("PUT", "/version"),
        ("DELETE", "/_ping"),
        ("POST", "/version"),
        ("GET", "/"),
        ("GET", "//containers/json/x/y"),
    ] {
        let answer = t.daemon.http(method, path, None);
        assert!(matches!(answer.status, 301 | 404 | 405), "{method} {path}: {}", answer.status);
        if answer.status == 404 {
            assert_eq!(answer.error(404), "page not found", "{method} {path}");
        }
    }
}

#[test]
fn hostile_ids_and_names() {
    let t = Scope::new();
    let long = "a".repeat(5000);
    for name in [long.as_str(), "..%2f..%2fetc", "%00", "%ff%fe", "a%20b", "'%3B--", "%F0%9F%92%A9"] {
        let answer = t.daemon.http("GET", &format!("/containers/{name}/json"), None);
        assert!(matches!(answer.status, 301 | 400 | 404), "{name}: {}", answer.status);
        let answer = t.daemon.http("POST", &format!("/containers/create?name={name}"), Some(r#"{"Image":"busybox"}"#));
        if answer.status == 201 {
            // dockerd sets no limit to the length of a name.
            assert_eq!(name, long);
            t.daemon.http("DELETE", &format!("/containers/{}?force=1", answer.json()["Id"].as_str().unwrap()), None);
        } else {
            assert!(matches!(answer.status, 301 | 400), "{name}: {}", answer.text());
        }
    }
    assert_eq!(t.daemon.http("GET", "/_ping", None).status, 200);
}

#[test]
fn huge_bodies() {
    let t = Scope::new();
    let before = rss(&t);
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    let _ = client.write(b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 4000000000\r\n\r\n{\"Image\":\"");
    let junk = vec![b'a'; 1 << 20];
    for _ in 0..64 {
        // A daemon that has answered may have closed its side by now.
        if client.write(&junk).is_err() {
            break;
        }
    }
    let after = rss(&t);
    assert_eq!(t.daemon.http("GET", "/_ping", None).status, 200);
    if t.daemon.is_lighter("dockerd sets no limit to a body") {
        assert!(after < before + (48 << 10), "memory grew from {before} to {after} kB");
        if let Ok(answer) = client.answer("POST") {
            assert!(matches!(answer.status, 400 | 413), "{}", answer.status);
        }
    }
}

fn rss(t: &Scope) -> u64 {
    if t.daemon.kind == docker_compat_tests::Kind::Reference {
        return 0;
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", t.daemon.pid())).unwrap();
    status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap().trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn deep_json_does_not_overflow_the_stack() {
    let t = Scope::new();
    let body = format!("{{\"Image\":\"busybox\",\"X\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let answer = create(&t, &body);
    assert!(answer.status >= 400, "{}", answer.text());
    assert_eq!(t.daemon.http("GET", "/_ping", None).status, 200);
}

#[test]
fn huge_headers_and_broken_requests() {
    let t = Scope::new();
    let big = "a".repeat(3 << 20);
    let many: String = (0..20_000).map(|n| format!("X-H{n}: v\r\n")).collect();
    let requests = [
        format!("GET /_ping HTTP/1.1\r\nHost: d\r\nX-Big: {big}\r\n\r\n"),
        format!("GET /_ping HTTP/1.1\r\nHost: d\r\n{many}\r\n"),
        format!("GET /{big} HTTP/1.1\r\nHost: d\r\n\r\n"),
        "NONSENSE\r\n\r\n".to_owned(),
        "GET /_ping HTTP/9.9\r\nHost: d\r\n\r\n".to_owned(),
        "GET /_ping HTTP/1.1\r\nHost: d\r\nBad Header\r\n\r\n".to_owned(),
        "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: -5\r\n\r\n".to_owned(),
        "POST /containers/create HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}".to_owned(),
    ];
    for request in requests {
        let mut client = http::Client::connect(&t.daemon.socket).unwrap();
        let _ = client.write(request.as_bytes());
        let _ = client.half_close();
        // A refusal or a closed connection, but no success for what is broken.
        if let Ok(head) = client.head() {
            assert!(
                head.status >= 400 || request.starts_with("GET /_ping HTTP/1.1\r\nHost: d\r\nX-"),
                "{:?}: {}",
                &request[..40.min(request.len())],
                head.status
            );
        }
        assert_eq!(t.daemon.http("GET", "/_ping", None).status, 200, "the daemon lives");
    }
}

#[test]
fn clients_vanishing_in_the_middle() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    for _ in 0..5 {
        for path in ["/events".to_owned(), format!("/containers/{id}/logs?stdout=1&follow=1")] {
            let mut client = http::Client::connect(&t.daemon.socket).unwrap();
            client.send("GET", &path, &[], None).unwrap();
            client.head().unwrap();
        }
        for path in [format!("/containers/{id}/wait"), format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1")] {
            let mut client = http::Client::connect(&t.daemon.socket).unwrap();
            client.send("POST", &path, &[("Connection", "Upgrade"), ("Upgrade", "tcp")], None).unwrap();
            client.head().unwrap();
        }
        let mut client = http::Client::connect(&t.daemon.socket).unwrap();
        client.write(b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"Image\"").unwrap();
    }
    assert_eq!(t.inspect(&id)["State"]["Status"], "running");
}

#[test]
fn an_image_lacking_what_its_config_names() {
    let t = Scope::new();
    let name = format!("compat-{}:bare", t.mark);
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(1);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append_data(&mut header, "x", b"x".as_slice()).unwrap();
    let tar = builder.into_inner().unwrap();
    t.docker_with_input(&["import", "-c", "USER ghost", "-c", "CMD [\"/bin/none\"]", "-", &name], &tar).ok();
    let out = t.docker(&["run", "--rm", "--network", "none", &name]);
    assert!(
        out.fails(125).contains("unable to find user ghost: no matching entries in passwd file")
            || out.stderr.contains("no such file"),
        "{}",
        out.stderr
    );
    let out = t.docker(&["run", "--rm", "--network", "none", "-u", "0", &name]);
    assert!(out.fails(127).contains("/bin/none"), "{}", out.stderr);
    t.docker(&["rmi", &name]).ok();
}
