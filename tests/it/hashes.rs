//! Contents: hashes against sha256sum's, duplicates and known lists against a count made of them, and what has no hash.

use crate::support::{Need, dof, folder, has, hashed, ingest, one, open, rows, run, sample};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What sha256sum says of every file the case has a hash for, by path on the host: (ours, its).
fn compare(case: &Path, mount: &Path) -> usize {
    let mut ours = BTreeMap::new();
    for row in rows(case, &["files"]) {
        if let Some(hash) = row["sha256"].as_str() {
            let path = row["host_path"].as_str().unwrap().trim_start_matches('/');
            // The column shows names that are not UTF-8 in ways sha256sum does not take.
            if !path.contains("\\x") {
                ours.insert(path.to_owned(), hash.to_owned());
            }
        }
    }
    let list = folder();
    let names: String = ours.keys().map(|p| format!("{p}\0")).collect();
    fs::write(list.path().join("names"), names).unwrap();
    let script = format!(
        "cd '{}' && xargs -0 sha256sum -z -- < '{}'",
        mount.display(),
        list.path().join("names").display()
    );
    let theirs: BTreeMap<String, String> = run("bash", &["-c", &script])
        .expect("bash")
        .with(0)
        .out
        .split_terminator('\0')
        .map(|l| (l[66..].to_owned(), l[..64].to_owned()))
        .collect();
    assert_eq!(ours, theirs);
    ours.len()
}

#[test]
fn hashes_are_those_of_sha256sum() {
    let (_host, mount) = sample();
    let volume = mount.join("srv/shop/uploads");
    // Several names, holes at the end and in the middle, a size of several blocks, nothing at all.
    fs::hard_link(volume.join("cat.jpg.php"), volume.join("again.php")).unwrap();
    let sparse = fs::File::create(volume.join("sparse")).unwrap();
    sparse.set_len(50_000_000).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 20_000_001).unwrap();
    fs::write(volume.join("large"), vec![7; 3 * 256 * 1024 + 1]).unwrap();
    fs::write(volume.join("empty"), b"").unwrap();
    for i in 0..600 {
        fs::write(volume.join(format!("many{i}")), [i as u8; 9]).unwrap();
    }
    let (_dir, case) = hashed(&mount, &[], 0);
    let n = compare(&case, &mount);
    assert!(n > 1000, "{n}");
    let db = open(&case);
    // Each regular file has one: nothing was left out.
    let lacking: i64 = one(
        &db,
        "SELECT count(*) FROM file f LEFT JOIN file_hash x ON x.file_id = f.id WHERE (f.mode & 61440 = 32768) <> (x.sha256 IS NOT NULL)",
    );
    assert_eq!(lacking, 0);
    // Of containers' own layers and volumes only.
    let (_dir, some) = hashed(&mount, &["--hash-scope", "containers"], 0);
    let trees = "SELECT group_concat(DISTINCT coalesce(l.role, t.kind)) FROM file_hash x JOIN file f ON f.id = x.file_id JOIN directory d ON d.id = f.dir_id JOIN tree t ON t.id = d.tree_id LEFT JOIN layer l ON l.id = t.layer_id";
    let kinds: String = one(&open(&some), trees);
    let mut kinds: Vec<&str> = kinds.split(',').collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["container", "volume"]);
    let (some, all) = (compare(&some, &mount) as i64, n as i64);
    assert!(0 < some && some < all);
    // And none where nobody asked.
    let (_dir, none) = ingest(&mount, 0);
    assert_eq!(
        one::<i64>(&open(&none), "SELECT count(*) FROM file_hash"),
        0
    );
}

#[test]
fn the_same_hashes_whatever_the_number_of_threads() {
    let (_host, mount) = sample();
    let volume = mount.join("srv/shop/uploads");
    for i in 0..40 {
        fs::hard_link(volume.join("cat.jpg.php"), volume.join(format!("l{i}"))).unwrap();
    }
    let of = |jobs: &str| -> Vec<(i64, Vec<u8>)> {
        let (_dir, case) = hashed(&mount, &["--jobs", jobs], 0);
        let db = open(&case);
        let mut stmt = db
            .prepare("SELECT file_id, sha256 FROM file_hash ORDER BY rowid")
            .unwrap();
        let rows = stmt.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let one = of("1");
    assert!(one.len() > 500);
    assert_eq!(one, of("2"));
    assert_eq!(one, of("7"));
}

#[test]
fn what_cannot_be_hashed_is_a_problem() {
    let (_host, mount) = sample();
    let volume = mount.join("srv/shop/uploads");
    let hole = fs::File::create(volume.join("terabyte")).unwrap();
    hole.set_len(1 << 40).unwrap();
    let began = std::time::Instant::now();
    let (_dir, case) = hashed(&mount, &[], 1);
    assert!(began.elapsed().as_secs() < 60, "holes are not read");
    let problems = rows(&case, &["problems"]);
    let of: Vec<&Value> = problems
        .iter()
        .filter(|p| p["severity"] != "note")
        .collect();
    assert_eq!(of.len(), 1, "{problems:#?}");
    assert_eq!(of[0]["path"], "/srv/shop/uploads/terabyte");
    assert!(of[0]["what"].as_str().unwrap().contains("bytes of holes"));
    assert_eq!(
        rows(&case, &["files", "--path", "*/terabyte"])[0]["sha256"],
        Value::Null
    );
    compare(&case, &mount);
    let ran = dof(["ingest", "x", "y.db", "--hash", "sha256", "--no-files"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
}

#[test]
fn duplicates_and_known_files() {
    let (_host, mount) = sample();
    let (dir, case) = hashed(&mount, &[], 0);
    // Counted from the list of all files.
    let mut by_hash: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows(&case, &["files"]) {
        if let (Some(hash), true) = (row["sha256"].as_str(), row["size"] != 0) {
            let path = row["host_path"].as_str().unwrap().to_owned();
            by_hash.entry(hash.into()).or_default().push(path);
        }
    }
    let all = by_hash.clone();
    by_hash.retain(|_, paths| paths.len() > 1);
    let mut ours: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows(&case, &["duplicates"]) {
        let text = |c: &str| row[c].as_str().unwrap().to_owned();
        ours.entry(text("sha256"))
            .or_default()
            .push(text("host_path"));
    }
    assert!(by_hash.len() > 5);
    assert_eq!(ours, by_hash);
    // The trojan stands in an image and in a container.
    let trojan = rows(&case, &["duplicates", "--path", "/tmp/trojan"]);
    assert!(trojan.len() > 1 && trojan.iter().all(|r| r["copies"] == trojan.len()));
    let hash = trojan[0]["sha256"].as_str().unwrap();
    let found = rows(&case, &["files", "--sha256", &hash.to_uppercase()]);
    assert_eq!(found.len(), trojan.len());

    // Lists: sha256sum's, with a name to be unescaped; CSV as of NSRL; one without a hash.
    let other = all.keys().find(|h| *h != hash).unwrap();
    let list = dir.path().join("bad.sha256");
    fs::write(
        &list,
        format!(
            "\\{hash}  evil\\nname\nnonsense\n{}  not here\n",
            "0".repeat(64)
        ),
    )
    .unwrap();
    let csv = dir.path().join("nsrl.csv");
    let upper = other.to_uppercase();
    fs::write(
        &csv,
        format!("\"SHA-256\",\"SHA-1\",\"FileName\"\n\"{upper}\",\"x\",\"a, b\"\n"),
    )
    .unwrap();
    let empty = dir.path().join("empty");
    fs::write(&empty, "nothing\n").unwrap();
    let known = |list: &Path| dof([Path::new("known"), list, &case]);
    let said = known(&list).with(0).err;
    assert!(
        said.contains("2 known hashes; 1 lines without a hash left out"),
        "{said}"
    );
    known(&csv).with(0);
    known(&list).with(0); // in its own place
    let refused = known(&empty).with(2).err;
    assert!(refused.contains("neither lines of sha256sum"), "{refused}");
    // What dof adds it seals; what it refused left nothing.
    dof([Path::new("check"), &case]).with(0);
    assert_eq!(
        dof([Path::new("known"), &list, &dir.path().join("no.db")]).code,
        2
    );
    let mut got: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for row in rows(&case, &["known"]) {
        let text = |c: &str| row[c].as_str().unwrap().to_owned();
        let key = (text("list"), text("known_as"));
        got.entry(key).or_default().push(text("host_path"));
    }
    let want = [
        (
            ("bad.sha256".into(), "evil\nname".into()),
            all[hash].clone(),
        ),
        (("nsrl.csv".into(), "a, b".into()), all[other].clone()),
    ];
    assert_eq!(got, want.into());
    assert_eq!(
        rows(&case, &["known", "--list", "nsrl.csv"]).len(),
        all[other].len()
    );

    // The same with the ingest.
    let (_dir, again) = hashed(&mount, &["--known", list.to_str().unwrap()], 0);
    assert_eq!(rows(&again, &["known"]).len(), all[hash].len());
}

/// Lists as other programs write them: all formats of coreutils' own sha256sum, and those that hold no SHA-256.
#[test]
fn lists_of_all_kinds() {
    let (_host, mount) = sample();
    let (dir, case) = hashed(&mount, &[], 0);
    let files = dir.path().join("files");
    fs::create_dir(&files).unwrap();
    for (i, name) in ["plain", "new\nline", "back\\slash", "a) = b", " blank "]
        .iter()
        .enumerate()
    {
        fs::write(files.join(name), [i as u8]).unwrap();
    }
    let known = |name: &str, text: &str| {
        fs::write(dir.path().join(name), text).unwrap();
        dof([Path::new("known"), &dir.path().join(name), &case])
    };
    let listed = |name: &str| -> Vec<(String, String)> {
        let db = open(&case);
        let sql = "SELECT lower(hex(sha256)), name FROM known_hash WHERE list = ? ORDER BY name";
        let mut stmt = db.prepare(sql).unwrap();
        let rows = stmt.query_map([name], |r| Ok((r.get(0)?, r.get(1)?)));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    };
    let sums = |options: &str| {
        let script = format!("cd '{}' && {options} -- *", files.display());
        run("bash", &["-c", &script]).unwrap().with(0).out
    };
    // -z escapes nothing: the truth of names.
    let mut truth: Vec<(String, String)> = sums("sha256sum -z")
        .split_terminator('\0')
        .map(|l| (l[..64].to_owned(), l[66..].to_owned()))
        .collect();
    truth.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!(truth.len(), 5);
    for (name, options) in [
        ("text", "sha256sum"),
        ("binary", "sha256sum -b"),
        ("tag", "sha256sum --tag"),
    ] {
        known(name, &sums(options)).with(0);
        // A blank at the end of a line may be anyone's, and is not kept.
        let ours = listed(name);
        let trim = |all: &[(String, String)]| -> Vec<(String, String)> {
            all.iter()
                .map(|(h, n)| (h.clone(), n.trim_end_matches(' ').to_owned()))
                .collect()
        };
        assert_eq!(trim(&ours), trim(&truth), "{name}");
    }
    let one = &truth[0].0;
    known(
        "semicolon",
        &format!("\"SHA-256\";\"FileName\"\n\"{one}\";\"x; y\"\n"),
    )
    .with(0);
    assert_eq!(listed("semicolon"), [(one.clone(), "x; y".to_owned())]);
    // The weaker ones are named, and nothing is left of them.
    let nsrl = format!(
        "\"SHA-1\",\"MD5\",\"CRC32\",\"FileName\"\n\"{}\",\"{}\",\"0\",\"x\"\n",
        &one[..40],
        &one[..32]
    );
    for (list, says) in [
        (sums("md5sum"), "but MD5: files"),
        (sums("sha1sum --tag"), "but SHA-1: files"),
        (nsrl, "but MD5 and SHA-1: files"),
    ] {
        let said = known("weak", &list).with(2).err;
        assert!(said.contains(says), "{said}");
        assert!(listed("weak").is_empty());
    }
    dof([Path::new("check"), &case]).with(0);
}

/// What an ingest without hashes takes away, and a list without hashes cannot do, is said.
#[test]
fn hashes_do_not_go_unsaid() {
    let (_host, mount) = sample();
    let (dir, case) = hashed(&mount, &[], 0);
    let list = dir.path().join("list");
    fs::write(&list, "0".repeat(64)).unwrap();
    let (mount, case) = (mount.to_str().unwrap(), case.to_str().unwrap());
    let list = list.to_str().unwrap();
    let count = || one::<i64>(&open(Path::new(case)), "SELECT count(*) FROM file_hash");
    let had = count();
    let refused = dof(["ingest", "--known", list, mount, case]).with(2).err;
    assert!(refused.contains("add --hash sha256"), "{refused}");
    assert!(had > 0 && count() == had);
    assert!(
        !dof(["known", list, case])
            .with(0)
            .err
            .contains("has a hash")
    );
    let said = dof(["ingest", mount, case]).with(0).err;
    assert!(said.contains("hashes of the earlier ingest"), "{said}");
    assert_eq!(count(), 0);
    let said = dof(["known", list, case]).with(0).err;
    assert!(said.contains("no file of this case has a hash"), "{said}");
    // Nothing to say where nothing went.
    assert!(!dof(["ingest", mount, case]).with(0).err.contains("hashes"));
}

/// A recorded host, every file.
#[test]
fn a_recorded_host_hashed() {
    if !has(&[Need::Evidence]) {
        return;
    }
    let (dir, _) = crate::support::oracle::recorded("swarm-docker26");
    let (_dir, case) = hashed(dir.path(), &[], 0);
    assert!(compare(&case, dir.path()) > 10);
}
