use std::io::Read;
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::error::{ArchiveError, Error};
use crate::fixtures::{self, file};

fn read_all(data: &[u8]) -> Result<Vec<(EntryHeader, Vec<u8>)>, Error> {
    let mut tar = TarReader::new(Buffered::new(data));
    let mut out = Vec::new();
    while let Some(header) = tar.next()? {
        let mut payload = Vec::new();
        tar.payload_reader().read_to_end(&mut payload).map_err(from_io)?;
        out.push((header, payload));
    }
    Ok(out)
}

#[test]
fn reads_names_links_and_attributes() {
    let long = "d/".repeat(120) + "file";
    let data = fixtures::tar([
        file("a", "hello").owner(1000, 3_000_000).mode(0o4755),
        file(&long, "x").xattr("user.k", b"v\0\n"),
        fixtures::symlink("l", "a"),
        fixtures::dir("dir/"),
    ]);
    let entries = read_all(&data).unwrap();
    let [(a, hello), (b, _), (l, _), (dir, _)] = &entries[..] else { panic!("{}", entries.len()) };
    assert_eq!((a.mode, a.uid, a.gid, &hello[..]), (0o4755, 1000, 3_000_000, &b"hello"[..]));
    assert_eq!(a.mtime, (1_600_000_000, 0));
    assert_eq!((&b.path, &b.xattrs), (&long.into_bytes(), &vec![(b"user.k".to_vec(), b"v\0\n".to_vec())]));
    assert_eq!((l.kind, &l.link[..]), (EntryKind::Symlink, &b"a"[..]));
    assert_eq!(dir.kind, EntryKind::Directory);
}

/// GNU tar itself writes what we must read: every format, long names, sparse files, times with fractions.
#[test]
fn reads_what_gnu_tar_writes() {
    let dir = tempfile::tempdir().unwrap();
    let long = "n".repeat(180);
    std::fs::write(dir.path().join(&long), "long").unwrap();
    let sparse = std::fs::File::create(dir.path().join("sparse")).unwrap();
    let mut expected = vec![0; 3 << 20];
    for at in 0..40_usize {
        let offset = at * 70_000 / 4096 * 4096;
        std::os::unix::fs::FileExt::write_all_at(&sparse, &[7; 4096], offset as u64).unwrap();
        expected[offset..offset + 4096].fill(7);
    }
    sparse.set_len(expected.len() as u64).unwrap();
    for options in [
        &["--format=gnu"][..],
        &["--format=gnu", "-S"],
        &["--format=posix", "-S", "--sparse-version=0.0"],
        &["--format=posix", "-S", "--sparse-version=0.1"],
        &["--format=posix", "-S", "--sparse-version=1.0"],
    ] {
        let output = Command::new("tar").args(options).arg("-cC").arg(dir.path()).args(["sparse", &long]).output();
        let data = output.unwrap().stdout;
        let entries = read_all(&data).unwrap();
        assert_eq!(entries.len(), 2, "{options:?}");
        let (header, stored) = &entries[0];
        assert_eq!((&header.path[..], header.size), (&b"sparse"[..], expected.len() as u64), "{options:?}");
        let mut content = vec![0; expected.len()];
        let mut at = 0;
        let whole = vec![(0, stored.len() as u64)];
        for &(offset, length) in header.sparse.as_ref().unwrap_or(&whole) {
            let (offset, length) = (offset as usize, length as usize);
            content[offset..offset + length].copy_from_slice(&stored[at..at + length]);
            at += length;
        }
        assert!(content == expected, "{options:?}");
        assert_eq!(header.sparse.is_some(), options.len() > 1, "{options:?}");
        assert_eq!(entries[1].0.path, long.as_bytes());
        assert_eq!(entries[1].1, b"long");
    }
}

#[test]
fn a_cut_anywhere_is_an_error_or_a_shorter_list() {
    let data = fixtures::tar([file("a", vec![1; 700]), file("b", "x")]);
    // One block of zeros is end enough.
    for end in 0..data.len() - BLOCK {
        match read_all(&data[..end]) {
            Ok(entries) => assert!(end % BLOCK == 0 && entries.len() <= 2),
            Err(Error::Archive(error)) => assert_eq!(error, ArchiveError::Truncated),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn bounds_what_it_keeps_in_memory() {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(1 << 40);
    header.set_cksum();
    let error = read_all(header.as_bytes()).unwrap_err();
    assert!(matches!(error, Error::Archive(ArchiveError::TooLarge { .. })), "{error}");
}

#[test]
fn writes_what_it_and_others_read() {
    let mut out = Vec::new();
    let mut writer = TarWriter::new(&mut out);
    writer.directory("d/").unwrap();
    writer.file("d/f", 3, |out| out.write_all(b"abc").map_err(Error::Output)).unwrap();
    assert!(writer.file("short", 3, |_| Ok(())).is_err());
    let mut out = Vec::new();
    let mut writer = TarWriter::new(&mut out);
    writer.file("d/f", 3, |out| out.write_all(b"abc").map_err(Error::Output)).unwrap();
    writer.finish().unwrap();
    assert_eq!(read_all(&out).unwrap()[0].1, b"abc");
    let mut archive = tar::Archive::new(&out[..]);
    assert_eq!(archive.entries().unwrap().next().unwrap().unwrap().path().unwrap().to_str(), Some("d/f"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(mut data in proptest::collection::vec(any::<u8>(), 0..4096), fix in any::<bool>()) {
        if fix && data.len() >= BLOCK {
            data[148..156].fill(b' ');
            let sum: u32 = data[..BLOCK].iter().map(|b| u32::from(*b)).sum();
            data[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let _ = read_all(&data);
    }

    #[test]
    fn damaged_archives_never_panic(at in 0_usize..4000, value in any::<u8>()) {
        let long = "x".repeat(200);
        let mut data = fixtures::tar([file(&long, "x").xattr("user.a", b"b"), fixtures::symlink("l", "t"), file("f", "y")]);
        let at = at % data.len();
        data[at] = value;
        let _ = read_all(&data);
    }
}
