//! What is printed and what directories are called: paths and names that an attacker chose speak to no terminal, forge no line and
//! name no directory.

use crate::support::made::{Host, config};
use crate::support::mounts::Mounted;
use crate::support::{Need, Ran, dof, dof_command, folder, has, sample};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A name with an escape of terminals, a line of its own and a control of direction.
const EVIL: &str = "ev\x1b[31m\nFORGED \u{202e}il";

/// Whether text holds only lines that a terminal shows as they are; and none of them is the one in [`EVIL`].
#[track_caller]
fn plain(what: &str, ran: &Ran) {
    for text in [&ran.out, &ran.err] {
        let speaks = |c: char| {
            c != '\n' && c.is_control()
                || ('\u{202a}'..='\u{202e}').contains(&c)
                || ('\u{2066}'..='\u{2069}').contains(&c)
        };
        assert!(!text.chars().any(speaks), "{what}: {text:?}");
        let forged = text.lines().any(|l| l.starts_with("FORGED"));
        assert!(!forged, "{what}: {text}");
    }
}

#[test]
fn paths_named_after_evidence() {
    let (unpacked, mount) = sample();
    let dir = folder();
    let evil = dir.path().join(EVIL);
    fs::rename(&mount, &evil).unwrap();
    drop(unpacked);
    let at = |name: &str| dir.path().join(format!("{name} {EVIL}"));
    let path = |name: &str| at(name).to_str().unwrap().to_owned();
    let m = evil.to_str().unwrap();
    fs::write(at("no case"), "x").unwrap();
    fs::write(at("list"), format!("{}  x\n", "a".repeat(64))).unwrap();
    fs::create_dir(at("empty")).unwrap();
    let word = |word: &str| match word {
        "M" => m.to_owned(),
        "EVIL" => EVIL.to_owned(),
        "--EVIL" => format!("--{EVIL}"),
        name => match name.strip_prefix('@') {
            Some(name) => path(&name.replace('_', " ")),
            None => name.to_owned(),
        },
    };
    for (line, codes) in [
        ("ingest M @case", [0, 1]),
        ("ingest M @case", [0, 1]),
        ("ingest M @no_case", [2, 3]),
        ("ingest @nothing @other", [2, 3]),
        ("ingest @empty @other", [2, 3]),
        ("ingest M @nothing/case", [2, 3]),
        ("ingest --hash sha256 --known @list M @other", [0, 1]),
        ("ingest --docker-home EVIL M @third", [2, 3]),
        ("check @case", [0, 0]),
        ("check @no_case", [2, 3]),
        ("check @nothing", [2, 3]),
        ("known @list @case", [0, 0]),
        ("known @nothing @case", [2, 3]),
        ("known @empty @case", [2, 3]),
        ("known @no_case @case", [2, 3]),
        ("status M", [0, 1]),
        ("status @case", [0, 1]),
        ("status @empty", [2, 3]),
        ("list-containers M", [0, 1]),
        ("list-containers @case --format table", [0, 1]),
        ("list-images M", [0, 1]),
        ("list-images @case -o @list", [2, 3]),
        ("list-images M -o M", [2, 3]),
        ("show-container-config --container EVIL M", [2, 3]),
        ("show-image-config --image EVIL @case", [2, 3]),
        ("macrobber-volumes --container EVIL M", [2, 3]),
        ("export-container --container apache -o @tar M", [0, 1]),
        ("export-container --container apache -o M M", [2, 3]),
        ("export-container --container EVIL -o @tar2 M", [2, 3]),
        ("extract --container apache /tmp -o @out --host M", [0, 1]),
        ("extract --container apache /tmp -o @out --host M", [2, 3]),
        ("extract --container apache EVIL -o @o --host M", [2, 3]),
        ("verify M", [0, 1]),
        ("verify --case @case M", [0, 1]),
        ("verify --case @no_case M", [2, 3]),
        ("verify --image EVIL M", [2, 3]),
        ("query hosts --case @case", [0, 0]),
        ("query EVIL --case @case", [2, 3]),
        ("query timeline --since EVIL --case @case", [2, 3]),
        ("query logs --match EVIL --case @case", [0, 3]),
        ("query timeline --EVIL --case @case", [2, 3]),
        ("query --list --EVIL", [2, 3]),
        ("query files --case @case -o @list", [2, 3]),
        ("query files --case @nothing", [2, 3]),
        (
            "mount-container --container apache --at-mountpoint M M",
            [2, 3],
        ),
        ("mount-container --container EVIL M", [2, 3]),
        ("mount-container --all --at-mountpoint @nothing/x M", [2, 3]),
        ("unmount-container @empty", [2, 3]),
        ("unmount-container @nothing", [2, 3]),
        ("mount-image @nothing", [2, 3]),
        ("mount-image @no_case", [2, 3]),
        ("mount-image @empty", [2, 3]),
        ("unmount-image @nothing", [2, 3]),
        ("demo @list", [2, 3]),
        ("man --to @list", [2, 3]),
        ("man EVIL", [2, 3]),
        ("completions EVIL", [2, 3]),
        ("--EVIL", [2, 3]),
        ("EVIL", [2, 3]),
        ("demo @demo", [0, 1]),
    ] {
        let ran = dof(line.split(' ').map(word));
        plain(line, &ran);
        assert!(
            codes.contains(&ran.code),
            "{line}: {} {}",
            ran.code,
            ran.err
        );
    }
}

/// Container names out of hand-made records: each container has a directory of its own, whatever they have in common.
#[test]
fn containers_are_mounted_at_plain_names() {
    if !has(&[Need::Mounts("overlay")]) {
        return;
    }
    let host = Host::new();
    let evil = "x\\u001b[31m\\nMounted container none at /\\u202e";
    let long = "n".repeat(300);
    let names = [evil, "a b", "a_b", "a:b", "a_b-2", "..", &long, "web"];
    let letters = "abcdef01".chars();
    for (letter, name) in letters.clone().zip(names) {
        let id = host.container(letter, config(name));
        let own = host.root().join("overlay2").join(&id).join("diff/whose");
        fs::write(own, &id).unwrap();
    }
    let dir = folder();
    let all = dir.path().join("all");
    fs::create_dir(&all).unwrap();
    let _undo = Mounted(&all);
    let (at, mount) = (all.to_str().unwrap(), host.mount());
    let args = ["mount-container", "--all", "--at-mountpoint", at];
    let asked = [&args[..], &[mount.to_str().unwrap()]].concat();
    let ran = dof(&asked);
    plain("--all", &ran);
    assert_eq!(
        ran.out.lines().count(),
        names.len(),
        "{}{}",
        ran.out,
        ran.err
    );
    // A directory a container, and each shows its own files.
    let made = || -> BTreeSet<String> {
        let all = fs::read_dir(&all).unwrap();
        all.map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let of = |name: &String| fs::read_to_string(all.join(name).join("whose")).unwrap();
    let plain_name = |name: &String| {
        let own = name.strip_prefix("dof-").unwrap();
        own.len() <= 80
            && own
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    let dirs = made();
    assert!(dirs.iter().all(plain_name), "{dirs:?}");
    assert!(dirs.contains("dof-web"), "{dirs:?}");
    let whose: BTreeSet<String> = dirs.iter().map(of).collect();
    let ids: BTreeSet<String> = letters.map(|c| c.to_string().repeat(64)).collect();
    assert_eq!(whose, ids);
    // The same again finds the same places.
    let twice = dof(&asked);
    plain("twice", &twice);
    assert_eq!(
        twice.err.matches("is taken").count(),
        names.len(),
        "{}",
        twice.err
    );
    let undone = dof(["unmount-container", at]).with(0);
    plain("unmount", &undone);
    assert_eq!(undone.out.lines().count(), names.len());
    assert_eq!(made(), BTreeSet::new());
    // At a new temporary directory, and at one with such a name.
    let ids = ["a".repeat(64), "0".repeat(64)];
    let named = all.join(EVIL);
    for (id, place) in ids.iter().zip([None, named.to_str()]) {
        let place = place.map_or(vec![], |place| vec!["--at-mountpoint", place]);
        let args = [&["mount-container", "--container", id][..], &place].concat();
        let out = dof_command()
            .args(args)
            .arg(&mount)
            .env("TMPDIR", &all)
            .output()
            .unwrap();
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        let (out, err, code) = (text(&out.stdout), text(&out.stderr), out.status.code());
        let ran = Ran {
            code: code.unwrap(),
            out,
            err,
        };
        plain("one", &ran);
        assert_eq!(ran.with(0).out.lines().count(), 1);
    }
    let undone = dof(["unmount-container", at]).with(0);
    plain("unmount", &undone);
    assert_eq!(undone.out.lines().count(), 2);
    assert!(
        Path::new(&named).exists(),
        "a directory that the analyst named stays"
    );
}
