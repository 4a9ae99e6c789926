//! Files copied out to a target that does not take every name: what it refuses is said, all else is there.

use crate::support::fuse::{self, Failing};
use crate::support::{Need, dof, folder, has, sample};
use fuser::Errno;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;

#[test]
fn a_name_that_the_target_does_not_take() {
    if !has(&[Need::Fuse, Need::Trusted]) {
        return;
    }
    let (_host, mount) = sample();
    let uploads = mount.join("srv/shop/uploads/names");
    fs::create_dir_all(uploads.join("a:dir/below/deep")).unwrap();
    fs::create_dir_all(uploads.join("zdir")).unwrap();
    let long = "n".repeat(200);
    let taken = ["first", "zdir/inside", "last"];
    let refused = [
        "a:b",
        &long,
        "\x1b[31m:",
        "a:dir/one",
        "a:dir/below/two",
        "a:dir/below/deep/three",
    ];
    for name in taken.iter().chain(&refused) {
        fs::write(uploads.join(name), name).unwrap();
    }
    std::os::unix::fs::symlink("/etc", uploads.join("a:dir/link")).unwrap();
    // As FAT: no colons, and names that are not too long.
    let backing = folder();
    let place = folder();
    let takes = |name: &std::ffi::OsStr| match name.as_bytes() {
        name if name.len() > 150 => Err(Errno::ENAMETOOLONG),
        name if name.contains(&b':') => Err(Errno::EINVAL),
        _ => Ok(()),
    };
    let _target = fuse::mount(place.path(), Failing::taking(backing.path(), takes), false);
    let to = place.path().join("out");
    let at = "/var/www/html/uploads/names";
    let m = mount.to_str().unwrap();
    let args = [
        "extract",
        "--container",
        "web",
        at,
        "--keep-owners",
        "-o",
        to.to_str().unwrap(),
        "--host",
        m,
    ];
    let ran = dof(args).with(1);
    // What is there, with its content and its hash.
    let copies = backing.path().join("out/files").join(&at[1..]);
    for name in taken {
        assert_eq!(fs::read_to_string(copies.join(name)).unwrap(), name);
    }
    let sums = fs::read_to_string(backing.path().join("out/SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), taken.len(), "{sums}");
    assert!(ran.err.contains("Copied 3 files ("), "{}", ran.err);
    // What is not: in the manifest all of it, on stderr each but what a directory has below it.
    let mut manifest = csv::Reader::from_path(backing.path().join("out/manifest.csv")).unwrap();
    let rows: Vec<BTreeMap<String, String>> = manifest.deserialize().map(Result::unwrap).collect();
    let fault = |name: &str| {
        let row = rows.iter().find(|r| r["path"] == format!("{at}/{name}"));
        let row = row.unwrap_or_else(|| panic!("{name} is in the manifest"));
        assert!(
            row["sha256"].is_empty() || row["fault"].is_empty(),
            "{row:?}"
        );
        row["fault"].clone()
    };
    for (name, why) in [
        ("a:b", "does not take it: Invalid argument"),
        (long.as_str(), "does not take it: File name too long"),
        ("\x1b[31m:", "does not take it: Invalid argument"),
        ("a:dir", "does not take it: Invalid argument"),
        ("a:dir/one", "the directory it is in"),
        ("a:dir/below", "the directory it is in"),
        ("a:dir/below/two", "the directory it is in"),
        ("a:dir/below/deep/three", "the directory it is in"),
        ("first", ""),
        ("zdir", ""),
        ("zdir/inside", ""),
        ("a:dir/link", ""),
    ] {
        let found = fault(name);
        assert!(
            found.contains(why) && found.is_empty() == why.is_empty(),
            "{name}: {found}"
        );
    }
    let faults = rows.iter().filter(|r| !r["fault"].is_empty()).count();
    assert_eq!(faults, 9);
    assert!(
        ran.err.contains("does not take 9 files and directories"),
        "{}",
        ran.err
    );
    let told = ran
        .err
        .lines()
        .filter(|l| l.contains("does not take it: "))
        .count();
    assert_eq!(told, 4, "{}", ran.err);
    assert!(!ran.err.contains('\x1b'));
    // It has no owners either: each copy is told of, and is one all the same.
    let owners = ran
        .err
        .lines()
        .filter(|l| l.contains("cannot have the owner"))
        .count();
    assert_eq!(owners, taken.len(), "{}", ran.err);
    // By a name below a directory that cannot be made.
    let second = place.path().join("second");
    let one = format!("{at}/a:dir/below/two");
    let args = [
        "extract",
        "--container",
        "web",
        &one,
        "/etc/passwd",
        "-o",
        second.to_str().unwrap(),
        "--host",
        m,
    ];
    let ran = dof(args).with(1);
    assert!(ran.err.contains("Copied 1 files ("), "{}", ran.err);
    assert!(
        ran.err
            .contains("a:dir/below/two: the target does not take"),
        "{}",
        ran.err
    );
}
