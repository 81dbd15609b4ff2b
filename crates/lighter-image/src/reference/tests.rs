use proptest::prelude::*;

use super::*;

#[test]
fn normalises_and_shortens() {
    for (text, canonical, familiar) in [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
        ("index.docker.io/busybox", "docker.io/library/busybox", "busybox"),
        ("foo/bar", "docker.io/foo/bar", "foo/bar"),
        ("library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/x", "localhost/x", "localhost/x"),
        ("localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"),
        ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
        ("[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x"),
        ("ghcr.io/a/b__c.d-e---f", "ghcr.io/a/b__c.d-e---f", "ghcr.io/a/b__c.d-e---f"),
        ("MyHost/x", "MyHost/x", "MyHost/x"),
    ] {
        let reference = Reference::parse(text).unwrap();
        assert_eq!((reference.to_string(), reference.familiar()), (canonical.to_owned(), familiar.to_owned()));
    }
    let digest = format!("sha256:{}", "a".repeat(64));
    let reference = Reference::parse(&format!("x:1@{digest}")).unwrap();
    assert_eq!((reference.tag(), reference.digest()), (Some("1"), Some(digest.as_str())));
    assert_eq!(Reference::parse("x").unwrap().with_default_tag().familiar(), "x:latest");
    assert_eq!(Reference::from_repo_and_tag("x:1", "").unwrap().familiar(), "x:1");
    assert_eq!(Reference::from_repo_and_tag("x", "2").unwrap().familiar(), "x:2");
}

#[test]
fn refuses_in_dockers_words() {
    let id = "0".repeat(64);
    let long = "a/".repeat(130) + "a";
    for (text, message) in [
        ("", "invalid reference format"),
        ("Foo", "invalid reference format: repository name (library/Foo) must be lowercase"),
        ("foo/Bar:x", "invalid reference format: repository name (foo/Bar) must be lowercase"),
        ("foo:", "invalid reference format"),
        ("foo:-x", "invalid reference format"),
        ("foo:bar:baz", "invalid reference format"),
        ("foo bar", "invalid reference format"),
        ("-foo", "invalid reference format"),
        ("foo/", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("a..b", "invalid reference format"),
        ("a___b", "invalid reference format"),
        ("x@sha256:abc", "invalid reference format"),
        ("ho_st.io/x/", "invalid reference format"),
        ("../etc/passwd", "invalid reference format"),
        (&id, &format!("invalid repository name ({id}), cannot specify 64-byte hexadecimal strings")),
        (&long, "repository name must not be more than 255 characters"),
        (&format!("x@md5:{}", "a".repeat(32)), "unsupported digest algorithm"),
        (&format!("x@sha256:{}", "a".repeat(63)), "invalid checksum digest length"),
    ] {
        assert_eq!(Reference::parse(text).map(|r| r.to_string()).unwrap_err().to_string(), *message, "{text}");
    }
    assert_eq!(Reference::from_repo_and_tag("x", "a b"), Err(ReferenceError::Tag));
}

proptest! {
    #[test]
    fn what_parses_comes_back(
        text in "([a-z0-9]{1,4}(\\.[a-z]{2})?(:[0-9]{1,4})?/)?[a-z0-9]{1,4}((\\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}(/[a-z]{1,4}){0,2}(:[\\w&&[^\\W]][a-zA-Z0-9_.-]{0,5})?"
    ) {
        if let Ok(reference) = Reference::parse(&text) {
            prop_assert_eq!(&Reference::parse(&reference.to_string()).unwrap(), &reference);
            prop_assert_eq!(&Reference::parse(&reference.familiar()).unwrap(), &reference);
        }
    }

    #[test]
    fn never_panics_and_never_accepts_what_does_not_come_back(text in "\\PC{0,60}") {
        if let Ok(reference) = Reference::parse(&text) {
            prop_assert_eq!(&Reference::parse(&reference.familiar()).unwrap(), &reference);
        }
    }
}
