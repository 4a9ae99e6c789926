//! One directory that several containers and volumes have: walked once, and each has it in its own way.

use crate::support::engine::Engine;
use crate::support::{Need, has, ingest, one, open, rows};
use std::collections::BTreeMap;
use std::fs;

/// Containers by name: kind, volume and place of each mount, as `docker inspect` and as dof have them.
type Mounts = BTreeMap<String, Vec<[String; 3]>>;

fn by_engine(engine: &Engine, names: &[&str]) -> Mounts {
    let mounts = |name: &&str| {
        let said = engine.api(&format!("/containers/{name}/json"));
        let text =
            |m: &serde_json::Value, key: &str| m[key].as_str().unwrap_or_default().to_owned();
        let all = said["Mounts"].as_array().unwrap();
        let all = all
            .iter()
            .map(|m| ["Type", "Name", "Destination"].map(|key| text(m, key)));
        ((*name).to_owned(), all.collect())
    };
    names.iter().map(mounts).collect()
}

/// A bind source of three containers is also the device of a volume, the host's root that of another, and a third place is a
/// volume's alone.
#[test]
fn a_place_is_what_its_mount_says() {
    if !has(&[Need::Engine]) {
        return;
    }
    let mut engine = Engine::start("shared-trees").expect("an engine");
    engine.base_image();
    for place in ["srv/both", "srv/only"] {
        fs::create_dir_all(engine.root().join(place)).unwrap();
        fs::write(engine.root().join(place).join("f"), place).unwrap();
    }
    for (name, device) in [("vol", "/srv/both"), ("only", "/srv/only"), ("host", "/")] {
        let device = format!("device={device}");
        let bind = [
            "--opt",
            "type=none",
            "--opt",
            "o=bind",
            "--opt",
            &device,
            name,
        ];
        engine
            .docker(&[&["volume", "create"][..], &bind].concat())
            .text();
    }
    let made = [
        ("b1", "/srv/both:/m"),
        ("b2", "/srv/both:/m:ro"),
        ("b3", "/srv/both:/other"),
        ("v1", "vol:/m"),
        ("w1", "only:/m"),
        ("r1", "host:/host"),
        ("h1", "/:/host"),
    ];
    for (name, mount) in made {
        engine
            .docker(&["create", "--name", name, "-v", mount, "base:1", "sh"])
            .text();
    }
    let truth = by_engine(&engine, &made.map(|m| m.0));
    engine.kill();
    let (_dir, case) = ingest(&engine.root(), 0);

    let mut ours = Mounts::new();
    let mut files = BTreeMap::new();
    for row in rows(&case, &["mounts"]) {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let mount = ["kind", "name", "destination"].map(text);
        ours.entry(text("container")).or_default().push(mount);
        files.insert(text("container"), row["files"].as_i64().unwrap());
    }
    assert_eq!(ours, truth);
    assert!(
        ["b1", "b2", "b3", "v1", "w1"]
            .iter()
            .all(|c| files[*c] == 1),
        "{files:?}"
    );
    assert!(files["r1"] > 20 && files["r1"] == files["h1"], "{files:?}");

    let db = open(&case);
    let kind = |path: &str| -> String {
        one(
            &db,
            &format!("SELECT group_concat(kind) FROM tree WHERE host_path = '{path}'"),
        )
    };
    assert_eq!(
        ["/srv/both", "/srv/only", "/"].map(kind),
        ["bind", "volume", "bind"]
    );
    let of_volume = |name: &str| -> String {
        one(
            &db,
            &format!(
                "SELECT t.host_path FROM volume v JOIN tree t ON t.id = v.tree_id WHERE v.name = '{name}'"
            ),
        )
    };
    assert_eq!(
        ["vol", "only", "host"].map(of_volume),
        ["/srv/both", "/srv/only", "/"]
    );
    // Who sees a file, also below the host's root.
    let seen_by = |inode: u64| -> String {
        one(
            &db,
            &format!(
                "SELECT DISTINCT container FROM file_path WHERE inode = {inode} AND type = 'file'"
            ),
        )
    };
    let inode = |path: &str| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(engine.root().join(path)).unwrap().ino()
    };
    assert_eq!(seen_by(inode("srv/both/f")), "b1,b2,b3,h1,r1,v1");
    assert_eq!(seen_by(inode("srv/only/f")), "h1,r1,w1");
    let label =
        "SELECT layer FROM tree_label JOIN tree ON id = tree_id WHERE host_path = '/srv/only'";
    assert_eq!(one::<String>(&db, label), "only");
    let role = |container: &str| {
        if ["v1", "w1", "r1"].contains(&container) {
            "volume"
        } else {
            "bind"
        }
    };
    for (container, place) in made {
        let found = rows(&case, &["macrobber-volumes", "--container", container]);
        let place = place.split(':').nth(1).unwrap();
        let place = match container {
            "r1" | "h1" => format!("{place}/srv/both/f"),
            _ => format!("{place}/f"),
        };
        assert_eq!(
            found.iter().filter(|r| r["path"] == place).count(),
            1,
            "{container}"
        );
        // A volume to those who have it as one, a bind source to the others.
        let asked = ["--path", &place, "--container", container];
        let whose = rows(&case, &[&["whose"][..], &asked].concat());
        let files = rows(&case, &[&["container-files"][..], &asked].concat());
        for found in [whose, files] {
            let roles: Vec<&serde_json::Value> = found.iter().map(|r| &r["role"]).collect();
            // The host's root is their mount; the place within it, walked for itself, is what that is.
            let within = if place.starts_with("/host/") {
                "bind"
            } else {
                role(container)
            };
            assert_eq!(roles, [within], "{container}: {found:?}");
        }
    }
}
