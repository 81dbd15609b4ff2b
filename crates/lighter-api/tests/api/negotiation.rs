//! Versions, paths, methods, and the headers of every answer.

use crate::support::Api;
use lighter_api::routes::{Kind, ROUTES};

#[test]
fn ping_says_what_clients_negotiate_by() {
    let api = Api::start();
    for method in ["GET", "HEAD"] {
        let reply = api.send(method, "/_ping", "");
        assert_eq!(reply.status, 200);
        assert_eq!(reply.text(), if method == "GET" { "OK" } else { "" });
        for (name, value) in [
            ("Api-Version", "1.56"),
            ("Docker-Experimental", "false"),
            ("Ostype", "linux"),
            ("Swarm", "inactive"),
            ("Pragma", "no-cache"),
            ("Cache-Control", "no-cache, no-store, must-revalidate"),
            ("Content-Type", "text/plain; charset=utf-8"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{method} {name}");
        }
        assert!(reply.header("Builder-Version").is_some());
        assert!(reply.header("Server").unwrap().starts_with("Lighter/"));
    }
}

#[test]
fn every_answer_has_the_common_headers() {
    let api = Api::start();
    for path in ["/version", "/nothing", "/containers/x/json", "/nodes", "/v1.23/_ping", "//x", "/containers/json?filters=x"] {
        let reply = api.get(path);
        assert_eq!(reply.header("Api-Version"), Some("1.56"), "{path}");
        assert_eq!(reply.header("Ostype"), Some("linux"), "{path}");
        assert_eq!(reply.header("Docker-Experimental"), Some("false"), "{path}");
    }
}

#[test]
fn versions_out_of_range_are_refused_in_dockerds_words() {
    let api = Api::start();
    let old = api.get("/v1.23/containers/json");
    assert_eq!(old.status, 400);
    assert_eq!(
        old.message(),
        "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"
    );
    let new = api.get("/v1.99/containers/json");
    assert_eq!(new.status, 400);
    assert_eq!(new.message(), "client version 1.99 is too new. Maximum supported API version is 1.56");
    for path in ["/v1.24/version", "/v1.56/version", "/version"] {
        let reply = api.get(path);
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.json()["ApiVersion"], "1.56");
        assert_eq!(reply.json()["MinAPIVersion"], "1.24");
    }
}

#[test]
fn what_is_no_route_is_dockerds_404() {
    let api = Api::start();
    for (method, path) in [("GET", "/"), ("GET", "/nope"), ("GET", "/v1.40/"), ("PUT", "/_ping"), ("PUT", "/containers/json")] {
        let reply = api.send(method, path, "");
        assert_eq!((reply.status, reply.message().as_str()), (404, "page not found"), "{method} {path}");
    }
    assert_eq!(api.send("HEAD", "/containers/json", "").status, 404);
    assert_eq!(api.send("OPTIONS", "/containers/json", "").status, 200);
}

#[test]
fn every_operation_is_answered_in_one_of_the_known_ways() {
    let api = Api::start();
    // The API's own description has 108; dockerd has two more for builders and three for checkpoints.
    assert_eq!(ROUTES.len(), 113);
    for route in ROUTES.iter().filter(|r| r.operation != "SystemEvents") {
        let path = route.pattern.replace("{id}", "nope").replace("{name}", "nope").replace("{name*}", "no/pe");
        let reply = api.send(route.method.as_str(), &path, "");
        let expected: &[u16] = match route.kind {
            Kind::Missing(_) => &[501],
            Kind::Swarm => &[503],
            // A volume needs no body.
            Kind::Change(_) if route.operation == "VolumeCreate" => &[201],
            // 501 where the engine lacks a capability.
            Kind::Read(_) | Kind::Change(_) | Kind::Hijack(_) => &[200, 400, 404, 501],
        };
        assert!(expected.contains(&reply.status), "{} {}", route.operation, reply.status);
        if reply.status >= 400 && route.method != "HEAD" {
            let message = reply.message();
            assert_ne!(message, "page not found", "{}", route.operation);
            if let Kind::Missing(feature) = route.kind {
                assert_eq!(message, format!("{feature} is not implemented yet by Lighter's memory engine"));
            } else if reply.status == 501 && !route.operation.starts_with("Checkpoint") {
                assert!(message.ends_with("is not implemented by Lighter's memory engine"), "{message}");
            }
        }
    }
}

#[test]
fn a_path_has_one_meaning() {
    let api = Api::start();
    for (path, to) in [
        ("//v1.40/../containers/json", "/containers/json"),
        ("/v1.40//containers/json", "/v1.40/containers/json"),
        ("/containers/./json", "/containers/json"),
    ] {
        let reply = api.get(path);
        assert_eq!((reply.status, reply.header("Location")), (301, Some(to)), "{path}");
        assert!(reply.body.is_empty());
    }
    assert_eq!(api.get("/containers%2Fjson").message(), "page not found");
    assert_eq!(api.get("/containers/x%2Fy/json").message(), "No such container: x/y");
    assert_eq!(api.get("/images/no%2Fpe/json").message(), api.get("/images/no/pe/json").message());
    assert_eq!(api.get("/images/no/pe/json").status, 404);
}

#[test]
fn one_connection_carries_many_requests() {
    let api = Api::start();
    let mut conn = api.connect();
    for _ in 0..3 {
        conn.request("GET", "/_ping", "", b"");
        assert!(conn.head().starts_with("HTTP/1.1 200 OK\r\n"));
        conn.until("OK");
    }
}
