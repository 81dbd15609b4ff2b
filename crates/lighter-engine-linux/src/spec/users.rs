//! `user[:group]` and `--group-add`, looked up in the container's own `/etc/passwd` and `/etc/group`.
//!
//! Never in the host's, and never through libc's name services, which would load what the image brings.

use lighter_domain::{Error, Result};
use std::io;
use std::path::Path;

/// More than any real user database.
pub(crate) const MAX_FILE: u64 = 8 << 20;
const MAX_ID: u64 = (1 << 31) - 1;

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub uid: u32,
    pub gid: u32,
    /// The primary group first, as dockerd has it.
    pub groups: Vec<u32>,
    pub home: String,
}

struct Passwd<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Resolves `spec` (may be empty: root) and `extra` groups; `read` gives the text of a file of the container.
pub(crate) fn resolve(spec: &str, extra: &[String], read: impl Fn(&Path) -> io::Result<Option<Vec<u8>>>) -> Result<User> {
    let text = |path: &str| -> Result<String> {
        let bytes = read(Path::new(path)).map_err(|e| Error::internal(format!("cannot read {path} of the container: {e}")))?;
        Ok(bytes.map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default())
    };
    let (passwd, group) = (text("/etc/passwd")?, text("/etc/group")?);
    let (user_part, group_part) = spec.split_once(':').unwrap_or((spec, ""));

    let entry = find_user(&passwd, user_part);
    let uid = match (&entry, user_part) {
        (Some(e), _) => e.uid,
        (None, "") => 0,
        (None, s) => {
            number(s)?.ok_or_else(|| Error::invalid(format!("unable to find user {s}: no matching entries in passwd file")))?
        }
    };
    let mut user = User {
        uid,
        gid: entry.as_ref().map_or(0, |e| e.gid),
        groups: Vec::new(),
        home: entry.as_ref().map_or("", |e| e.home).to_owned(),
    };
    if !group_part.is_empty() {
        user.gid = find_group(&group, group_part)?;
    }
    user.groups.push(user.gid);
    if group_part.is_empty()
        && let Some(e) = &entry
    {
        let member = |g: &Group<'_>| g.members.split(',').any(|m| m.trim() == e.name);
        user.groups.extend(groups(&group).filter(member).map(|g| g.gid));
    }
    for name in extra {
        user.groups.push(find_group(&group, name)?);
    }
    let mut seen = std::collections::HashSet::new();
    user.groups.retain(|g| seen.insert(*g));
    if user.home.is_empty() {
        user.home = "/".into();
    }
    Ok(user)
}

fn find_user<'a>(passwd: &'a str, wanted: &str) -> Option<Passwd<'a>> {
    let id = if wanted.is_empty() { Some(0) } else { wanted.parse::<u32>().ok() };
    let mut entries = passwd.lines().filter_map(|line| {
        let mut f = line.trim().split(':');
        let (name, _, uid, gid) = (f.next()?, f.next()?, f.next()?.parse().ok()?, f.next()?.parse().ok()?);
        Some(Passwd { name, uid, gid, home: f.nth(1).unwrap_or("") })
    });
    entries.find(|e| e.name == wanted || id == Some(e.uid))
}

fn groups(group: &str) -> impl Iterator<Item = Group<'_>> {
    group.lines().filter_map(|line| {
        let mut f = line.trim().split(':');
        let (name, _, gid) = (f.next()?, f.next()?, f.next()?.parse().ok()?);
        Some(Group { name, gid, members: f.next().unwrap_or("") })
    })
}

fn find_group(group: &str, wanted: &str) -> Result<u32> {
    let id = wanted.parse::<u32>().ok();
    if let Some(g) = groups(group).find(|g| g.name == wanted || id == Some(g.gid)) {
        return Ok(g.gid);
    }
    number(wanted)?.ok_or_else(|| Error::invalid(format!("unable to find group {wanted}: no matching entries in group file")))
}

/// `None`: not a number.
fn number(s: &str) -> Result<Option<u32>> {
    match s.parse::<i64>() {
        Err(_) => Ok(None),
        Ok(n) => match u32::try_from(n) {
            Ok(id) if u64::from(id) <= MAX_ID => Ok(Some(id)),
            _ => Err(Error::invalid(format!("uids and gids must be in range 0-{MAX_ID}"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbad line\nwww:x:33:34:www:/var/www:/bin/false\nnohome:x:50:50::\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root,www\nwww:x:34:\naudio:x:29:www\n";

    fn who(spec: &str, extra: &[&str]) -> Result<User> {
        let extra: Vec<String> = extra.iter().map(ToString::to_string).collect();
        resolve(spec, &extra, |p| Ok(Some(if p.ends_with("passwd") { PASSWD } else { GROUP }.as_bytes().to_vec())))
    }

    fn user(uid: u32, gid: u32, groups: &[u32], home: &str) -> User {
        User { uid, gid, groups: groups.to_vec(), home: home.into() }
    }

    #[test]
    fn names_numbers_and_groups() {
        assert_eq!(who("", &[]).unwrap(), user(0, 0, &[0, 10], "/root"));
        assert_eq!(who("root", &[]).unwrap(), user(0, 0, &[0, 10], "/root"));
        assert_eq!(who("www", &[]).unwrap(), user(33, 34, &[34, 10, 29], "/var/www"));
        assert_eq!(who("33", &[]).unwrap(), user(33, 34, &[34, 10, 29], "/var/www"));
        assert_eq!(who("www:audio", &[]).unwrap(), user(33, 29, &[29], "/var/www"));
        assert_eq!(who("1000", &[]).unwrap(), user(1000, 0, &[0], "/"));
        assert_eq!(who("1000:1001", &[]).unwrap(), user(1000, 1001, &[1001], "/"));
        assert_eq!(who("nohome", &["audio", "777"]).unwrap(), user(50, 50, &[50, 29, 777], "/"));
    }

    #[test]
    fn the_unknown_is_refused_in_dockerds_words() {
        let text = |s: &str| who(s, &[]).unwrap_err().message().to_owned();
        assert_eq!(text("foo"), "unable to find user foo: no matching entries in passwd file");
        assert_eq!(text("root:foo"), "unable to find group foo: no matching entries in group file");
        assert_eq!(text("4294967295"), "uids and gids must be in range 0-2147483647");
        assert_eq!(text("-1"), "uids and gids must be in range 0-2147483647");
        assert!(who("", &["nosuch"]).is_err());
    }

    #[test]
    fn an_image_without_the_files_has_root() {
        assert_eq!(resolve("", &[], |_| Ok(None)).unwrap(), user(0, 0, &[0], "/"));
        assert!(resolve("x", &[], |_| Ok(None)).is_err());
    }
}
