//! The evidence stays as it was and leads nowhere: every command, traced; a canary beside the mount that no one opens.

use crate::support::strace::traced;
use crate::support::trees::{accessed, state};
use crate::support::{Need, dof, folder, has, run, sample};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Every command that takes a mount, with what it needs besides.
fn commands(mount: &Path, scratch: &Path) -> Vec<Vec<String>> {
    let m = mount.to_str().unwrap();
    let to = |name: &str| scratch.join(name).to_str().unwrap().to_owned();
    let mut all: Vec<Vec<String>> = [
        "ingest M CASE",
        "ingest --hash sha256 M CASE2",
        "status M",
        "list-containers M",
        "list-images M",
        "show-image-history --image shop/web:1.0 M",
        "show-image-config --image shop/web:1.0 M",
        "show-container-config --container apache M",
        "show-container-log --container web M",
        "macrobber-container-layer --container apache M",
        "macrobber-volumes --container toolbox M",
        "export-container --container apache -o TAR M",
        "verify M",
        "verify --full M",
        "extract --container apache /tmp -o OUT --host M",
        "query timeline --case M",
        "query drift --case M",
        "query orphans --case M",
    ]
    .iter()
    .map(|line| {
        line.split(' ')
            .map(|word| match word {
                "M" => m.to_owned(),
                "CASE" => to("case.db"),
                "CASE2" => to("case2.db"),
                "TAR" => to("apache.tar"),
                "OUT" => to("out"),
                word => word.to_owned(),
            })
            .collect()
    })
    .collect();
    if Need::Mounts("overlay").is_met() {
        let words = [
            "mount-container",
            "--container",
            "apache",
            "--at-mountpoint",
            &to("at"),
            m,
        ];
        all.push(words.map(str::to_owned).to_vec());
        all.push(vec!["unmount-container".into(), to("at")]);
    }
    all
}

#[test]
fn no_command_changes_it() {
    let (_host, mount) = sample();
    let before = state(&mount);
    // The first look moves access times itself, unless they are newer than what they are times of.
    accessed(&mount);
    let was = accessed(&mount);
    let scratch = folder();
    fs::create_dir(scratch.path().join("at")).unwrap();
    for args in commands(&mount, scratch.path()) {
        let ran = dof(&args);
        assert!(ran.code <= 1, "{args:?}: {}", ran.err);
        let is = accessed(&mount);
        let moved: Vec<_> = was.iter().zip(&is).filter(|(a, b)| a != b).collect();
        assert!(
            moved.is_empty() && was.len() == is.len(),
            "{args:?}: {moved:#?}"
        );
    }
    assert_eq!(state(&mount), before);
}

/// Opens for reading only, but for the case, its temporary files and what the command is told to write; nothing is made,
/// renamed, removed or given another time, mode or owner anywhere else.
#[test]
fn all_opens_are_for_reading() {
    if !has(&[Need::Strace]) {
        return;
    }
    let (_host, mount) = sample();
    let scratch = folder();
    fs::create_dir(scratch.path().join("at")).unwrap();
    let mine = scratch.path().to_str().unwrap();
    let mut opens = 0;
    for args in commands(&mount, scratch.path()) {
        let (ran, calls) = traced(&args);
        assert!(ran.code <= 1, "{args:?}: exit code {}", ran.code);
        for call in &calls {
            let line = &call.line;
            let there = |place: &str| {
                line.contains(&format!("\"{place}")) || line.contains(&format!("<{place}"))
            };
            // Anonymous and temporary files of our own, the null device, the terminal.
            let own = there(mine)
                || there("/tmp/.tmp")
                || there("/tmp/.dof-stage-")
                || there("/dev/null")
                || there("/dev/tty")
                || line.contains("O_TMPFILE")
                || there("/tmp/etilqs_")
                || there("/var/tmp/etilqs_");
            match call.name.as_str() {
                "open" | "openat" | "openat2" | "creat" => {
                    opens += 1;
                    let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"]
                        .iter()
                        .any(|f| line.contains(f));
                    assert!(!writes || own, "{args:?}: {line}");
                }
                "rename" | "renameat" | "renameat2" | "unlink" | "unlinkat" | "mkdir"
                | "mkdirat" | "mknod" | "mknodat" | "link" | "linkat" | "symlink" | "symlinkat"
                | "truncate" | "chmod" | "fchmod" | "fchmodat" | "fchmodat2" | "chown"
                | "lchown" | "fchown" | "fchownat" | "utime" | "utimes" | "utimensat"
                | "futimesat" | "setxattr" | "lsetxattr" | "fsetxattr" | "removexattr"
                | "lremovexattr" | "fremovexattr" | "execve" | "mount" | "umount2" | "rmdir"
                | "move_mount" => {
                    assert!(
                        own || call.name == "execve" && line.contains(env!("CARGO_BIN_EXE_dof")),
                        "{args:?}: {line}"
                    );
                }
                _ => {}
            }
        }
    }
    assert!(opens > 2000, "{opens} opens seen");
}

/// Of an image, and of the programs that mount-image runs: nothing opens it for writing, and its loop devices are read-only.
#[test]
fn a_disk_image_is_only_read() {
    if !has(&[Need::Strace, Need::Loop, Need::Program("mkfs.ext4")]) {
        return;
    }
    let (_host, mount) = sample();
    let scratch = folder();
    let image = scratch.path().join("disk.img");
    fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    let (image, from) = (image.to_str().unwrap(), mount.to_str().unwrap());
    run("mkfs.ext4", &["-q", "-F", "-d", from, image])
        .unwrap()
        .with(0);
    let args = ["mount-image", image].map(str::to_owned);
    let (ran, calls) = traced(&args);
    let undone = dof(["unmount-image", image]);
    assert_eq!((ran.code, undone.code), (0, 0), "{}", undone.err);
    let mut seen = 0;
    for call in &calls {
        let line = &call.line;
        let named = line.contains(&format!("\"{image}\"")) || line.contains("/dev/loop");
        if !named || line.contains("loop-control") {
            continue;
        }
        seen += 1;
        let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"];
        assert!(!writes.iter().any(|f| line.contains(f)), "{line}");
        let to = line.split(',').next().unwrap();
        assert!(!to.contains("write") || !to.contains("/dev/loop"), "{line}");
        if call.name == "mount" {
            assert!(
                line.contains("MS_RDONLY") && line.contains("noload"),
                "{line}"
            );
        }
    }
    assert!(seen > 3, "{seen}");
}

/// Links, records and paths of every kind point at a canary beside the mount: nothing opens or even asks for it.
#[test]
fn no_one_opens_the_canary() {
    if !has(&[Need::Strace]) {
        return;
    }
    let (_host, mount) = sample();
    let outside = folder();
    let canary = outside.path().join("canary");
    fs::write(&canary, "the analyst's own secret").unwrap();
    let canary_text = canary.to_str().unwrap();
    let root = mount.join("var/lib/docker");
    let dots = format!(
        "{}{}",
        "../".repeat(30),
        canary_text.trim_start_matches('/')
    );
    let apache = fs::read_dir(root.join("containers"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| {
            fs::read_to_string(p.join("config.v2.json")).is_ok_and(|t| t.contains("\"/apache\""))
        })
        .unwrap();
    let id = apache.file_name().unwrap().to_str().unwrap().to_owned();
    // In the container's layer, in a volume, and in place of Docker's own files and folders.
    let mount_id =
        fs::read_to_string(root.join(format!("image/overlay2/layerdb/mounts/{id}/mount-id")))
            .unwrap();
    let layer = root.join("overlay2").join(mount_id.trim()).join("diff");
    for (i, target) in [
        canary_text,
        &dots,
        "/proc/self/root/etc/passwd",
        "/proc/1/cwd",
    ]
    .iter()
    .enumerate()
    {
        symlink(target, layer.join(format!("tmp/evil{i}"))).unwrap();
        symlink(
            outside.path(),
            mount.join(format!("srv/shop/uploads/evil{i}")),
        )
        .unwrap();
    }
    for gone in [
        apache.join("hostconfig.json"),
        apache.join(format!("{id}-json.log")),
        root.join("image/overlay2/repositories.json"),
        root.join("network/files/local-kv.db"),
        mount.join("etc/machine-id"),
    ] {
        fs::remove_file(&gone).unwrap();
        symlink(canary_text, &gone).unwrap();
    }
    let config = apache.join("config.v2.json");
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace(
        &format!("\"LogPath\":\"/var/lib/docker/containers/{id}/{id}-json.log\""),
        &format!("\"LogPath\":\"{dots}\""),
    );
    let text = text.replacen(
        "\"Source\":\"\"",
        &format!("\"Source\":\"{canary_text}\""),
        1,
    );
    fs::write(&config, text).unwrap();
    // The store's own one-line files, of other containers and layers; the daemon's configuration; an image's layers.
    let store = root.join("image/overlay2/layerdb");
    let others = |dir: PathBuf, but: &str| -> Vec<PathBuf> {
        let all = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
        let mut all: Vec<_> = all.filter(|p| !p.ends_with(but)).collect();
        all.sort();
        all
    };
    let mounts = others(store.join("mounts"), &id);
    for (dir, evil) in mounts
        .iter()
        .zip([&dots, canary_text, "../..", "a/../../x"])
    {
        fs::write(dir.join("mount-id"), evil).unwrap();
        fs::write(dir.join("init-id"), evil).unwrap();
        fs::write(dir.join("parent"), format!("sha256:{evil}")).unwrap();
    }
    let layers = others(store.join("sha256"), "");
    for (dir, evil) in layers.iter().rev().zip([&dots, canary_text, "../.."]) {
        fs::write(dir.join("cache-id"), evil).unwrap();
        fs::write(dir.join("diff"), format!("sha256:{evil}")).unwrap();
        fs::write(dir.join("parent"), evil).unwrap();
    }
    for (dir, evil) in others(root.join("overlay2"), "l")
        .iter()
        .zip([&dots, canary_text])
    {
        fs::write(dir.join("lower"), format!("{evil}:l/{evil}")).unwrap();
        fs::write(dir.join("link"), evil).unwrap();
    }
    let daemon = format!("{{\"data-root\":\"{dots}\"}}");
    fs::create_dir_all(mount.join("etc/docker")).unwrap();
    fs::write(mount.join("etc/docker/daemon.json"), daemon).unwrap();
    for path in others(root.join("containers"), &id) {
        let config = path.join("config.v2.json");
        let text = fs::read_to_string(&config).unwrap();
        let evil = format!(
            "\"MountPoints\":{{\"/e1\":{{\"Source\":\"{dots}\",\"Destination\":\"/../../{dots}\",\"Type\":\"bind\"}},\
             \"{dots}\":{{\"Name\":\"{dots}\",\"Type\":\"volume\",\"Driver\":\"local\"}}}},\"Image\":\"sha256:{dots}\",\"Old\":"
        );
        fs::write(&config, text.replacen("\"MountPoints\":", &evil, 1)).unwrap();
    }
    let scratch = folder();
    fs::create_dir(scratch.path().join("at")).unwrap();
    for args in commands(&mount, scratch.path()) {
        let (ran, calls) = traced(&args);
        assert!(ran.code <= 3, "{args:?}: exit code {}", ran.code);
        for call in calls {
            // A descriptor of the canary or its folder, whichever way it was reached.
            let reached = call
                .line
                .contains(&format!("<{}", outside.path().display()));
            // By its name only as a link's text, or resolved within the evidence.
            let named = call.line.contains(canary_text)
                && !call.name.starts_with("readlink")
                && !matches!(
                    call.name.as_str(),
                    "openat2" | "read" | "write" | "pwrite64" | "pread64" | "writev"
                );
            assert!(!reached && !named, "{args:?}: {}", call.line);
        }
    }
    for entry in walkdir::WalkDir::new(scratch.path()) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            assert!(
                memchr::memmem::find(&bytes, b"the analyst's own secret").is_none(),
                "{}",
                entry.path().display()
            );
        }
    }
    assert_eq!(
        fs::read_to_string(&canary).unwrap(),
        "the analyst's own secret"
    );
}

/// What cannot be written is refused: a case, an archive or a directory within the evidence.
#[test]
fn nothing_is_written_into_it() {
    let (_host, mount) = sample();
    let was = accessed(&mount);
    let inside = |name: &str| mount.join(name).to_str().unwrap().to_owned();
    let m = mount.to_str().unwrap().to_owned();
    let refused: Vec<Vec<String>> = vec![
        vec!["ingest".into(), m.clone(), inside("case.db")],
        vec![
            "list-containers".into(),
            m.clone(),
            "-o".into(),
            inside("list"),
        ],
        vec![
            "export-container".into(),
            "--container".into(),
            "web".into(),
            "-o".into(),
            inside("tar"),
            m.clone(),
        ],
    ];
    // Nor from a case, which knows where its hosts are mounted; through links too.
    let (dir, case) = crate::support::ingest(&mount, 0);
    let case = case.to_str().unwrap().to_owned();
    let link = |name: &str, to: &Path| {
        let link = dir.path().join(name);
        std::os::unix::fs::symlink(to, &link).unwrap();
        link.to_str().unwrap().to_owned()
    };
    let way = link("way", &mount.join("tmp"));
    let mut refused = refused;
    let query = |out: String| {
        ["query", "timeline", "--case", &case, "-o", &out]
            .map(str::to_owned)
            .to_vec()
    };
    refused.push(query(inside("x1")));
    refused.push(query(format!("{way}/x2")));
    refused.push(query(format!("{way}/../etc/x3")));
    refused.push(query(inside("etc/hostname")));
    for command in ["list-containers", "list-images", "status"] {
        refused.push(vec![
            command.into(),
            "-o".into(),
            inside("x7"),
            case.clone(),
        ]);
    }
    for (command, option, name) in [
        ("show-container-config", "--container", "web"),
        ("show-container-log", "--container", "web"),
        ("macrobber-volumes", "--container", "web"),
        ("show-image-config", "--image", "shop/web:1.0"),
    ] {
        let args = [command, option, name, "-o", &inside("x8"), &case];
        refused.push(args.map(str::to_owned).to_vec());
    }
    // Links to a file within it, or to nothing there, which is no new file.
    refused.push(query(link("file", &mount.join("etc/hostname"))));
    let ran = dof(query(link("new", &mount.join("tmp/new")))).with(2);
    assert!(ran.err.contains("is there already"), "{}", ran.err);
    for args in refused {
        let ran = dof(&args).with(2);
        assert!(
            ran.err.contains("lies in the evidence"),
            "{args:?}: {}",
            ran.err
        );
    }
    assert_eq!(accessed(&mount), was);
}
