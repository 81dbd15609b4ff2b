//! From a method and a path to one route, once. A path is split before it is decoded, so that an encoded slash is part of
//! a name and never makes a different route; a path that is not clean is not routed at all.

use crate::lighter;
use crate::routes::{ROUTES, Route};
use crate::version::{ApiVersion, NEWEST, Prefix};
use http::Method;
use lighter_wire::query::unescape;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The most bytes of a path (without its query).
const LONGEST_PATH: usize = 8 << 10;

/// What a path leads to.
pub enum Found<'p> {
    Route {
        route: &'static Route,
        version: ApiVersion,
        name: String,
    },
    /// An `OPTIONS` request: dockerd answers it with nothing, whatever the path.
    Options,
    Nowhere,
    /// The same path, cleaned.
    Redirect(String),
    TooOld(&'p str),
    TooNew(&'p str),
    TooLong,
}

/// A route's pattern, taken apart. `{name}` stands for one segment, `{name*}` for one or more.
struct Pattern {
    route: &'static Route,
    before: Vec<&'static str>,
    parameter: Option<Width>,
    after: Vec<&'static str>,
}

#[derive(Clone, Copy, PartialEq)]
enum Width {
    One,
    Many,
}

impl Pattern {
    fn of(route: &'static Route) -> Self {
        let segments: Vec<&str> = route.pattern[1..].split('/').collect();
        let at = segments.iter().position(|s| s.starts_with('{'));
        let parameter = at.map(|i| if segments[i].ends_with("*}") { Width::Many } else { Width::One });
        let (before, after) = at.map_or((&segments[..], &[][..]), |i| (&segments[..i], &segments[i + 1..]));
        Self { route, before: before.to_vec(), parameter, after: after.to_vec() }
    }

    /// The segments that the parameter stands for, when the path matches.
    fn matches<'s, 'p>(&self, path: &'s [&'p str]) -> Option<&'s [&'p str]> {
        let middle = path.len().checked_sub(self.before.len() + self.after.len())?;
        let fits = match self.parameter {
            None => middle == 0,
            Some(Width::One) => middle == 1,
            Some(Width::Many) => middle >= 1,
        };
        let named = &path[self.before.len()..self.before.len() + middle];
        (fits
            && path[..self.before.len()] == self.before[..]
            && path[path.len() - self.after.len()..] == self.after[..]
            && named.iter().all(|s| !s.is_empty()))
        .then_some(named)
    }
}

/// Patterns by their first segment.
static TABLE: LazyLock<HashMap<&'static str, Vec<Pattern>>> = LazyLock::new(|| {
    let mut table: HashMap<_, Vec<Pattern>> = HashMap::new();
    for route in ROUTES.iter().chain(lighter::ROUTES) {
        let pattern = Pattern::of(route);
        table.entry(pattern.before[0]).or_default().push(pattern);
    }
    table
});

/// Decides on a request by its method and raw path.
pub fn find<'p>(method: &Method, path: &'p str) -> Found<'p> {
    if path.len() > LONGEST_PATH {
        return Found::TooLong;
    }
    let mut segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    if let Some(clean) = cleaned(path, &segments) {
        return Found::Redirect(clean);
    }
    let version = match Prefix::of(segments[0]) {
        Prefix::None => NEWEST,
        Prefix::Served(version) => {
            segments.remove(0);
            version
        }
        Prefix::TooOld(v) => return Found::TooOld(v),
        Prefix::TooNew(v) => return Found::TooNew(v),
    };
    if *method == Method::OPTIONS {
        return Found::Options;
    }
    let candidates = segments.first().and_then(|first| TABLE.get(first)).map_or(&[][..], Vec::as_slice);
    for pattern in candidates.iter().filter(|p| p.route.method == *method) {
        if let Some(named) = pattern.matches(&segments) {
            let name = match named {
                [] => String::new(),
                [one] => unescape(one, false),
                many => many.iter().map(|s| unescape(s, false)).collect::<Vec<_>>().join("/"),
            };
            return Found::Route { route: pattern.route, version, name };
        }
    }
    Found::Nowhere
}

/// The path without empty, `.` and `..` segments, if it has any. A single slash at the end is kept: it is part of no route.
fn cleaned(path: &str, segments: &[&str]) -> Option<String> {
    let last = segments.len() - 1;
    let dirty = |(i, s): (usize, &&str)| matches!(*s, "." | "..") || (s.is_empty() && i != last);
    if path.starts_with('/') && !segments.iter().enumerate().any(dirty) {
        return None;
    }
    let mut out: Vec<&str> = Vec::new();
    for segment in segments {
        match *segment {
            "" | "." => {}
            ".." => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    Some(format!("/{}", out.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn found(method: &Method, path: &str) -> String {
        match find(method, path) {
            Found::Route { route, version, name } => format!("{} {version} {name}", route.operation),
            Found::Options => "options".into(),
            Found::Nowhere => "-".into(),
            Found::Redirect(to) => format!("-> {to}"),
            Found::TooOld(v) => format!("old {v}"),
            Found::TooNew(v) => format!("new {v}"),
            Found::TooLong => "long".into(),
        }
    }
    fn get(path: &str) -> String {
        found(&Method::GET, path)
    }

    #[test]
    fn routes() {
        assert_eq!(get("/_ping"), "SystemPing 1.56 ");
        assert_eq!(get("/v1.40/_ping"), "SystemPing 1.40 ");
        assert_eq!(get("/containers/json"), "ContainerList 1.56 ");
        assert_eq!(get("/containers/json/json"), "ContainerInspect 1.56 json");
        assert_eq!(get("/images/json"), "ImageList 1.56 ");
        assert_eq!(get("/images/a/b/c:d/json"), "ImageInspect 1.56 a/b/c:d");
        assert_eq!(get("/images/a%2Fb/json"), "ImageInspect 1.56 a/b");
        assert_eq!(get("/images/json/json"), "ImageInspect 1.56 json");
        assert_eq!(get("/images/get/get"), "ImageGet 1.56 get");
        assert_eq!(found(&Method::POST, "/images/library/busybox/tag"), "ImageTag 1.56 library/busybox");
        assert_eq!(found(&Method::DELETE, "/images/a/b"), "ImageDelete 1.56 a/b");
        assert_eq!(found(&Method::HEAD, "/_ping"), "SystemPingHead 1.56 ");
        assert_eq!(get("/swarm"), "SwarmInspect 1.56 ");
    }

    #[test]
    fn what_is_no_route() {
        for path in ["/", "/v1.40", "/v1.40/", "/containers", "/containers/a/b/json", "/containers/json/", "/images/json/x", "/x"]
        {
            assert_eq!(get(path), "-", "{path}");
        }
        assert_eq!(found(&Method::PUT, "/_ping"), "-");
        assert_eq!(found(&Method::HEAD, "/containers/json"), "-");
        assert_eq!(found(&Method::OPTIONS, "/containers/json"), "options");
    }

    #[test]
    fn an_unclean_path_is_sent_back_cleaned_and_never_routed() {
        assert_eq!(get("//v1.40/../containers/json"), "-> /containers/json");
        assert_eq!(get("/v1.40//containers/json"), "-> /v1.40/containers/json");
        assert_eq!(get("/containers/./json"), "-> /containers/json");
        assert_eq!(get("/../../etc"), "-> /etc");
        assert_eq!(get("//"), "-> /");
    }

    #[test]
    fn an_encoded_slash_makes_no_other_route() {
        assert_eq!(get("/containers%2Fjson"), "-");
        assert_eq!(get("/containers/x%2Fjson"), "-");
        assert_eq!(get("/containers/x%2Fy/json"), "ContainerInspect 1.56 x/y");
        assert_eq!(get("/containers/%2e%2e/json"), "ContainerInspect 1.56 ..");
        assert_eq!(get("/%76%31.40/_ping"), "-");
    }

    #[test]
    fn versions_out_of_range() {
        assert_eq!(get("/v1.23/_ping"), "old 1.23");
        assert_eq!(get("/v1.99/nothing"), "new 1.99");
        assert_eq!(get(&format!("/{}", "a".repeat(9000))), "long");
    }

    #[test]
    fn no_operation_and_no_route_is_listed_twice() {
        let (mut operations, mut paths) = (HashSet::new(), HashSet::new());
        for route in ROUTES.iter().chain(lighter::ROUTES) {
            assert!(operations.insert(route.operation), "{}", route.operation);
            assert!(paths.insert((&route.method, route.pattern)), "{}", route.pattern);
        }
    }
}
