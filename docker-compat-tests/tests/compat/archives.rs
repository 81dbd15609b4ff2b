//! `docker load` and `import` of archives of every age, and of hostile ones.

use std::io::Write;

use docker_compat_tests::{Scope, daemon::busybox_tar};
use sha2::{Digest, Sha256};

type Entries = Vec<(String, Vec<u8>)>;

fn sha(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn pack(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// The layer of the busybox image, and a configuration for it.
fn parts(mark: &str) -> (Vec<u8>, Vec<u8>) {
    let mut layer = Vec::new();
    let mut archive = tar::Archive::new(std::fs::File::open(busybox_tar()).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().ends_with("layer.tar") {
            std::io::copy(&mut entry, &mut layer).unwrap();
        }
    }
    let config = config_for(mark, &[&layer]);
    (layer, config)
}

fn config_for(mark: &str, layers: &[&[u8]]) -> Vec<u8> {
    let ids: Vec<String> = layers.iter().map(|l| format!("\"sha256:{}\"", sha(l))).collect();
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    format!(
        r#"{{"architecture":"{arch}","os":"linux","created":"2020-01-02T03:04:05Z","config":{{"Cmd":["echo","{mark}"],"Env":["PATH=/bin"]}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        ids.join(",")
    )
    .into_bytes()
}

fn docker_archive(tag: &str, config: &[u8], layers: &[(&str, &[u8])]) -> Entries {
    let names: Vec<String> = layers.iter().map(|(n, _)| format!("\"{n}\"")).collect();
    let manifest = format!(r#"[{{"Config":"{}.json","RepoTags":["{tag}"],"Layers":[{}]}}]"#, sha(config), names.join(","));
    let mut entries = vec![(format!("{}.json", sha(config)), config.to_vec())];
    entries.extend(layers.iter().map(|(n, b)| ((*n).to_owned(), b.to_vec())));
    entries.push(("manifest.json".into(), manifest.into_bytes()));
    entries
}

fn load_and_run(t: &Scope, archive: &[u8], tag: &str) {
    let out = t.docker_with_input(&["load"], archive);
    assert_eq!(out.ok(), format!("Loaded image: {tag}"));
    let run = t.docker(&["run", "--rm", "--network", "none", tag]);
    assert_eq!(run.ok(), t.mark);
    t.docker(&["rmi", tag]).ok();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn docker_archive_plain_gzip_zstd() {
    let t = Scope::new();
    let tag = format!("compat-{}:x", t.mark);
    let (layer, config) = parts(&t.mark);
    let plain = pack(&docker_archive(&tag, &config, &[("l/layer.tar", &layer)]));
    load_and_run(&t, &plain, &tag);
    load_and_run(&t, &gzip(&plain), &tag);
    load_and_run(&t, &zstd::encode_all(plain.as_slice(), 1).unwrap(), &tag);
}

#[test]
fn docker_archive_with_compressed_layers() {
    let t = Scope::new();
    let tag = format!("compat-{}:x", t.mark);
    let (layer, config) = parts(&t.mark);
    load_and_run(&t, &pack(&docker_archive(&tag, &config, &[("l.tar.gz", &gzip(&layer))])), &tag);
}

#[test]
fn manifest_first_or_last_is_the_same() {
    let t = Scope::new();
    let tag = format!("compat-{}:x", t.mark);
    let (layer, config) = parts(&t.mark);
    let mut entries = docker_archive(&tag, &config, &[("l/layer.tar", &layer)]);
    entries.reverse();
    load_and_run(&t, &pack(&entries), &tag);
}

fn oci_layout(tag: &str, config: &[u8], layer: &[u8], media: &str) -> Entries {
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{}","size":{}}},"layers":[{{"mediaType":"{media}","digest":"sha256:{}","size":{}}}]}}"#,
        sha(config),
        config.len(),
        sha(layer),
        layer.len()
    );
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{}","size":{},"annotations":{{"io.containerd.image.name":"docker.io/library/{tag}","org.opencontainers.image.ref.name":"x"}}}}]}}"#,
        sha(manifest.as_bytes()),
        manifest.len()
    );
    vec![
        ("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json".into(), index.into_bytes()),
        (format!("blobs/sha256/{}", sha(manifest.as_bytes())), manifest.into_bytes()),
        (format!("blobs/sha256/{}", sha(config)), config.to_vec()),
        (format!("blobs/sha256/{}", sha(layer)), layer.to_vec()),
    ]
}

#[test]
fn oci_layout_plain_gzip_zstd_layers() {
    let t = Scope::new();
    // dockerd's graph drivers load a layout only with Docker's own manifest beside it.
    if !t.daemon.is_lighter("OCI layouts need its containerd image store") {
        return;
    }
    let tag = format!("compat-{}:x", t.mark);
    let (layer, config) = parts(&t.mark);
    let kind = "application/vnd.oci.image.layer.v1.tar";
    load_and_run(&t, &pack(&oci_layout(&tag, &config, &layer, kind)), &tag);
    load_and_run(&t, &pack(&oci_layout(&tag, &config, &gzip(&layer), &format!("{kind}+gzip"))), &tag);
    let packed = zstd::encode_all(layer.as_slice(), 1).unwrap();
    load_and_run(&t, &pack(&oci_layout(&tag, &config, &packed, &format!("{kind}+zstd"))), &tag);
}

/// Loads something bad: a refusal, and nothing of it may stay.
fn refused(t: &Scope, what: &str, archive: &[u8]) {
    let before = t.docker(&["images", "-aq", "--no-trunc", "--filter", &format!("reference=compat-{}*", t.mark)]).stdout;
    let out = t.docker_with_input(&["load"], archive);
    assert!(out.code != 0, "{what}: loaded: {out:?}");
    assert!(!out.stderr.trim().is_empty(), "{what}: says why");
    let after = t.docker(&["images", "-aq", "--no-trunc", "--filter", &format!("reference=compat-{}*", t.mark)]).stdout;
    assert_eq!(before, after, "{what}: nothing stays");
    assert_eq!(t.daemon.http("GET", "/_ping", None).status, 200, "{what}: the daemon lives");
}

#[test]
fn broken_archives_are_refused() {
    let t = Scope::new();
    let tag = format!("compat-{}:x", t.mark);
    let (layer, config) = parts(&t.mark);
    let good = pack(&docker_archive(&tag, &config, &[("l/layer.tar", &layer)]));
    refused(&t, "truncated in a layer", &good[..good.len() / 2]);
    refused(&t, "truncated gzip", &{
        let g = gzip(&good);
        g[..g.len() / 2].to_vec()
    });
    refused(&t, "no archive at all", b"this is not an archive, and not a short one either. ".repeat(40).as_slice());
    refused(&t, "layer named but absent", &pack(&docker_archive(&tag, &config, &[])[..1]));
    // One that the daemon has not got from elsewhere.
    let unknown = t.mark.repeat(50).into_bytes();
    let mut missing = docker_archive(&tag, &config_for(&t.mark, &[&unknown]), &[("l/layer.tar", &unknown)]);
    missing.remove(1);
    refused(&t, "layer missing", &pack(&missing));
    let mut bad = docker_archive(&tag, &config, &[("l/layer.tar", &layer)]);
    bad[2].1 = b"{".to_vec();
    refused(&t, "manifest is no JSON", &pack(&bad));
    let other = config_for(&t.mark, &[b"another layer"]);
    refused(&t, "layer does not match its id", &pack(&docker_archive(&tag, &other, &[("l/layer.tar", &layer)])));
    let two = config_for(&t.mark, &[&layer, &layer]);
    refused(&t, "fewer layers than ids", &pack(&docker_archive(&tag, &two, &[("l/layer.tar", &layer)])));
}

#[test]
fn names_leading_out_of_the_archive_are_refused() {
    let t = Scope::new();
    let tag = format!("compat-{}:x", t.mark);
    let (_, config) = parts(&t.mark);
    for path in ["../../../../../../etc/passwd", "/etc/passwd"] {
        refused(
            &t,
            path,
            &pack(
                &docker_archive(&tag, &config, &[])
                    .into_iter()
                    .map(|(n, b)| {
                        if n == "manifest.json" {
                            (n, format!(r#"[{{"Config":"{path}","RepoTags":["{tag}"],"Layers":[]}}]"#).into_bytes())
                        } else {
                            (n, b)
                        }
                    })
                    .collect::<Vec<_>>(),
            ),
        );
    }
}

/// A raw tar header, for names that the tar crate refuses to write.
fn raw_entry(name: &str, kind: tar::EntryType, link: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    let mut out = header.as_bytes().to_vec();
    out.extend_from_slice(bytes);
    out.resize(out.len().div_ceil(512) * 512, 0);
    out
}

#[test]
fn layers_cannot_write_outside_their_root() {
    let t = Scope::new();
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("victim");
    let target = target.to_str().unwrap();
    let dir = outside.path().to_str().unwrap();
    let up = format!("../../../../../../../../../../../../{target}");
    let evil: Vec<(&str, Vec<u8>)> = vec![
        ("parent path", raw_entry(&up, tar::EntryType::Regular, "", b"x")),
        ("absolute path", raw_entry(target, tar::EntryType::Regular, "", b"x")),
        (
            "through a link",
            [raw_entry("link", tar::EntryType::Symlink, dir, b""), raw_entry("link/victim", tar::EntryType::Regular, "", b"x")]
                .concat(),
        ),
        (
            "through a link upwards",
            [
                raw_entry("link", tar::EntryType::Symlink, "../../../../../../../../../..", b""),
                raw_entry(&format!("link{target}"), tar::EntryType::Regular, "", b"x"),
            ]
            .concat(),
        ),
        ("hard link out", raw_entry("passwd", tar::EntryType::Link, "../../../../../../../../etc/hostname", b"")),
        ("whiteout out", raw_entry(&format!("../../../../../../../..{dir}/.wh.keep"), tar::EntryType::Regular, "", b"")),
    ];
    std::fs::write(outside.path().join("keep"), "kept").unwrap();
    let tag = format!("compat-{}:x", t.mark);
    for (what, mut layer) in evil {
        layer.extend_from_slice(&[0; 1024]);
        let config = config_for(&t.mark, &[&layer]);
        let out = t.docker_with_input(&["load"], &pack(&docker_archive(&tag, &config, &[("l/layer.tar", &layer)])));
        // Refused, or kept inside the root: either is safe.
        if out.code == 0 {
            t.docker(&["rmi", &tag]).ok();
        }
        assert!(!std::path::Path::new(target).exists(), "{what}: wrote outside");
        assert!(outside.path().join("keep").exists(), "{what}: removed outside");
        assert_eq!(t.daemon.http("GET", "/_ping", None).status, 200, "{what}");
    }
}

#[test]
fn a_bomb_does_not_fill_memory() {
    let t = Scope::new();
    if !t.daemon.is_lighter("dockerd unpacks what it is given") {
        return;
    }
    // A configuration that claims to be enormous inside a small gzip.
    let tag = format!("compat-{}:x", t.mark);
    let manifest = format!(r#"[{{"Config":"c.json","RepoTags":["{tag}"],"Layers":[]}}]"#);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let size: u64 = 3 << 30;
    let mut header = tar::Header::new_ustar();
    header.set_path("c.json").unwrap();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    let small = pack(&[("manifest.json".into(), manifest.into_bytes())]);
    encoder.write_all(&small[..1024]).unwrap();
    encoder.write_all(header.as_bytes()).unwrap();
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..256 {
        encoder.write_all(&zeros).unwrap();
    }
    refused(&t, "a bomb", &encoder.finish().unwrap());
    let status = std::fs::read_to_string(format!("/proc/{}/status", t.daemon.pid())).unwrap();
    let peak: u64 =
        status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 400 << 10, "peak of {peak} kB");
}

#[test]
fn a_vanishing_client_leaves_nothing() {
    let t = Scope::new();
    let tag = format!("compat-{}:x", t.mark);
    let (layer, config) = parts(&t.mark);
    let good = pack(&docker_archive(&tag, &config, &[("l/layer.tar", &layer)]));
    let mut client = docker_compat_tests::http::Client::connect(&t.daemon.socket).unwrap();
    let head = format!(
        "POST /images/load HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
        good.len()
    );
    client.write(head.as_bytes()).unwrap();
    client.write(&good[..good.len() / 3]).unwrap();
    drop(client);
    assert_eq!(t.docker(&["images", "-q", "--filter", &format!("reference={tag}")]).ok(), "");
    load_and_run(&t, &good, &tag);
}
