//! What deletions left behind: a live engine whose things are removed through it, then by hand as an attacker would, and
//! recorded hosts whose makers wrote down what they removed.

use crate::engine::Engine;
use crate::support::{ingest, is_root, rows, sample, skip};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

fn text(row: &Value, column: &str) -> String {
    row[column].as_str().unwrap_or_default().to_owned()
}

/// Kind and name of each orphan that ordinary use does not leave.
fn strays(case: &Path) -> BTreeSet<(String, String)> {
    let rows = rows(case, &["orphans", "--ordinary", "no"]);
    rows.iter()
        .map(|r| (text(r, "kind"), text(r, "name")))
        .collect()
}

fn now() -> String {
    chrono::Utc::now()
        .format("%Y-%m-%dT%H:%M:%S%.9fZ")
        .to_string()
}

#[test]
fn what_is_removed_by_hand_is_told() {
    let mut engine = match Engine::start("orphans") {
        Ok(engine) => engine,
        Err(why) => return skip(&why),
    };
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
    let of_folders = |r: &&Value| text(r, "what") == "something";
    let folders: BTreeSet<String> = gaps
        .iter()
        .filter(of_folders)
        .map(|r| text(r, "name"))
        .collect();
    // What the image removed by force alone had was still in use by its container.
    let want = [
        "containers",
        "image/overlay2/imagedb/content/sha256",
        "image/overlay2/layerdb/mounts",
    ];
    assert_eq!(folders, want.map(str::to_owned).into());
    let find = |what: &str, name: &str| -> Option<Value> {
        let is = |r: &&Value| text(r, "what") == what && text(r, "name") == name;
        gaps.iter().find(is).cloned()
    };
    let image = find("image", "forced:1").expect("the image removed by force");
    assert_eq!(text(&image, "id"), forced);
    assert!(text(&image, "evidence").contains("imageless"));
    let removal = find("something", "containers").expect("the folder of containers");
    let at = text(&removal, "last");
    assert!(before <= at && at <= after, "{before} {at} {after}");
    assert!(find("container", "victim").is_none() && find("container", "keep").is_none());
    let ordinary = rows(&case, &["orphans", "--ordinary", "yes"]);
    let image: Vec<&Value> = ordinary
        .iter()
        .filter(|r| r["name"] == "imageless")
        .collect();
    assert!(text(image[0], "why").contains(&forced), "{image:?}");

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
    assert_eq!(text(own, "belongs"), victim);
    assert_eq!(
        (own["files"].as_i64(), own["size"].as_i64()),
        (Some(1), Some(5))
    );
    assert!(text(own, "last_file") > began && text(own, "last_file") < after);

    let gaps = rows(&case, &["gaps"]);
    let find = |what: &str, id: &str| -> Value {
        let mut of = gaps
            .iter()
            .filter(|r| text(r, "what") == what && text(r, "id") == id);
        let row = of
            .next()
            .unwrap_or_else(|| panic!("{what} {id}: {gaps:#?}"));
        assert!(of.next().is_none(), "one row a thing");
        row.clone()
    };
    let container = find("container", &victim);
    assert_eq!(text(&container, "name"), "victim");
    assert!(text(&container, "detail").contains(&address), "{container}");
    assert!(began < text(&container, "first") && text(&container, "last") < after);
    assert!(text(&container, "says").contains("victim here, until"));
    find("layer", &seconds);
    find("volume", "data");
    assert!(text(&find("image", &lost), "name").contains("lost:1"));
    let still: BTreeSet<String> = gaps
        .iter()
        .filter(|r| text(r, "what") == "container")
        .map(|r| text(r, "id"))
        .collect();
    assert!(
        !still.contains(&second),
        "a container with a record is not gone"
    );
}

/// The container whose records the maker of this host took away, as its notes say; and nothing else.
#[test]
fn a_recorded_host_with_one_leftover() {
    let Some((dir, _)) = crate::oracle::recorded("logs-docker26-drivers") else {
        return;
    };
    let notes = crate::support::evidence()
        .unwrap()
        .join("logs-docker26-drivers.oracle/orphan.json");
    let notes: Value = serde_json::from_slice(&fs::read(notes).unwrap()).unwrap();
    let (_dir, case) = ingest(dir.path(), 0);
    let want = [
        ("container-layer".to_owned(), text(&notes, "layer_dir")),
        ("init-layer".to_owned(), text(&notes, "init_dir")),
    ];
    assert_eq!(strays(&case), want.into());
    let gaps = rows(&case, &["gaps", "--what", "container"]);
    assert_eq!(gaps.len(), 1);
    assert!(text(&gaps[0], "evidence").contains(&text(&notes, "layer_dir")));
    // It ended at 23:31:58.8 and was removed at once.
    assert!(text(&gaps[0], "last").starts_with("2026-11-23T23:31:58.8"));
}

/// Hosts on which nothing was deleted behind the engine's back.
#[test]
fn healthy_hosts_have_no_strays() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    assert_eq!(strays(&case), BTreeSet::new());
    if crate::support::evidence().is_none() || !is_root() {
        return skip("no recorded evidence beside the checkout, or no root to unpack it");
    }
    for name in [
        "apache-mysql-docker20-overlay2",
        "rootless-docker26",
        "swarm-docker26",
        "vfs-docker20",
    ] {
        let (dir, _) = crate::oracle::recorded(name).expect("recorded evidence");
        let (_dir, case) = ingest(dir.path(), 0);
        assert_eq!(strays(&case), BTreeSet::new(), "{name}");
    }
}
