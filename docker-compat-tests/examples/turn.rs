//! A container's whole life by the API, for the benchmarks: created, started, waited for and removed over one connection,
//! at a client's cost that does not matter beside the daemon's.
//!
//! usage: turn SOCKET BODY
//! BODY is the JSON of a container that ends by itself. Prints the microseconds from the first request to the last answer.

use std::time::Instant;

use docker_compat_tests::http::Client;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, socket, body] = args.as_slice() else {
        eprintln!("usage: turn SOCKET BODY");
        std::process::exit(2);
    };
    let mut client = Client::connect(socket.as_ref()).expect("the daemon listens");
    // So that this program itself is in memory.
    client.get("/_ping").expect("an answer");
    let before = Instant::now();
    let made = client.request("POST", "/containers/create", &[], Some(body.as_bytes())).expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let id = made["Id"].as_str().expect("an id");
    for (method, path, status) in [
        ("POST", format!("/containers/{id}/start"), 204),
        ("POST", format!("/containers/{id}/wait"), 200),
        ("DELETE", format!("/containers/{id}"), 204),
    ] {
        let answer = client.request(method, &path, &[], None).expect("an answer");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    }
    println!("{}", before.elapsed().as_micros());
}
