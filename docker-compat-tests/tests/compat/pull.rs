//! docker pull from a registry on loopback: names, formats, platforms, authentication, words.

use docker_compat_tests::recipe::{Packing, Recipe, noise, tar_of};
use docker_compat_tests::registry::{INDEX, Options, PASSWORD, Registry, USER};
use docker_compat_tests::{Scope, eventually, http};
use serde_json::{Value, json};

/// The layer of the busybox image, so that what is pulled can be run.
fn busybox_layer(t: &Scope) -> Vec<u8> {
    let archive = t.daemon.http("GET", "/images/busybox:latest/get", None).body;
    let entries = |archive: &[u8]| {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            (entry.path().unwrap().display().to_string(), bytes)
        });
        entries.collect::<std::collections::BTreeMap<_, _>>()
    };
    let files = entries(&archive);
    let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    files[manifest[0]["Layers"][0].as_str().unwrap()].clone()
}

/// A small image that no other test has.
fn small(t: &Scope, oci: bool) -> Recipe {
    let layers = vec![(tar_of(&[("mark", t.mark.as_bytes())]), Packing::Gzip)];
    Recipe { label: t.mark.clone(), ..Recipe::new(oci, layers) }
}

/// `POST /images/create`, answered with its lines.
fn create(t: &Scope, query: &str, auth: &str) -> http::Response {
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    let headers = [("X-Registry-Auth", auth)];
    client.request("POST", &format!("/v1.47/images/create?{query}"), &headers, None).unwrap()
}

fn lines(answer: &http::Response) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The `X-Registry-Auth` of a login.
fn auth(json: &Value) -> String {
    let text = serde_json::to_vec(json).unwrap();
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let groups = text.chunks(3).map(|chunk| {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digit = |i: usize| if i <= chunk.len() { char::from(digits[(bits >> (18 - 6 * i)) as usize & 63]) } else { '=' };
        (0..4).map(digit).collect::<String>()
    });
    groups.collect()
}

#[test]
fn by_tag_by_digest_and_run() {
    let t = Scope::new();
    let registry = Registry::start();
    let layers = vec![
        (busybox_layer(&t), Packing::Gzip),
        (tar_of(&[("one", b"first"), ("two", t.mark.as_bytes())]), Packing::Gzip),
        (tar_of(&[("one", b"changed"), (".wh.two", b"")]), Packing::Gzip),
    ];
    let digest = Recipe::new(false, layers).put(&registry, "a/b", "v1")["digest"].as_str().unwrap().to_owned();
    let (name, by_digest) = (registry.name("a/b:v1"), registry.name(&format!("a/b@{digest}")));

    let out = t.docker(&["pull", &name]);
    let said = out.lines();
    assert_eq!(said[0], "v1: Pulling from a/b");
    let count = |what: &str| said.iter().filter(|line| line.ends_with(what)).count();
    assert!(count(": Pull complete") >= 2 && count(": Download complete") >= 2, "{said:?}");
    let end = [format!("Digest: {digest}"), format!("Status: Downloaded newer image for {name}"), name.clone()];
    assert_eq!(said[said.len() - 3..], end);
    let again = t.docker(&["pull", &name]);
    let end =
        ["v1: Pulling from a/b".to_owned(), end[0].clone(), format!("Status: Image is up to date for {name}"), name.clone()];
    assert_eq!(again.lines(), end);
    assert_eq!(t.docker(&["pull", "-q", &by_digest]).ok(), by_digest);

    let image = t.docker(&["image", "inspect", &name]).json()[0].clone();
    assert_eq!(image["RepoDigests"], json!([by_digest]));
    assert_eq!(image["RepoTags"], json!([name]));
    let list = t.docker(&["images", "--digests", "--format", "{{.Tag}} {{.Digest}}", &registry.name("a/b")]);
    assert_eq!(list.ok(), format!("v1 {digest}"));
    assert_eq!(t.docker(&["run", "--rm", "--network", "none", &name, "sh", "-c", "cat /one; ls /two"]).stdout, "changed");
    // A run gets what is missing by itself.
    t.docker(&["rmi", &name]).ok();
    let run = t.docker(&["run", "--rm", "--network", "none", &name, "cat", "/one"]);
    assert_eq!(run.ok(), "changed");
    assert!(run.stderr.contains(&format!("Unable to find image '{name}' locally")), "{}", run.stderr);
    t.docker(&["rmi", &by_digest]).ok();
}

#[test]
fn every_form_of_layer() {
    let t = Scope::new();
    let registry = Registry::start();
    for oci in [false, true] {
        let mut layers = vec![(busybox_layer(&t), Packing::Gzip)];
        for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
            // Docker's own media types know no zstd.
            if oci || packing != Packing::Zstd {
                let (name, content) = (format!("{packing:?}{oci}"), noise(u64::from(oci), 100_000));
                layers.push((tar_of(&[(&name, &content)]), packing));
            }
        }
        let names = layers.len() - 1;
        let name = registry.name(&format!("forms:{oci}"));
        Recipe::new(oci, layers).put(&registry, "forms", &oci.to_string());
        t.docker(&["pull", &name]).ok();
        let sums =
            t.docker(&["run", "--rm", "--network", "none", &name, "sh", "-c", "cat /Plain* /Gzip* /Zstd* 2>/dev/null | wc -c"]);
        assert_eq!(sums.ok(), (names * 100_000).to_string());
        t.docker(&["rmi", &name]).ok();
    }
}

#[test]
fn an_index_gives_the_image_for_the_platform() {
    let t = Scope::new();
    let registry = Registry::start();
    let of = |architecture, contents: &str| {
        let layers = vec![(tar_of(&[("arch", format!("{contents}{}", t.mark).as_bytes())]), Packing::Gzip)];
        Recipe { architecture, ..Recipe::new(true, layers) }.put(&registry, "multi", "")
    };
    let mut attestation = of("amd64", "attestation");
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let manifests = json!([attestation, of("arm64", "arm"), of("amd64", "amd"), of("s390x", "big")]);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let digest = registry.manifest("multi", "latest", INDEX, &index);
    let name = registry.name("multi:latest");
    let architecture = || t.docker(&["image", "inspect", "-f", "{{.Architecture}}", &name]).ok().to_owned();

    let out = t.docker(&["pull", &name]);
    assert!(out.lines().contains(&format!("Digest: {digest}").as_str()), "{}", out.stdout);
    assert_eq!(architecture(), docker_compat_tests::recipe::host_architecture());
    for (platform, want) in [("linux/s390x", "s390x"), ("linux/arm64/v8", "arm64"), ("linux/amd64", "amd64")] {
        t.docker(&["pull", "--platform", platform, &name]).ok();
        assert_eq!(architecture(), want);
    }
    let none = t.docker(&["pull", "--platform", "linux/riscv64", &name]);
    // After the first line of progress: an error in the stream, which the CLI shows as it is.
    assert_eq!(none.fails(1).trim_end(), "no matching manifest for linux/riscv64 in the manifest list entries");
    let images = t.docker(&["images", "-q", "--no-trunc", registry.name("multi").as_str()]).lines().len();
    assert!(images >= 1);
    for id in t.docker(&["images", "-aq", "--filter", &format!("reference={}", registry.name("multi"))]).lines() {
        t.docker(&["rmi", "-f", id]);
    }
}

#[test]
fn all_tags() {
    let t = Scope::new();
    let registry = Registry::start();
    for tag in ["one", "two", "three"] {
        let recipe = Recipe::new(true, vec![(tar_of(&[("t", format!("{tag}{}", t.mark).as_bytes())]), Packing::Gzip)]);
        recipe.put(&registry, "many", tag);
    }
    let name = registry.name("many");
    let out = t.docker(&["pull", "-a", &name]);
    let said = out.lines();
    for tag in ["one", "two", "three"] {
        assert!(said.contains(&format!("{tag}: Pulling from many").as_str()), "{said:?}");
    }
    assert_eq!(said[said.len() - 2..], [format!("Status: Downloaded newer image for {name}"), name.clone()]);
    let mut tags =
        t.docker(&["images", "--format", "{{.Tag}}", &name]).lines().iter().map(ToString::to_string).collect::<Vec<_>>();
    tags.sort();
    assert_eq!(tags, ["one", "three", "two"]);
    for tag in tags {
        t.docker(&["rmi", &format!("{name}:{tag}")]).ok();
    }
}

#[test]
fn refusals_in_dockerds_words() {
    let t = Scope::new();
    let registry = Registry::start();
    let host = registry.host();
    small(&t, true).put(&registry, "there", "latest");
    let said = |query: &str, status: u16| create(&t, query, "e30=").error(status);
    let words = "not found: manifest unknown: manifest unknown";
    assert_eq!(said(&format!("fromImage={host}/there&tag=nope"), 404), format!("manifest for {host}/there:nope {words}"));
    assert_eq!(said(&format!("fromImage={host}/nope&tag=latest"), 404), format!("manifest for {host}/nope:latest {words}"));
    let digest = format!("sha256:{}", "0".repeat(64));
    assert_eq!(said(&format!("fromImage={host}/there&tag={digest}"), 404), format!("manifest for {host}/there@{digest} {words}"));
    let closed = docker_compat_tests::registry::free_port();
    let refused = format!("Get \"http://localhost:{closed}/v2/\": dial tcp 127.0.0.1:{closed}: connect: connection refused");
    assert_eq!(said(&format!("fromImage=localhost:{closed}/x&tag=latest"), 500), refused);
    assert_eq!(
        said("fromImage=UPPER&tag=latest", 400),
        "invalid reference format: repository name (library/UPPER) must be lowercase"
    );
    assert_eq!(said(&format!("fromImage={host}/there&tag=a%20b"), 400), "invalid tag format");
    assert_eq!(said("fromImage=scratch&tag=latest", 403), "'scratch' is a reserved name");
    let platform = "\"nonsense\": unknown operating system or architecture: invalid argument";
    assert_eq!(said(&format!("fromImage={host}/there&platform=nonsense"), 400), platform);
    let run = t.docker(&["run", "--rm", &format!("{host}/nope"), "true"]);
    assert!(run.fails(125).contains(&format!("Unable to find image '{host}/nope:latest' locally")), "{}", run.stderr);
}

#[test]
fn progress_records() {
    let t = Scope::new();
    let registry = Registry::start();
    let content = noise(7, 3_000_000);
    let layers = vec![
        (tar_of(&[("big", &content), ("m", t.mark.as_bytes())]), Packing::Gzip),
        (tar_of(&[("n", t.mark.as_bytes())]), Packing::Gzip),
    ];
    Recipe::new(true, layers).put(&registry, "bars", "latest");
    let answer = create(&t, &format!("fromImage={}&tag=latest", registry.name("bars")), "e30=");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let said = lines(&answer);
    assert_eq!(said[0], json!({"status": "Pulling from bars", "id": "latest"}));
    let of = |status: &str| said.iter().filter(|l| l["status"] == status).cloned().collect::<Vec<_>>();
    assert_eq!(of("Pulling fs layer").len(), 2);
    assert_eq!(of("Pull complete").len(), 2);
    for line in of("Pulling fs layer").iter().chain(&of("Pull complete")) {
        assert_eq!(line["progressDetail"], json!({}));
        assert_eq!(line["id"].as_str().unwrap().len(), 12);
    }
    let bar = of("Downloading").into_iter().find(|l| l["progressDetail"]["total"].as_u64() > Some(1_000_000)).expect("a bar");
    assert!(bar["progressDetail"]["current"].is_u64());
    assert!(bar["progress"].as_str().unwrap().starts_with('['), "{bar}");
    let last = said.last().unwrap();
    assert_eq!(*last, json!({"status": format!("Status: Downloaded newer image for {}:latest", registry.name("bars"))}));
    t.docker(&["rmi", &registry.name("bars")]).ok();
}

#[test]
fn basic_authentication() {
    let t = Scope::new();
    let registry = Registry::with(Options { basic: true, ..Options::default() });
    small(&t, false).put(&registry, "secret", "latest");
    let query = format!("fromImage={}&tag=latest", registry.name("secret"));
    let anonymous = create(&t, &query, "e30=").error(500);
    assert_eq!(anonymous, format!("Head \"http://{}/v2/secret/manifests/latest\": no basic auth credentials", registry.host()));
    let wrong = auth(&json!({"username": USER, "password": "wrong"}));
    assert_eq!(create(&t, &query, &wrong).error(401), "unauthorized: authentication required");
    let right = auth(&json!({"username": USER, "password": PASSWORD, "serveraddress": registry.host()}));
    assert!(lines(&create(&t, &query, &right)).last().unwrap()["status"].as_str().unwrap().starts_with("Status: Downloaded"));
    t.docker(&["rmi", &registry.name("secret")]).ok();
}

#[test]
fn encrypted_with_an_unknown_authority() {
    let t = Scope::new();
    let registry = Registry::with(Options { tls: true, ..Options::default() });
    small(&t, true).put(&registry, "tls", "latest");
    // Loopback need not prove who it is; any other address must.
    t.docker(&["pull", &registry.name("tls")]).ok();
    t.docker(&["rmi", &registry.name("tls")]).ok();
    let Some(address) = docker_compat_tests::own_address() else { return };
    let name = format!("{address}:{}/tls", registry.port);
    let out = t.docker(&["pull", &name]);
    assert!(
        out.fails(1).ends_with("tls: failed to verify certificate: x509: certificate signed by unknown authority"),
        "{}",
        out.stderr
    );
}

#[test]
fn events_tell_of_it() {
    let t = Scope::new();
    let registry = Registry::start();
    small(&t, true).put(&registry, "told", "latest");
    let name = registry.name("told");
    let events =
        t.spawn(&["events", "--filter", "event=pull", "--filter", &format!("image={name}:latest"), "--format", "{{json .}}"]);
    // The stream is open once a pull shows in it.
    let event = eventually("an event of the pull", || {
        t.docker(&["pull", "-q", &name]).ok();
        events.stdout().lines().next().and_then(|line| serde_json::from_str::<Value>(line).ok())
    });
    assert_eq!((event["Action"].as_str(), event["Type"].as_str()), (Some("pull"), Some("image")));
    assert_eq!(event["Actor"]["ID"], format!("{name}:latest"));
    assert_eq!(event["Actor"]["Attributes"], json!({"name": name, "made": t.mark}));
    t.docker(&["rmi", &name]).ok();
}
