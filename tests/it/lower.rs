//! overlay2's `lower` files and links against the records: a layer put in another's place is what the engine mounts, and dof
//! shows that and says so.

use crate::support::engine::Engine;
use crate::support::{Need, dof, has, ingest, one, open, rows, run, str_of};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A host with an image of three layers, stopped containers of it, and one layer planted beside its own.
struct Planted {
    engine: Engine,
    root: PathBuf,
    web: String,
    /// Cache IDs of the image's layers, topmost first.
    layers: Vec<String>,
    /// The short names of these.
    links: Vec<String>,
}

const EVIL: &str = "evil00";

impl Planted {
    fn new() -> Planted {
        let engine = Engine::start("lower").expect("an engine");
        engine.base_image();
        for (from, to, script) in [
            ("base:1", "mid:1", "echo mid > /mid; echo a > /trojaned"),
            ("mid:1", "shop:1", "echo top > /top"),
        ] {
            let made = ["run", "--name", "step", from, "sh", "-c", script];
            engine.docker(&made).text();
            engine.docker(&["commit", "step", to]).text();
            engine.docker(&["rm", "step"]).text();
        }
        let web = [
            "run",
            "--name",
            "web",
            "shop:1",
            "sh",
            "-c",
            "echo own > /own",
        ];
        engine.docker(&web).text();
        let upper = "{{.GraphDriver.Data.UpperDir}}";
        let upper = engine.docker(&["inspect", "-f", upper, "web"]).text();
        let web = upper.rsplit('/').nth(1).unwrap().to_owned();
        let root = engine.data_root();
        let folder = root.join("overlay2");
        let links: Vec<String> = fs::read_to_string(folder.join(&web).join("lower"))
            .unwrap()
            .split(':')
            .skip(1)
            .map(|l| l.trim_start_matches("l/").to_owned())
            .collect();
        let of = |link: &String| {
            let target = fs::read_link(folder.join("l").join(link)).unwrap();
            target
                .to_str()
                .unwrap()
                .split('/')
                .nth(1)
                .unwrap()
                .to_owned()
        };
        let layers = links.iter().map(of).collect();
        let planted = Planted {
            engine,
            root,
            web,
            layers,
            links,
        };
        planted.plant();
        planted
    }

    fn folder(&self) -> PathBuf {
        self.root.join("overlay2")
    }

    /// The planted layer: as the middle one, with other contents.
    fn plant(&self) {
        let evil = self.folder().join(EVIL);
        let middle = self.folder().join(&self.layers[1]);
        let [from, to] = [&middle, &evil].map(|p| p.to_str().unwrap());
        run("cp", &["-a", from, to]).unwrap().with(0);
        fs::write(evil.join("diff/trojaned"), "evil").unwrap();
        fs::write(evil.join("diff/planted"), "evil").unwrap();
        fs::write(evil.join("link"), "EVILEVILEVILEVILEVILEVILEV").unwrap();
        let link = self.folder().join("l/EVILEVILEVILEVILEVILEVILEV");
        symlink(format!("../{EVIL}/diff"), link).unwrap();
    }

    /// The planted layer's name in the place of the middle one's, in a layer's `lower`.
    fn substitute(&self, layer: &str) -> String {
        let path = self.folder().join(layer).join("lower");
        let before = fs::read_to_string(&path).unwrap();
        let evil = before.replace(&self.links[1], "EVILEVILEVILEVILEVILEVILEV");
        assert_ne!(evil, before);
        fs::write(path, evil).unwrap();
        before
    }

    /// What the engine finds in the container at a path.
    fn engine_has(&self, container: &str, path: &str) -> Option<String> {
        let answer = self
            .engine
            .docker(&["cp", &format!("{container}:{path}"), "-"]);
        let mut tar = tar::Archive::new(&answer.stdout[..]);
        let mut entry = tar.entries().ok()?.next()?.ok()?;
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text).ok()?;
        Some(text)
    }

    /// What dof takes out of the container at a path.
    fn dof_has(&self, container: &str, path: &str) -> Option<String> {
        let host = self.engine.root();
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("out");
        let [to, host] = [&to, &host].map(|p| p.to_str().unwrap());
        let _ = dof([
            "extract",
            "--container",
            container,
            path,
            "-o",
            to,
            "--host",
            host,
        ]);
        fs::read_to_string(format!("{to}/files{path}")).ok()
    }

    /// What `dof verify` says of an image; its exit code.
    fn verify(&self, image: &str) -> (i32, Vec<Value>) {
        let host = self.engine.root();
        let args = [
            "verify",
            "--format",
            "jsonl",
            "--image",
            image,
            host.to_str().unwrap(),
        ];
        let ran = dof(args);
        let rows = ran.out.lines().map(|l| serde_json::from_str(l).unwrap());
        (ran.code, rows.collect())
    }

    /// What is wrong with the host, in one text.
    fn problems(case: &Path) -> String {
        let sql = "SELECT coalesce(group_concat(severity || ' ' || path || ': ' || what, char(10)), '') FROM problem";
        one(&open(case), sql)
    }
}

/// The paths a query lists.
fn paths(case: &Path, query: &str) -> Vec<String> {
    let all = rows(case, &[query, "--container", "web"]);
    all.iter()
        .filter_map(|r| r["path"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn a_layer_in_the_place_of_another() {
    if !has(&[Need::Engine]) {
        return;
    }
    let planted = Planted::new();
    let host = planted.engine.root();
    // Only planted, it is in nobody's view.
    let (_dir, case) = ingest(&host, 0);
    assert_eq!(planted.verify("shop:1").0, 0);
    assert!(!paths(&case, "container-files").contains(&"/planted".into()));
    let stray = rows(&case, &["orphans", "--ordinary", "no"]);
    assert!(stray.iter().any(|r| r["name"] == EVIL), "{stray:#?}");

    // In the container's own `lower`.
    let lower = planted.folder().join(&planted.web).join("lower");
    let before = planted.substitute(&planted.web);
    assert_eq!(
        planted.engine_has("web", "/trojaned").as_deref(),
        Some("evil")
    );
    assert_eq!(planted.dof_has("web", "/trojaned").as_deref(), Some("evil"));
    let (_dir, case) = ingest(&host, 1);
    let problems = Planted::problems(&case);
    let says = format!("{EVIL} in place of {}", planted.layers[1]);
    assert!(
        problems.contains("container web stands on other layers") && problems.contains(&says),
        "{problems}"
    );
    assert!(paths(&case, "container-files").contains(&"/planted".into()));
    let changed = planted.engine.docker(&["diff", "web"]).lines();
    let drift = rows(&case, &["drift", "--container", "web"]);
    // The engine does not look for what is another file of the same size and time.
    let drift = drift
        .iter()
        .filter(|r| str_of(r, "change") != "U")
        .map(|r| format!("{} {}", str_of(r, "change"), str_of(r, "path")));
    let both = [changed, drift.collect()].map(|mut all| {
        all.sort();
        all
    });
    assert_eq!(both[0], both[1]);
    assert!(both[0].contains(&"A /planted".into()), "{both:?}");
    let (code, image) = planted.verify("shop:1");
    let as_shipped = |r: &Value| r["outcome"] == "as shipped";
    assert!(
        code == 1 && image.iter().all(as_shipped),
        "there is a problem, and the image is as it was"
    );

    // Without it the engine mounts nothing below.
    fs::remove_file(&lower).unwrap();
    let (_dir, case) = ingest(&host, 1);
    let problems = Planted::problems(&case);
    assert!(problems.contains("without the 4 below it"), "{problems}");
    fs::write(&lower, before).unwrap();

    // In that of the image's top layer: a container made of it then has the planted one.
    let top = &planted.layers[0];
    let before = planted.substitute(top);
    planted
        .engine
        .docker(&["create", "--name", "late", "shop:1"])
        .text();
    assert_eq!(
        planted.engine_has("late", "/trojaned").as_deref(),
        Some("evil")
    );
    assert_eq!(
        planted.engine_has("web", "/trojaned").as_deref(),
        Some("a\n")
    );
    for (name, has) in [("late", "evil"), ("web", "a\n")] {
        assert_eq!(planted.dof_has(name, "/trojaned").as_deref(), Some(has));
    }
    let (_dir, case) = ingest(&host, 1);
    let problems = Planted::problems(&case);
    let says = format!("image layer {top} stands on other layers than the records say: {says}");
    assert!(problems.contains(&says), "{problems}");
    let (code, verdicts) = planted.verify("shop:1");
    let row = verdicts
        .iter()
        .find(|r| r["attribute"] == "lower")
        .expect("a finding");
    assert_eq!((code, &row["outcome"]), (1, &Value::from("changed")));
    assert_eq!(
        (&row["shipped"], &row["found"]),
        (&planted.layers[1].clone().into(), &EVIL.into())
    );
    let image = verdicts.iter().find(|r| r["subject"] == "image").unwrap();
    assert_eq!(image["outcome"], "changed");
    let (_, below) = planted.verify("mid:1");
    let as_shipped = |r: &Value| r["outcome"] == "as shipped";
    assert!(below.iter().all(as_shipped), "it has no part in it");
    planted.engine.docker(&["rm", "late"]).text();
    fs::write(planted.folder().join(top).join("lower"), before).unwrap();

    // The link itself.
    let link = planted.folder().join("l").join(&planted.links[1]);
    fs::remove_file(&link).unwrap();
    symlink(format!("../{EVIL}/diff"), &link).unwrap();
    assert_eq!(
        planted.engine_has("web", "/trojaned").as_deref(),
        Some("evil")
    );
    assert_eq!(planted.dof_has("web", "/trojaned").as_deref(), Some("evil"));
    ingest(&host, 1);
    let (code, verdicts) = planted.verify("mid:1");
    let row = verdicts
        .iter()
        .find(|r| r["attribute"] == "link")
        .expect("a finding");
    assert_eq!((code, &row["outcome"]), (1, &Value::from("changed")));
    let (code, _) = planted.verify("shop:1");
    assert_eq!(code, 1);
    // One that leads out of the layers altogether.
    fs::remove_file(&link).unwrap();
    symlink("/srv/evil", &link).unwrap();
    fs::create_dir_all(host.join("srv/evil")).unwrap();
    fs::write(host.join("srv/evil/trojaned"), "outside").unwrap();
    assert_eq!(
        planted.engine_has("web", "/trojaned").as_deref(),
        Some("outside")
    );
    assert_eq!(
        planted.dof_has("web", "/trojaned").as_deref(),
        Some("outside")
    );
    fs::remove_file(&link).unwrap();
    symlink(format!("../{}/diff", planted.layers[1]), &link).unwrap();
    ingest(&host, 0);
    assert_eq!(planted.verify("shop:1").0, 0);

    // A record of the store gone: the container has its layers all the same, for `lower` names them.
    let whole = paths(&ingest(&host, 0).1, "container-files");
    let store = planted.root.join("image/overlay2/layerdb/sha256");
    for (position, n) in [(2, 1), (3, 0)] {
        let sql = format!(
            "SELECT substr(il.chain_id, 8) FROM image_layer il JOIN image_reference r ON r.image_id = il.image_id WHERE r.reference = 'shop:1' AND il.position = {position}"
        );
        let chain: String = one(&open(&case), &sql);
        let aside = planted.engine.scratch().join("record");
        fs::rename(store.join(&chain), &aside).unwrap();
        let (_dir, case) = ingest(&host, 1);
        let problems = Planted::problems(&case);
        let says = format!(
            "stands on 4 layers, as its own layer says, of which the records name {}",
            n + 1
        );
        assert!(problems.contains(&says), "{problems}");
        assert!(!problems.contains("in place of"), "{problems}");
        assert_eq!(paths(&case, "container-files"), whole);
        assert_eq!(planted.dof_has("web", "/mid").as_deref(), Some("mid\n"));
        fs::rename(aside, store.join(&chain)).unwrap();
    }
}

/// BuildKit builds layers of the same content more than once; the store keeps one, and those built on another stand on that.
#[test]
fn layers_of_the_same_content() {
    if !has(&[Need::BuildKit]) {
        return;
    }
    let mut engine = Engine::start("twice").expect("an engine");
    engine.base_image();
    for tag in ["a:1", "b:1"] {
        let file = format!("FROM base:1\nCOPY same /same\nRUN echo {tag} > /file\n");
        let mut context = tar::Builder::new(Vec::new());
        for (name, content) in [("Dockerfile", file.as_str()), ("same", "same")] {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(1_500_000_000);
            context
                .append_data(&mut header, name, content.as_bytes())
                .unwrap();
        }
        let context = context.into_inner().unwrap();
        let built = engine.buildkit(&["build", "--no-cache", "-t", tag, "-"], &context);
        assert!(built.ok, "{}", String::from_utf8_lossy(&built.stderr));
    }
    engine.kill();
    let (_dir, case) = ingest(&engine.root(), 0);
    let problems = Planted::problems(&case);
    let notes = problems
        .lines()
        .filter(|p| p.starts_with("note ") && p.contains(" in place of "));
    assert_eq!(notes.count(), 1, "{problems}");
    let ran = dof([Path::new("verify"), &engine.root()]).with(0);
    assert_eq!(
        ran.out.matches("whose content is that of").count(),
        1,
        "{}",
        ran.out
    );
}
