//! What the architecture says of the crates, kept true: who may depend on whom, and a few habits of all source files.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crate -> which of ours it may depend on. Fewer is fine, more is not. A new crate needs a line here, and a reason.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("lighter-domain", &[]),
    ("lighter-wire", &[]),
    ("lighter-store", &["lighter-domain"]),
    ("lighter-engine", &["lighter-domain"]),
    (
        "lighter-engine-linux",
        &["lighter-domain", "lighter-engine", "lighter-image", "lighter-network", "lighter-registry", "lighter-supervisor-proto"],
    ),
    ("lighter-engine-memory", &["lighter-domain", "lighter-engine"]),
    ("lighter-image", &["lighter-domain"]),
    ("lighter-network", &["lighter-domain"]),
    ("lighter-registry", &["lighter-domain", "lighter-image"]),
    ("lighter-supervisor", &["lighter-supervisor-proto"]),
    ("lighter-supervisor-proto", &["lighter-domain"]),
    ("lighter-core", &["lighter-domain", "lighter-store", "lighter-engine"]),
    // The API converts between wire and domain; of engines and store it knows nothing but the seam's streams.
    ("lighter-api", &["lighter-domain", "lighter-wire", "lighter-core", "lighter-engine"]),
    // Talks to the daemon over its socket alone.
    ("lighter-cli", &["lighter-wire"]),
    (
        "lighterd",
        &[
            "lighter-api",
            "lighter-core",
            "lighter-domain",
            "lighter-engine",
            "lighter-engine-linux",
            "lighter-engine-memory",
            "lighter-store",
            "lighter-wire",
        ],
    ),
    // Tests and measurements of the finished programs: from outside, over the socket.
    ("docker-compat-tests", &[]),
    ("lighter-benches", &[]),
];

/// Foreign crates that belong to one place.
const AT_HOME: &[(&str, &[&str])] = &[
    ("sqlx", &["lighter-store"]),
    ("axum", &["lighter-api"]),
    ("libcontainer", &["lighter-supervisor", "lighter-engine-linux"]),
    ("rtnetlink", &["lighter-network"]),
    ("reqwest", &["lighter-registry"]),
    ("anyhow", &["lighterd", "lighter-cli", "docker-compat-tests", "lighter-benches"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Crate -> its normal and build dependencies. What only tests need does not shape the house.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version=1", "--no-deps", "--offline"]).current_dir(root());
    let out = cargo.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: Value = serde_json::from_slice(&out.stdout).unwrap();
    let name = |v: &Value| v["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    let of = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap().iter();
        all.filter(|d| d["kind"].as_str() != Some("dev")).map(name).collect()
    };
    packages.iter().map(|package| (name(package), of(package))).collect()
}

#[test]
fn crates_depend_in_one_direction() {
    let crates = dependencies();
    assert!(crates.len() > 10, "{crates:?}");
    let mut wrong = Vec::new();
    for (name, dependencies) in &crates {
        let Some((_, allowed)) = MAY_DEPEND_ON.iter().find(|(n, _)| n == name) else {
            wrong.push(format!("{name} has no line in the table"));
            continue;
        };
        let ours = dependencies.iter().filter(|d| crates.contains_key(*d));
        wrong.extend(ours.filter(|d| !allowed.contains(&d.as_str())).map(|d| format!("{name} must not depend on {d}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_itself_has_no_circles() {
    let mut settled: BTreeSet<&str> = BTreeSet::new();
    while settled.len() < MAY_DEPEND_ON.len() {
        let before = settled.len();
        for (name, on) in MAY_DEPEND_ON {
            if on.iter().all(|d| settled.contains(d)) {
                settled.insert(name);
            }
        }
        assert!(settled.len() > before, "a circle beyond {settled:?}");
    }
}

#[test]
fn only_lighterd_names_a_concrete_engine() {
    for (name, dependencies) in dependencies() {
        let engines: Vec<_> = dependencies.iter().filter(|d| d.starts_with("lighter-engine-")).collect();
        assert!(name == "lighterd" || engines.is_empty(), "{name} names {engines:?}");
    }
}

#[test]
fn foreign_crates_stay_at_home() {
    let crates = dependencies();
    for (foreign, homes) in AT_HOME {
        for (name, dependencies) in &crates {
            assert!(!dependencies.contains(*foreign) || homes.contains(&name.as_str()), "{name} must not depend on {foreign}");
        }
    }
}

/// All our Rust files with their text.
fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for dir in ["crates", "docker-compat-tests", "benches"] {
        walk(&root().join(dir), &mut found);
    }
    assert!(found.len() > 50, "the sources were not found");
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// Fails with the files of which `what` is true.
fn none(why: &str, what: impl Fn(&Path, &str) -> bool) {
    let root = root();
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|(path, text)| what(path, text))
        .map(|(path, _)| path.strip_prefix(&root).unwrap().display().to_string())
        .collect();
    assert!(wrong.is_empty(), "{why}:\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_lives_in_modules_named_sys() {
    let in_sys = |path: &Path| path.iter().any(|part| part == "sys" || part == "sys.rs");
    let is_unsafe = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        ["unsafe {", "unsafe fn ", "unsafe impl ", "unsafe extern "].iter().any(|form| code.contains(form))
    };
    none("unsafe outside sys", |path, text| {
        // This very file has the words, and main has the one call that must come first.
        let known = path.ends_with("tests/directions.rs") || path.ends_with("lighterd/src/main.rs");
        !known && !in_sys(path) && text.lines().any(is_unsafe)
    });
}

#[test]
fn long_files_say_why() {
    none("more than 600 lines without a `//! Length:` line that says why", |_, text| {
        text.lines().count() > 600 && !text.lines().any(|l| l.trim_start().starts_with("//! Length:"))
    });
}

#[test]
fn every_file_says_what_it_is_for() {
    // A module's `tests.rs` beside it speaks for itself.
    none("no `//!` at the beginning", |path, text| {
        !path.ends_with("tests.rs")
            && !text.lines().find(|l| !l.trim().is_empty() && !l.starts_with("#!")).is_some_and(|l| l.starts_with("//!"))
    });
}

#[test]
fn the_repository_stands_alone() {
    // Written in two halves, so that this file does not find itself.
    let words = [concat!("../sha", "red"), concat!("/work/sha", "red")];
    none("refers to something outside the repository", |_, text| words.iter().any(|w| text.contains(w)));
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile"] {
        let text = fs::read_to_string(root().join(name)).unwrap_or_default();
        assert!(!words.iter().any(|w| text.contains(w)), "{name}");
    }
}
