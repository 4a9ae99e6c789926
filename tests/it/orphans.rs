//! What deletions left behind: a live engine whose things are removed through it, then by hand as an attacker would, and
//! recorded hosts whose makers wrote down what they removed.

use crate::support::engine::Engine;
use crate::support::{Need, dof, has, ingest, rows, sample, str_of};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// Kind and name of each orphan that ordinary use does not leave.
fn strays(case: &Path) -> BTreeSet<(String, String)> {
    let rows = rows(case, &["orphans", "--ordinary", "no"]);
    rows.iter()
        .map(|r| (str_of(r, "kind"), str_of(r, "name")))
        .collect()
}

fn now() -> String {
    in_ms(0)
}

/// The time some milliseconds from now; those of files are by a clock that may be some behind.
fn in_ms(ms: i64) -> String {
    (chrono::Utc::now() + chrono::TimeDelta::milliseconds(ms))
        .format("%Y-%m-%dT%H:%M:%S%.9fZ")
        .to_string()
}

#[test]
fn what_is_removed_by_hand_is_told() {
    if !has(&[Need::Engine]) {
        return;
    }
    let mut engine = Engine::start("orphans").expect("an engine");
    engine.base_image();
    let run = |args: &[&str]| {
        let all = [&["run", "-d"], args].concat();
        engine.docker(&all).text()
    };
    engine.docker(&["network", "create", "shopnet"]).text();
    engine.docker(&["volume", "create", "data"]).text();
    let began = now();
    run(&["--name", "keep", "-v", "data:/d", "base:1", "sleep", "600"]);
    let loot = "echo card > /loot; sleep 600";
    let named = ["--name", "victim", "--network", "shopnet"];
    let victim = run(&[&named[..], &["base:1", "sh", "-c", loot]].concat());
    let second = run(&["--name", "second", "base:1", "sh", "-c", "echo x > /x"]);
    engine.docker(&["wait", "second"]).text();
    let lost = engine.docker(&["commit", "second", "lost:1"]).text();
    run(&["--name", "doomed", "base:1", "sh", "-c", "echo y > /y"]);
    engine.docker(&["wait", "doomed"]).text();
    let forced = engine.docker(&["commit", "doomed", "forced:1"]).text();
    run(&["--name", "imageless", "forced:1", "true"]);
    engine.docker(&["rmi", "-f", "forced:1"]).text();
    let address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = engine.docker(&["inspect", "-f", address, "victim"]).text();
    let layer = |name: &str| -> String {
        let dir = ["inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", name];
        let dir = engine.docker(&dir).text();
        dir.rsplit('/').nth(1).unwrap().to_owned()
    };
    let (victims, seconds) = (layer("victim"), layer("second"));
    // The last thing done to the folder of containers: a removal, well after everything else.
    sleep(Duration::from_millis(1500));
    let before = now();
    engine.docker(&["rm", "-f", "doomed"]).text();
    let after = now();
    engine.kill();

    // Nothing was removed but through the engine.
    let (_dir, case) = ingest(&engine.root(), 0);
    assert_eq!(strays(&case), BTreeSet::new());
    let gaps = rows(&case, &["gaps"]);
    let of_folders = |r: &&Value| str_of(r, "what") == "something";
    let folders: BTreeSet<String> = gaps
        .iter()
        .filter(of_folders)
        .map(|r| str_of(r, "name"))
        .collect();
    // What the image removed by force alone had was still in use by its container.
    let want = [
        "containers",
        "image/overlay2/imagedb/content/sha256",
        "image/overlay2/layerdb/mounts",
        "overlay2/l",
    ];
    assert_eq!(folders, want.map(str::to_owned).into());
    let find = |what: &str, name: &str| -> Option<Value> {
        let is = |r: &&Value| str_of(r, "what") == what && str_of(r, "name") == name;
        gaps.iter().find(is).cloned()
    };
    let image = find("image", "forced:1").expect("the image removed by force");
    assert_eq!(str_of(&image, "id"), forced);
    assert!(str_of(&image, "evidence").contains("imageless"));
    let removal = find("something", "containers").expect("the folder of containers");
    let at = str_of(&removal, "last");
    assert!(before <= at && at <= after, "{before} {at} {after}");
    assert!(find("container", "victim").is_none() && find("container", "keep").is_none());
    let ordinary = rows(&case, &["orphans", "--ordinary", "yes"]);
    let image: Vec<&Value> = ordinary
        .iter()
        .filter(|r| r["name"] == "imageless")
        .collect();
    assert!(str_of(image[0], "why").contains(&forced), "{image:?}");

    // As an attacker would, while the engine is down.
    let root = engine.data_root();
    let gone =
        |path: &str| fs::remove_dir_all(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    gone(&format!("containers/{victim}"));
    gone(&format!("overlay2/{seconds}"));
    gone("volumes/data");
    let config = lost.trim_start_matches("sha256:");
    fs::remove_file(root.join(format!("image/overlay2/imagedb/content/sha256/{config}"))).unwrap();
    fs::create_dir_all(root.join("volumes/stray/_data")).unwrap();
    fs::create_dir_all(root.join("image/overlay2/layerdb/tmp/write-set-1")).unwrap();
    let chain = {
        // The layer only the lost image has: whose record is not that of a layer of base:1.
        let case = dof::case::Case::open(&case).unwrap();
        let sql = "SELECT il.chain_id FROM image_layer il JOIN image i ON i.id = il.image_id WHERE i.full_id = ? ORDER BY il.position DESC LIMIT 1";
        let chain: String = case.db().query_row(sql, [&lost], |r| r.get(0)).unwrap();
        chain
    };
    let link = {
        let links = fs::read_dir(root.join("overlay2/l")).unwrap();
        let mut broken = links
            .flatten()
            .filter(|l| !l.path().exists())
            .map(|l| l.file_name().to_string_lossy().into_owned());
        broken.next().expect("the link of the layer removed")
    };
    // A warning: files of a layer are gone.
    let (_dir, case) = ingest(&engine.root(), 1);
    let mut want: BTreeSet<(String, String)> = [
        ("mount-record", victim.as_str()),
        ("container-layer", &victims),
        ("init-layer", &format!("{victims}-init")),
        ("task", &victim),
        ("link", &link),
        ("image-reference", "lost:1"),
        ("layer-record", &chain),
        ("volume-record", "data"),
        ("volume", "stray"),
        ("unfinished", "write-set-1"),
    ]
    .map(|(kind, name)| (kind.to_owned(), name.to_owned()))
    .into();
    let mut got = strays(&case);
    // Depending on how the engine makes images, metadata of the lost one stays; the sandbox has an id of its own.
    got.retain(|(kind, name)| !(kind == "image-metadata" && *name == lost));
    let sandboxes: Vec<_> = got.iter().filter(|g| g.0 == "sandbox").cloned().collect();
    assert_eq!(sandboxes.len(), 1, "{got:#?}");
    want.insert(sandboxes[0].clone());
    assert_eq!(got, want);
    let orphans = rows(&case, &["orphans"]);
    let own = orphans.iter().find(|r| r["kind"] == "container-layer");
    let own = own.expect("the victim's own layer");
    assert_eq!(str_of(own, "belongs"), victim);
    assert_eq!(
        (own["files"].as_i64(), own["size"].as_i64()),
        (Some(1), Some(5))
    );
    assert!(str_of(own, "last_file") > began && str_of(own, "last_file") < after);

    let gaps = rows(&case, &["gaps"]);
    let find = |what: &str, id: &str| -> Value {
        let mut of = gaps
            .iter()
            .filter(|r| str_of(r, "what") == what && str_of(r, "id") == id);
        let row = of
            .next()
            .unwrap_or_else(|| panic!("{what} {id}: {gaps:#?}"));
        assert!(of.next().is_none(), "one row a thing");
        row.clone()
    };
    let container = find("container", &victim);
    assert_eq!(str_of(&container, "name"), "victim");
    assert!(
        str_of(&container, "detail").contains(&address),
        "{container}"
    );
    assert!(began < str_of(&container, "first") && str_of(&container, "last") < after);
    assert!(str_of(&container, "says").contains("victim here, until"));
    find("layer", &seconds);
    find("volume", "data");
    assert!(str_of(&find("image", &lost), "name").contains("lost:1"));
    let still: BTreeSet<String> = gaps
        .iter()
        .filter(|r| str_of(r, "what") == "container")
        .map(|r| str_of(r, "id"))
        .collect();
    assert!(
        !still.contains(&second),
        "a container with a record is not gone"
    );
}

/// The container whose records the maker of this host took away, as its notes say; and nothing else.
#[test]
fn a_recorded_host_with_one_leftover() {
    if !has(&[Need::Evidence]) {
        return;
    }
    let (dir, _) = crate::support::oracle::recorded("logs-docker26-drivers");
    let notes = crate::support::evidence()
        .unwrap()
        .join("logs-docker26-drivers.oracle/orphan.json");
    let notes: Value = serde_json::from_slice(&fs::read(notes).unwrap()).unwrap();
    let (_dir, case) = ingest(dir.path(), 0);
    let want = [
        ("container-layer".to_owned(), str_of(&notes, "layer_dir")),
        ("init-layer".to_owned(), str_of(&notes, "init_dir")),
    ];
    assert_eq!(strays(&case), want.into());
    let gaps = rows(&case, &["gaps", "--what", "container"]);
    assert_eq!(gaps.len(), 1);
    assert!(str_of(&gaps[0], "evidence").contains(&str_of(&notes, "layer_dir")));
    // It ended at 23:31:58.8 and was removed at once.
    assert!(str_of(&gaps[0], "last").starts_with("2026-11-23T23:31:58.8"));
}

/// Hosts on which nothing was deleted behind the engine's back.
#[test]
fn healthy_hosts_have_no_strays() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    assert_eq!(strays(&case), BTreeSet::new());
}

#[test]
fn healthy_recorded_hosts_have_no_strays() {
    if !has(&[Need::Evidence]) {
        return;
    }
    for name in [
        "apache-mysql-docker20-overlay2",
        "rootless-docker26",
        "swarm-docker26",
        "vfs-docker20",
    ] {
        let (dir, _) = crate::support::oracle::recorded(name);
        let (_dir, case) = ingest(dir.path(), 0);
        assert_eq!(strays(&case), BTreeSet::new(), "{name}");
    }
}

/// Without a default network the legacy builder leaves the sandboxes of its steps behind: they are no strays, and gaps names
/// each container once.
#[test]
fn steps_of_a_build_are_ordinary() {
    if !has(&[Need::Engine, Need::Program("sqlite3")]) {
        return;
    }
    let mut engine = Engine::start_as("steps", &[("NO_BRIDGE", "1")]).expect("an engine");
    engine.base_image();
    let file = "FROM base:1\nRUN echo 1 > /1\nRUN echo 2 > /2\nRUN echo 3 > /3\n";
    engine
        .docker_in(&["build", "-t", "built:1", "-"], file.as_bytes())
        .text();
    engine.kill();
    let (_dir, case) = ingest(&engine.root(), 0);
    assert_eq!(strays(&case), BTreeSet::new());
    let orphans = rows(&case, &["orphans", "--ordinary", "yes"]);
    let left = orphans.iter().filter(|r| r["kind"] == "sandbox").count();
    assert_eq!(left, 3, "{orphans:#?}");
    let gaps = rows(&case, &["gaps"]);
    let containers: Vec<&Value> = gaps
        .iter()
        .filter(|r| str_of(r, "id").len() == 64)
        .collect();
    let ids: BTreeSet<String> = containers.iter().map(|r| str_of(r, "id")).collect();
    assert_eq!((ids.len(), containers.len()), (3, 3), "{gaps:#?}");
    // Of each several traces are left, whose order must not be that of one SQLite.
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries/gaps.sql");
    let theirs = crate::support::sqlite3::sqlite3(&case, &file, &[]);
    assert_eq!(Value::from(gaps.clone()), theirs);
    for r in containers {
        assert_eq!(r["what"], "build-container");
        assert!(
            !str_of(r, "last").is_empty() && str_of(r, "evidence").contains("sandbox"),
            "{r}"
        );
    }
}

/// Something of the disk taken away, and put back when this goes out of scope.
struct Taken {
    from: PathBuf,
    to: PathBuf,
}

impl Taken {
    fn new(root: &Path, path: &str) -> Taken {
        let from = root.join(path);
        let to = root.parent().unwrap().join("taken");
        fs::rename(&from, &to).unwrap_or_else(|e| panic!("{path}: {e}"));
        Taken { from, to }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        fs::rename(&self.to, &self.from).expect("put back");
    }
}

/// Each record that a container, image or volume consists of, taken away by itself: the ingest says which, and the queries
/// that rest on it do not pretend.
#[test]
fn each_thing_taken_away_is_named() {
    if !has(&[Need::Engine]) {
        return;
    }
    let mut engine = Engine::start("taken").expect("an engine");
    engine.base_image();
    engine.docker(&["volume", "create", "data"]).text();
    let run = |args: &[&str]| engine.docker(&[&["run", "-d"], args].concat()).text();
    let began = now();
    let script = "echo card > /loot; sleep 600";
    let id = run(&[
        "--name", "shop", "-v", "data:/d", "base:1", "sh", "-c", script,
    ]);
    let other = run(&["--name", "other", "base:1", "sh", "-c", "echo x > /x"]);
    engine.docker(&["wait", "other"]).text();
    let layer = |name: &str| {
        let upper = "{{.GraphDriver.Data.UpperDir}}";
        let upper = engine.docker(&["inspect", "-f", upper, name]).text();
        upper.rsplit('/').nth(1).unwrap().to_owned()
    };
    let (layer, others) = (layer("shop"), layer("other"));
    let image = engine
        .docker(&["inspect", "-f", "{{.Image}}", "shop"])
        .text();
    let image = image.trim_start_matches("sha256:").to_owned();
    let diff_id = "{{index .RootFS.Layers 0}}";
    let chain = engine.docker(&["inspect", "-f", diff_id, "base:1"]).text();
    let chain = chain.trim_start_matches("sha256:").to_owned();
    engine.kill();
    let root = engine.data_root();
    let read = |path: String| {
        fs::read_to_string(root.join(path))
            .unwrap()
            .trim()
            .to_owned()
    };
    let base = read(format!("image/overlay2/layerdb/sha256/{chain}/cache-id"));
    let link = read(format!("overlay2/{layer}/link"));

    // As the engine left it: nothing is wrong, gone or left over.
    let (_whole, case) = ingest(&engine.root(), 0);
    assert_eq!(strays(&case), BTreeSet::new());
    let gaps = rows(&case, &["gaps"]);
    assert!(gaps.iter().all(|r| r["what"] == "something"), "{gaps:#?}");
    assert_eq!(dof([OsStr::new("verify"), engine.root().as_ref()]).code, 0);

    let mounts = format!("image/overlay2/layerdb/mounts/{id}");
    let store = format!("image/overlay2/layerdb/sha256/{chain}");
    // What is taken, what the problem says and at which path; a row of gaps (what, and a part of what it says); whether
    // drift and container-files warn of container shop; what verify says of layer and image.
    type Deed<'a> = (
        String,
        &'a str,
        &'a str,
        &'a str,
        bool,
        Option<[&'a str; 2]>,
    );
    let ok = None;
    let deeds: &[Deed<'_>] = &[
        (
            mounts.clone(),
            "the record of the layers of container shop is gone",
            "record",
            "container shop has is gone",
            false,
            ok,
        ),
        (
            format!("{mounts}/init-id"),
            "stands on 2 layers, as its own layer says, of which the records name 1",
            "",
            "",
            false,
            ok,
        ),
        (
            format!("{mounts}/mount-id"),
            "without a mount ID",
            "",
            "",
            true,
            ok,
        ),
        (
            format!("{mounts}/parent"),
            "stands on 2 layers, as its own layer says, of which the records name 1",
            "",
            "",
            false,
            ok,
        ),
        (
            format!("overlay2/{layer}"),
            "the files of this container layer are gone",
            "layer",
            &layer,
            true,
            ok,
        ),
        (
            format!("overlay2/{layer}-init"),
            "the files of this init layer are gone",
            "layer",
            "-init are gone",
            true,
            ok,
        ),
        (
            format!("overlay2/l/{link}"),
            "the link of container layer",
            "link",
            &link,
            false,
            ok,
        ),
        (
            format!("containers/{id}/{id}-json.log"),
            "the log is not there",
            "log",
            "the log of container shop is gone",
            false,
            ok,
        ),
        (
            "volumes/data/_data".into(),
            "the volume's files are gone",
            "volume-files",
            "the files of volume data are gone",
            false,
            ok,
        ),
        (
            "volumes/data".into(),
            "the volume's directory is gone",
            "volume",
            "there was a volume data here",
            false,
            ok,
        ),
        (
            "volumes".into(),
            "the volume of a container is gone",
            "volume",
            "there was a volume data here",
            false,
            ok,
        ),
        (
            "image/overlay2/repositories.json".into(),
            "not there, though there are images",
            "",
            "",
            false,
            ok,
        ),
        (
            format!("image/overlay2/imagedb/content/sha256/{image}"),
            "",
            "image",
            "base:1 here",
            false,
            Some(["as shipped", "changed"]),
        ),
        (
            format!("overlay2/{base}"),
            "the files of this image layer are gone",
            "layer",
            &base,
            true,
            Some(["changed", "changed"]),
        ),
        (
            store.clone(),
            "no layer sha256:",
            "",
            "",
            false,
            Some(["", "changed"]),
        ),
        (
            format!("{store}/diff"),
            "",
            "",
            "",
            false,
            Some(["changed", "changed"]),
        ),
        (
            format!("{store}/cache-id"),
            "layer without a cache ID",
            "",
            "",
            false,
            Some(["changed", "changed"]),
        ),
        (
            format!("{store}/tar-split.json.gz"),
            "",
            "",
            "",
            false,
            Some(["cannot be verified", "cannot be verified"]),
        ),
    ];
    for (path, problem, what, says, unknown, verified) in deeds {
        sleep(Duration::from_millis(100));
        let before = in_ms(-50);
        let taken = Taken::new(&root, path);
        let (_dir, case) = ingest(&engine.root(), i32::from(!problem.is_empty()));
        let problems = rows(&case, &["problems"]);
        let said = |r: &Value| str_of(r, "what").contains(problem);
        assert!(
            problem.is_empty() || problems.iter().any(said),
            "{path}: {problems:#?}"
        );
        let gaps = rows(&case, &["gaps"]);
        let row = |r: &Value| str_of(r, "what") == *what && str_of(r, "says").contains(says);
        assert!(what.is_empty() || gaps.iter().any(row), "{path}: {gaps:#?}");
        for r in gaps.iter().filter(|r| row(r) && !what.is_empty()) {
            // It was there when the container was made; of a volume's folder the removal itself is seen.
            let (last, end) = (str_of(r, "last"), now());
            assert!(
                last.is_empty() || began < last && last < end || *says == base,
                "{path}: {r}"
            );
        }
        // A folder of such things says itself when one was removed.
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if ["volumes", "overlay2/l", "image/overlay2/layerdb/mounts"].contains(&folder) {
            let of_it =
                |r: &&Value| str_of(r, "what") == "something" && str_of(r, "name") == folder;
            let removal = gaps.iter().find(of_it).expect(folder);
            let last = str_of(removal, "last");
            assert!(last >= before && last < now(), "{path}: {before} {removal}");
        }
        for query in ["drift", "container-files"] {
            let asked = [
                "query",
                query,
                "--container",
                "shop",
                "--case",
                case.to_str().unwrap(),
            ];
            let ran = dof(asked).with(i32::from(*unknown));
            assert_eq!(
                ran.err.contains("container shop: "),
                *unknown,
                "{path}: {}",
                ran.err
            );
            let asked = [
                "query",
                query,
                "--container",
                "other",
                "--case",
                case.to_str().unwrap(),
            ];
            let all = path.contains(&base) || path.starts_with(&store) && *unknown;
            dof(asked).with(i32::from(all));
        }
        let ran = dof([OsStr::new("verify"), engine.root().as_ref()]);
        let [of_layer, of_image] = verified.unwrap_or(["as shipped"; 2]);
        assert_eq!(
            ran.code,
            i32::from(verified.is_some() || !problem.is_empty()),
            "{path}: {}",
            ran.out
        );
        for (subject, id, outcome) in [("layer", &chain, of_layer), ("image", &image, of_image)] {
            let line = ran
                .out
                .lines()
                .find(|l| l.starts_with(&format!("{subject} sha256:{id}")));
            let line = line.unwrap_or_default();
            assert!(
                line.ends_with(outcome) && line.is_empty() == outcome.is_empty(),
                "{path}: {}",
                ran.out
            );
        }
        drop(taken);
    }

    // What verify keeps in a case of an image whose config is gone.
    let taken = Taken::new(
        &root,
        &format!("image/overlay2/imagedb/content/sha256/{image}"),
    );
    let host = engine.root();
    let (_dir, named) = ingest(&host, 0);
    let asked = [
        OsStr::new("verify"),
        "--case".as_ref(),
        named.as_ref(),
        host.as_ref(),
    ];
    dof(asked).with(1);
    let kept = rows(&named, &["verify", "--outcome", "changed"]);
    assert_eq!(kept.len(), 1, "{kept:#?}");
    let of = ["id", "images", "change", "attribute"].map(|c| str_of(&kept[0], c));
    assert_eq!(
        of,
        [&format!("sha256:{image}"), "base:1", "missing", "config"]
    );
    // Asked for by its name it is none there is.
    let asked = [
        OsStr::new("verify"),
        "--image".as_ref(),
        "base:1".as_ref(),
        host.as_ref(),
    ];
    assert!(dof(asked).with(2).err.contains("no image base:1"));
    drop(taken);

    // A container's folder without its record, and one without its log.
    let taken = Taken::new(&root, &format!("containers/{other}/config.v2.json"));
    let (_dir, without) = ingest(&host, 1);
    let stray = ("container".to_owned(), other.clone());
    assert!(strays(&without).contains(&stray));
    let gone = rows(&without, &["gaps", "--what", "container"]);
    let gone: Vec<&Value> = gone.iter().filter(|r| str_of(r, "id") == other).collect();
    assert!(
        gone.len() == 1 && str_of(gone[0], "last") > began,
        "{gone:#?}"
    );
    drop(taken);
    let taken = Taken::new(&root, &format!("containers/{other}/{other}-json.log"));
    let (_dir, without) = ingest(&host, 1);
    let problems = rows(&without, &["problems"]);
    assert!(
        problems
            .iter()
            .any(|r| str_of(r, "what").contains("the log is not there"))
    );
    drop(taken);

    // containerd knows the layer of a container that ran when the power went: all of it is there, as with its record.
    let files = |case: &Path| {
        let mut all = rows(case, &["drift", "--container", "shop"]);
        all.extend(rows(case, &["container-files", "--container", "shop"]));
        let plain = |r: &Value| [str_of(r, "path"), str_of(r, "change"), str_of(r, "layer")];
        all.iter().map(plain).collect::<Vec<_>>()
    };
    let whole = files(&case);
    assert!(whole.len() > 10 && whole.iter().any(|f| f[0] == "/loot"));
    let taken = Taken::new(&root, &mounts);
    let (_dir, case) = ingest(&engine.root(), 1);
    assert_eq!(files(&case), whole);
    drop(taken);

    // A layer of which no record tells may be that of the stopped container whose record is gone.
    let taken = Taken::new(&root, &format!("image/overlay2/layerdb/mounts/{other}"));
    let (_dir, case) = ingest(&engine.root(), 1);
    let gaps = rows(&case, &["gaps", "--what", "container"]);
    let of_it = |r: &&Value| str_of(r, "evidence").contains(&others);
    let row = gaps.iter().find(of_it).expect("the layer");
    let says = str_of(row, "says");
    assert!(says.contains("of no known name here, until"), "{row}");
    assert!(
        says.ends_with("; or it is that of other, whose record of its layers is gone"),
        "{row}"
    );
    assert_eq!(rows(&case, &["gaps", "--what", "record"]).len(), 1);
    let ran = dof([
        "query",
        "drift",
        "--container",
        "other",
        "--case",
        case.to_str().unwrap(),
    ])
    .with(1);
    assert!(
        ran.err
            .contains("container other: its own layer is not known"),
        "{}",
        ran.err
    );
    drop(taken);

    // A broken record, an emptied list of names, folders that are no layers.
    let record = root.join(&store).join("tar-split.json.gz");
    let whole = fs::read(&record).unwrap();
    fs::write(&record, &whole[..whole.len() / 2]).unwrap();
    let ran = dof([OsStr::new("verify"), engine.root().as_ref()]).with(1);
    assert!(
        ran.out.contains("cannot be unpacked") || ran.out.contains("tar-split"),
        "{}",
        ran.out
    );
    assert!(
        ran.err
            .contains("Images: 0 as shipped, 0 changed, 1 cannot be verified"),
        "{}",
        ran.err
    );
    fs::write(&record, &whole).unwrap();
    fs::write(
        root.join("image/overlay2/repositories.json"),
        r#"{"Repositories":{}}"#,
    )
    .unwrap();
    fs::create_dir_all(root.join("overlay2/weird")).unwrap();
    fs::create_dir_all(root.join("overlay2/check-overlayfs-support1/lower1")).unwrap();
    fs::create_dir_all(root.join("tmp/moby-detect-1")).unwrap();
    // One who takes the config and the name: the container still says that there was an image.
    fs::remove_file(root.join(format!("image/overlay2/imagedb/content/sha256/{image}"))).unwrap();
    let (_dir, case) = ingest(&engine.root(), 0);
    let gaps = rows(&case, &["gaps"]);
    assert!(gaps.iter().all(|r| r["what"] != "layer"), "{gaps:#?}");
    let why = |name: &str| {
        let all = rows(&case, &["orphans"]);
        let row = all.iter().find(|r| str_of(r, "name") == name);
        row.map(|r| (str_of(r, "kind"), str_of(r, "why")))
            .expect(name)
    };
    assert_eq!(
        why("weird"),
        ("layer".into(), "no record knows this layer".into())
    );
    let trial = "the engine tried its storage at a start, which did not end";
    assert_eq!(
        why("check-overlayfs-support1"),
        ("unfinished".into(), trial.into())
    );
    assert_eq!(why("moby-detect-1"), ("unfinished".into(), trial.into()));
    let ran = dof([OsStr::new("verify"), engine.root().as_ref()]).with(1);
    let line = format!("image sha256:{image}: cannot be verified");
    assert!(
        ran.out.contains(&line) && ran.out.contains("was made from it"),
        "{}",
        ran.out
    );
}
