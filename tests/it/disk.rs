//! Disk images: the whole tour on disks that a real engine ran on, every format and table, and nothing left behind.
//!
//! Truths: what the engine said before it was killed, `mmls` for the numbers of volumes, `fls` for times, LVM's own tools for
//! logical volumes, and the image's digest, which nothing may change.

use crate::mactime::mactime;
use crate::support::engine::Engine;
use crate::support::{Need, Ran, dof, dof_command, evidence, folder, has, must, run, text};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Sectors of the partitions of [`disk`]: boot, swap, root.
const PARTS: [(u64, u64); 3] = [(2048, 40960), (43008, 32768), (75776, 0)];

/// To mount a raw image.
const RAW: &[Need] = &[Need::Loop, Need::Mounts("ext4")];
/// To make [`disk`], and mount it.
const DISK: &[Need] = &[
    Need::Loop,
    Need::Mounts("ext4"),
    Need::Program("sfdisk"),
    Need::Program("mkswap"),
    Need::Program("mkfs.ext4"),
];
/// To make and mount the images that QEMU reads.
const QEMU: &[Need] = &[
    Need::Fuse,
    Need::Program("qemu-img"),
    Need::Program("qemu-storage-daemon"),
];
/// The same of EWF.
const EWF: &[Need] = &[
    Need::Fuse,
    Need::Program("ewfacquire"),
    Need::Program("ewfmount"),
];
/// An engine, and mounting its containers.
const ENGINE: &[Need] = &[Need::Engine, Need::Mounts("overlay")];

/// A file's SHA-256, by a program that is fast in a debug build too.
fn digest(path: &Path) -> String {
    let line = must("sha256sum", &[text(path)]);
    line.split_whitespace().next().unwrap().to_owned()
}

fn mount_image(at: &Path, image: &Path) -> Ran {
    dof(["mount-image", "--at", text(at), text(image)])
}

fn unmount_image(image: &Path) -> Ran {
    dof(["unmount-image", text(image)])
}

/// An image mounted by dof, undone also when a test fails.
struct Image(PathBuf, String, String);

impl Image {
    #[track_caller]
    fn mount(image: &Path, at: &Path) -> Image {
        let ran = mount_image(at, image);
        let mounted = Image(image.to_path_buf(), ran.out.clone(), ran.err.clone());
        ran.with(0);
        mounted
    }

    /// Where the volume of this number is mounted.
    #[track_caller]
    fn place(&self, slot: &str) -> PathBuf {
        let line = |l: &&str| l.starts_with("Mounted") && l.contains(&format!(" {slot}:"));
        let line = self.1.lines().find(line);
        let line = line.unwrap_or_else(|| panic!("no volume {slot}: {}", self.1));
        line.split_once(" at path ")
            .unwrap()
            .1
            .trim_end_matches('.')
            .into()
    }

    /// The command that is proposed as the next one.
    #[track_caller]
    fn next(&self) -> Vec<String> {
        let next = self
            .1
            .split_once("Next: dof ")
            .unwrap_or_else(|| panic!("no host: {}", self.1))
            .1;
        next.split_whitespace().map(str::to_owned).collect()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        unmount_image(&self.0);
    }
}

/// A loop device, gone when dropped.
struct Loop(String);

impl Loop {
    fn new(image: &Path, start: u64, sectors: u64) -> Loop {
        let (offset, size) = ((start * 512).to_string(), (sectors * 512).to_string());
        let args = [
            "--find",
            "--show",
            "--offset",
            &offset,
            "--sizelimit",
            &size,
            text(image),
        ];
        Loop(must("losetup", &args).trim().into())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        run("losetup", &["-d", &self.0]);
    }
}

/// A mount of the test's own, gone when dropped.
struct Writable(PathBuf);

impl Drop for Writable {
    fn drop(&mut self) {
        run("umount", &[text(&self.0)]);
    }
}

/// A disk with a boot partition, swap and an empty root of this file system.
fn disk(image: &Path, kind: &str, mib: u64) -> u64 {
    fs::File::create(image).unwrap().set_len(mib << 20).unwrap();
    let [boot, swap, root] = PARTS;
    let layout = image.with_extension("layout");
    let line = |(start, size), kind| match size {
        0 => format!("start={start},type={kind}\n"),
        _ => format!("start={start},size={size},type={kind}\n"),
    };
    fs::write(
        &layout,
        format!(
            "label: dos\n{}{}{}",
            line(boot, "83"),
            line(swap, "82"),
            line(root, "83")
        ),
    )
    .unwrap();
    must(
        "sh",
        &[
            "-c",
            &format!("sfdisk -q '{}' < '{}'", image.display(), layout.display()),
        ],
    );
    let sectors = (mib << 11) - root.0;
    for (part, mkfs) in [
        (boot, vec!["mkfs.ext4", "-qF", "-L", "boot"]),
        (swap, vec!["mkswap"]),
        (
            (root.0, sectors),
            match kind {
                "ext4" => vec!["mkfs.ext4", "-qF", "-M", "/"],
                "xfs" => vec!["mkfs.xfs", "-qf", "-L", "root fs"],
                _ => vec!["mkfs.btrfs", "-qf"],
            },
        ),
    ] {
        let device = Loop::new(image, part.0, part.1);
        let args: Vec<&str> = mkfs[1..]
            .iter()
            .copied()
            .chain([device.0.as_str()])
            .collect();
        must(mkfs[0], &args);
    }
    sectors
}

/// What the engine said of itself before it was killed.
struct Said {
    /// Name to id and log.
    containers: BTreeMap<String, (String, String)>,
    /// `docker history` of the image, oldest first.
    history: Vec<String>,
    /// Tag and id of the image.
    image: (String, String),
}

/// Makes a disk on whose root a real engine ran until the power was cut.
fn host(image: &Path, kind: &str, driver: &str) -> Said {
    let sectors = disk(image, kind, 640);
    let device = Loop::new(image, PARTS[2].0, sectors);
    let mut mounted = None;
    let mut engine = Engine::start_on("disk", driver, |root| {
        must("mount", &["-t", kind, &device.0, text(root)]);
        mounted = Some(Writable(root.to_path_buf()));
    })
    .expect("an engine");
    engine.base_image();
    fs::create_dir_all(engine.root().join("srv/site")).unwrap();
    fs::write(engine.root().join("srv/site/index.html"), "hello").unwrap();
    let dockerfile = "FROM base:1\nRUN echo one > /one\nENV A=b\nVOLUME /data\nCMD [\"sh\", \"-c\", \"echo up; echo bad >&2; echo v > /data/v; sleep 100000\"]\n";
    let built = engine.docker_in(
        &["build", "-q", "-t", "shop/web:1", "-"],
        dockerfile.as_bytes(),
    );
    built.text();
    for args in [
        vec![
            "run",
            "-d",
            "--name",
            "apache",
            "-p",
            "8080:80",
            "-v",
            "/srv/site:/site:ro",
            "shop/web:1",
        ],
        vec![
            "run",
            "--name",
            "job",
            "base:1",
            "sh",
            "-c",
            "echo done; exit 3",
        ],
    ] {
        let answer = engine.docker(&args);
        assert!(
            answer.ok || args.contains(&"job"),
            "{}",
            String::from_utf8_lossy(&answer.stderr)
        );
    }
    let script = "echo evil > /tmp/trojan; chmod 4755 /tmp/trojan; touch '/tmp/a|b%41'; rm /one; ln -s /etc/passwd /tmp/link; touch -d 2019-05-27T14:12:11 /tmp/trojan 2>/dev/null || touch -d '2019-05-27 14:12:11' /tmp/trojan";
    engine
        .docker(&["exec", "apache", "sh", "-c", script])
        .text();
    let names = engine
        .docker(&["ps", "-a", "--format", "{{.Names}}"])
        .lines();
    let containers = names.into_iter().map(|name| {
        let id = engine.docker(&["inspect", "-f", "{{.Id}}", &name]).text();
        let log = fs::read_to_string(
            engine
                .data_root()
                .join(format!("containers/{id}/{id}-json.log")),
        );
        (name, (id, log.unwrap()))
    });
    let said = Said {
        containers: containers.collect(),
        history: engine
            .json(&[
                "history",
                "--no-trunc",
                "--format",
                "{{json .}}",
                "shop/web:1",
            ])
            .as_array()
            .unwrap()
            .iter()
            .rev()
            .map(|h| h["CreatedBy"].as_str().unwrap().to_owned())
            .collect(),
        image: (
            "shop/web:1".into(),
            engine
                .docker(&["inspect", "-f", "{{.Id}}", "shop/web:1"])
                .text(),
        ),
    };
    engine.kill();
    drop(mounted);
    said
}

/// The whole tour on an image of [`host`], as an investigator's notes have it.
fn tour(image: &Path, said: &Said, body: &mut Vec<u8>) {
    let dir = folder();
    let before = digest(image);
    let mounted = Image::mount(image, dir.path());
    let lines: Vec<&str> = mounted.1.lines().collect();
    assert!(
        lines[0].starts_with("Mounted volume 20.0 MiB 2:Ext4 boot [Linux] at path "),
        "{lines:#?}"
    );
    assert_eq!(
        lines[1],
        "Unsupported filesystem 3:Linux Swap / Solaris x86 (0x82) (type: swap, block offset: 43008, length: 32768)"
    );
    let root = mounted.place("4");
    assert_eq!(
        lines[3],
        format!(
            "Docker host on volume 4, data root /var/lib/docker. Next: dof ingest {} case.db",
            root.display()
        )
    );
    let dof = |args: &[&str]| {
        let mut command = dof_command();
        command.env("DOF_IMAGE_MOUNTPOINT", &root);
        let out = command.args(args).output().unwrap();
        let err = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!((out.status.code(), err.as_str()), (Some(0), ""), "{args:?}");
        out.stdout
    };
    let said_of = |args: &[&str]| String::from_utf8(dof(args)).unwrap();

    let status = said_of(&["status"]);
    assert!(
        status.contains("1 containers running on this machine"),
        "{status}"
    );
    assert!(
        status.contains(&format!("{} total containers found", said.containers.len())),
        "{status}"
    );

    let listed = said_of(&["list-containers"]);
    let csv = said_of(&["list-containers", "--format", "csv"]);
    for (name, (id, log)) in &said.containers {
        assert!(
            listed.contains(&format!("/{name}\n    ID: {id}\n")),
            "{listed}"
        );
        assert!(
            csv.lines()
                .any(|l| l.starts_with(&format!("/{name},{id},"))),
            "{csv}"
        );
        assert_eq!(said_of(&["show-container-log", "--container", name]), *log);
    }
    assert!(
        listed.contains("State: running") && listed.contains("State: exited"),
        "{listed}"
    );
    let (tag, id) = &said.image;
    let images = said_of(&["list-images"]);
    let short = id.strip_prefix("sha256:").unwrap();
    assert!(
        images.contains("shop/web") && images.contains(short),
        "{images}"
    );

    let history: Vec<Value> =
        serde_json::from_slice(&dof(&["show-image-history", "--image", tag])).unwrap();
    let steps: Vec<&str> = history
        .iter()
        .map(|h| h["created_by"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(steps, said.history);

    body.clear();
    for command in ["macrobber-container-layer", "macrobber-volumes"] {
        body.extend(dof(&[command, "--container", "apache"]));
    }
    let rows = mactime(body);
    for (time, name) in [
        ("2019-05-27T14:12:11Z", "/tmp/trojan"),
        ("", "/tmp/a|b%41"),
        ("", "/site/index.html"),
        ("", "/data/v"),
    ] {
        assert!(
            rows.iter()
                .any(|(t, n)| n == name.as_bytes() && t.starts_with(time)),
            "{name}: {rows:?}"
        );
    }

    let at = dir.path().join("apache");
    fs::create_dir(&at).unwrap();
    let line = said_of(&[
        "mount-container",
        "--container",
        "apache",
        "--at-mountpoint",
        text(&at),
    ]);
    assert_eq!(
        line,
        format!("Mounted container apache at {}\n", at.display())
    );
    let planted = fs::read_to_string(at.join("tmp/trojan"));
    let site = fs::read_to_string(at.join("site/index.html"));
    let deleted = at.join("one").exists();
    said_of(&["unmount-container", text(&at)]);
    assert_eq!(
        (planted.unwrap().as_str(), site.unwrap().as_str(), deleted),
        ("evil\n", "hello", false)
    );

    // The proposed command, in a directory of its own.
    let next = mounted.next();
    let ran = dof_command()
        .args(&next)
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(
        ran.status.code(),
        Some(0),
        "{next:?}: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let case = dir.path().join("case.db");
    let from_case = dof_command()
        .args(["list-containers", "--format", "csv", text(&case)])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(from_case.stdout).unwrap(), csv);

    let undone = unmount_image(image).with(0);
    assert_eq!(undone.out.lines().count(), 2, "{}", undone.out);
    assert!(!root.exists(), "its directory stays");
    assert_eq!(digest(image), before, "the image changed");
}

/// Body lines equal those of `fls -r -m`: inode, type and mode, owner, size and all four times.
fn as_fls(image: &Path, body: &[u8], said: &Said) {
    let fls = run(
        "fls",
        &["-r", "-m", "/", "-o", &PARTS[2].0.to_string(), text(image)],
    )
    .expect("fls");
    let id = &said.containers["apache"].0;
    let line = |line: &str| {
        let (name, rest) = line.strip_prefix("0|")?.split_once('|')?;
        Some((name.to_owned(), rest.to_owned()))
    };
    let truth: BTreeMap<String, String> = fls.out.lines().filter_map(line).collect();
    let mut compared = 0;
    for (name, rest) in String::from_utf8_lossy(body).lines().filter_map(line) {
        if name.contains(['%', '|']) || !name.starts_with("/tmp") {
            continue; // encoded for mactime, which fls does not do
        }
        let theirs: Vec<&String> = truth
            .iter()
            .filter(|(n, _)| {
                n.split_once("/diff").is_some_and(|(at, n)| {
                    n == name && at.contains("overlay2") && !at.ends_with("-init")
                })
            })
            .map(|(_, rest)| rest)
            .collect();
        assert!(
            theirs.contains(&&rest),
            "{id}: {name}: {rest}, fls: {theirs:?}"
        );
        compared += 1;
    }
    assert!(compared >= 3, "{compared} lines compared");
}

#[test]
fn the_tour_on_raw_qcow2_and_ewf_with_an_ext4_root() {
    if !has(&[
        ENGINE,
        DISK,
        QEMU,
        EWF,
        &[Need::Program("mactime"), Need::Program("fls")],
    ]
    .concat())
    {
        return;
    }
    let dir = folder();
    let raw = dir.path().join("shop.raw");
    let said = host(&raw, "ext4", "overlay2");
    let mut body = Vec::new();
    tour(&raw, &said, &mut body);
    as_fls(&raw, &body, &said);
    let first = body.clone();
    let qcow2 = dir.path().join("shop.qcow2");
    must(
        "qemu-img",
        &["convert", "-c", "-O", "qcow2", text(&raw), text(&qcow2)],
    );
    tour(&qcow2, &said, &mut body);
    assert_eq!(body, first);
    let to = dir.path().join("shop");
    let acquire = [
        "-u",
        "-q",
        "-f",
        "encase6",
        "-c",
        "fast",
        "-S",
        "1.4 GiB",
        "-t",
        text(&to),
        text(&raw),
    ];
    must("ewfacquire", &acquire);
    tour(&dir.path().join("shop.E01"), &said, &mut body);
    assert_eq!(body, first);
}

#[test]
fn the_tour_with_an_xfs_root() {
    let xfs = [
        Need::Mounts("xfs"),
        Need::Program("mkfs.xfs"),
        Need::Program("mactime"),
    ];
    if !has(&[ENGINE, DISK, &xfs].concat()) {
        return;
    }
    roots("xfs", "overlay2");
}

#[test]
fn the_tour_with_a_btrfs_root() {
    let btrfs = [
        Need::Mounts("btrfs"),
        Need::Program("mkfs.btrfs"),
        Need::Program("mactime"),
    ];
    if !has(&[ENGINE, DISK, &btrfs].concat()) {
        return;
    }
    roots("btrfs", "btrfs");
}

fn roots(kind: &str, driver: &str) {
    let dir = folder();
    let raw = dir.path().join(format!("{kind}.raw"));
    tour(&raw, &host(&raw, kind, driver), &mut Vec::new());
}

/// Every format QEMU writes, and split ones, give the volumes of the raw image, of which `mmls` knows the numbers.
#[test]
fn every_format_shows_the_same_volumes() {
    if !has(&[DISK, QEMU, &[Need::Program("mmls")]].concat()) {
        return;
    }
    let dir = folder();
    let raw = dir.path().join("disk.raw");
    disk(&raw, "ext4", 64);
    let mut formats = vec![raw.clone()];
    for (name, format, options) in [
        ("q.qcow2", "qcow2", "compat=0.10"),
        ("sparse.vmdk", "vmdk", "subformat=monolithicSparse"),
        ("flat.vmdk", "vmdk", "subformat=monolithicFlat"),
        ("stream.vmdk", "vmdk", "subformat=streamOptimized"),
        ("two.vmdk", "vmdk", "subformat=twoGbMaxExtentSparse"),
        ("d.vdi", "vdi", "static=off"),
        ("dynamic.vhd", "vpc", "subformat=dynamic,force_size=on"),
        ("fixed.vhd", "vpc", "subformat=fixed,force_size=on"),
        ("d.vhdx", "vhdx", "subformat=dynamic"),
    ] {
        let to = dir.path().join(name);
        must(
            "qemu-img",
            &[
                "convert",
                "-O",
                format,
                "-o",
                options,
                text(&raw),
                text(&to),
            ],
        );
        formats.push(to);
    }
    for (digits, first) in [(true, "split.001"), (false, "letters.aa")] {
        let (stem, _) = first.split_once('.').unwrap();
        let to = dir.path().join(format!("{stem}."));
        let mut args = vec!["-b", "20M"];
        args.extend(if digits {
            ["--numeric-suffixes=1", "-a3"].as_slice()
        } else {
            &["-a2"]
        });
        args.extend([text(&raw), text(&to)]);
        must("split", &args);
        formats.push(dir.path().join(first));
    }
    let mmls = must("mmls", &[text(&raw)]);
    let at = dir.path().join("at");
    fs::create_dir(&at).unwrap();
    for image in formats {
        let before = digest(&image);
        let mounted = Image::mount(&image, &at);
        let name = image.file_stem().unwrap().to_str().unwrap();
        let want = [
            format!("Mounted volume 20.0 MiB 2:Ext4 boot [Linux] at path {}/{name}-2-boot.", at.display()),
            "Unsupported filesystem 3:Linux Swap / Solaris x86 (0x82) (type: swap, block offset: 43008, length: 32768)".into(),
            format!("Mounted volume 27.0 MiB 4:Ext4 / [Linux] at path {}/{name}-4-root.", at.display()),
            "No Docker host found on these volumes.".into(),
        ];
        assert_eq!(
            mounted.1.lines().collect::<Vec<_>>(),
            want,
            "{}",
            image.display()
        );
        let options = must("findmnt", &["-no", "OPTIONS", text(&mounted.place("4"))]);
        for option in ["ro", "nosuid", "nodev", "noexec", "noatime", "norecovery"] {
            assert!(options.trim().split(',').any(|o| o == option), "{options}");
        }
        drop(mounted);
        assert!(
            fs::read_dir(&at).unwrap().next().is_none(),
            "{}: directories stay",
            image.display()
        );
        assert_eq!(digest(&image), before, "{}", image.display());
        assert_eq!(
            must("losetup", &["-j", text(&image)]),
            "",
            "loop devices stay"
        );
    }
    for slot in [
        "002:  000:000   0000002048",
        "003:  000:001   0000043008",
        "004:  000:002   0000075776",
    ] {
        assert!(mmls.contains(slot), "{mmls}");
    }
    let second = dof(["mount-image", text(&dir.path().join("split.002"))]).with(2);
    assert!(second.err.contains("split.001"), "{}", second.err);
}

/// Partition tables with gaps and logical partitions: the same numbers as in `mmls`.
#[test]
fn volumes_are_numbered_as_in_mmls() {
    if !has(&[DISK, &[Need::Program("mmls"), Need::Program("mkfs.ext2")]].concat()) {
        return;
    }
    let dir = folder();
    let layouts = [
        "label: dos\nstart=2048,size=20480,type=83\nstart=51200,size=120000,type=5\nstart=53248,size=20480,type=83\nstart=80000,size=20480,type=7\nstart=110592,size=20480,type=83\nstart=180000,size=20480,type=83\n",
        "label: gpt\nstart=2048,size=2048,type=21686148-6449-6E6F-744E-656564454649\nstart=8192,size=20480,name=\"root fs\"\nstart=40960,size=20480,type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F\nstart=65536,size=20480\n",
    ];
    for (i, layout) in layouts.into_iter().enumerate() {
        let image = dir.path().join(format!("d{i}.raw"));
        fs::File::create(&image)
            .unwrap()
            .set_len(128 << 20)
            .unwrap();
        let file = dir.path().join("layout");
        fs::write(&file, layout).unwrap();
        must(
            "sh",
            &[
                "-c",
                &format!("sfdisk -q '{}' < '{}'", image.display(), file.display()),
            ],
        );
        let mmls = must("mmls", &[text(&image)]);
        // Slot, first sector and sectors of each partition.
        let row = |line: &str| {
            let f: Vec<&str> = line.split_whitespace().collect();
            let number = |i: usize| f.get(i)?.parse::<u64>().ok();
            let is = f
                .get(1)
                .is_some_and(|slot| slot.starts_with(|c: char| c.is_ascii_digit()));
            (is && f[0].ends_with(':')).then(|| Some((number_of(f[0]), number(2)?, number(4)?)))?
        };
        let truth: Vec<(u64, u64, u64)> = mmls.lines().filter_map(row).collect();
        assert_eq!(
            truth.len(),
            layout.matches("start=").count() - usize::from(i == 0),
            "{mmls}"
        );
        for (_, start, _) in &truth {
            let device = Loop::new(&image, *start, 2048);
            must(
                "mkfs.ext2",
                &["-qF", "-L", &format!("at {start}"), &device.0],
            );
        }
        let mounted = Image::mount(&image, dir.path());
        let ours: Vec<&str> = mounted
            .1
            .lines()
            .filter(|l| l.starts_with("Mounted"))
            .collect();
        assert_eq!(ours.len(), truth.len(), "{ours:#?}");
        for ((slot, start, sectors), line) in truth.iter().zip(ours) {
            let want = format!(" {slot}:Ext2 at {start} [Linux] at path ");
            assert!(line.contains(&want), "{want}: {line}\n{mmls}");
            let at = line.split_once(" at path ").unwrap().1;
            let device = must("findmnt", &["-no", "SOURCE", at.trim_end_matches('.')]);
            let size: u64 = must("blockdev", &["--getsz", device.trim()])
                .trim()
                .parse()
                .unwrap();
            assert_eq!(size, *sectors, "{line}");
        }
    }
}

/// The number in `004:`.
fn number_of(slot: &str) -> u64 {
    slot.trim_end_matches(':').parse().unwrap()
}

/// LVM's own tools lay volumes out; a file system is put where they say it is, and comes out as it was.
#[test]
fn logical_volumes_without_device_mapper() {
    if !has(&[DISK, QEMU, &[Need::Program("lvm")]].concat()) {
        return;
    }
    let dir = folder();
    let image = dir.path().join("lvm.raw");
    fs::File::create(&image)
        .unwrap()
        .set_len(256 << 20)
        .unwrap();
    let parts = [(2048u64, 204_800u64), (206_848, 204_800)];
    let layout = dir.path().join("layout");
    fs::write(
        &layout,
        "label: dos\nstart=2048,size=204800,type=8e\nstart=206848,size=204800,type=8e\n",
    )
    .unwrap();
    must(
        "sh",
        &[
            "-c",
            &format!("sfdisk -q '{}' < '{}'", image.display(), layout.display()),
        ],
    );
    let devices = parts.map(|(start, sectors)| Loop::new(&image, start, sectors));
    let [a, b] = [devices[0].0.as_str(), devices[1].0.as_str()];
    let both = format!("{a},{b}");
    let lvm = |args: &[&str]| {
        let config = [
            "--driverloaded",
            "n",
            "--devices",
            &both,
            "--config",
            "activation{udev_sync=0 udev_rules=0} backup{backup=0 archive=0}",
        ];
        must("lvm", &[args, config.as_slice()].concat())
    };
    let make = |name: &str, extents: &str, more: &[&str]| {
        let args = [
            "lvcreate", "-qq", "-an", "-Zn", "-Wn", "-y", "-n", name, "-l", extents,
        ];
        lvm(&[args.as_slice(), more, &["vg0"]].concat());
    };
    lvm(&["pvcreate", "-qq", a, b]);
    lvm(&["vgcreate", "-qq", "vg0", a, b]);
    make("root", "8", &[]);
    make("swap", "2", &[]);
    make("wide", "2", &["-i2"]);
    // Behind the other one, and then over to the second physical volume.
    lvm(&["lvextend", "-qq", "-l", "+20", "vg0/root"]);
    let root: Vec<(u64, u64)> = lvm(&[
        "lvs",
        "--noheadings",
        "--units",
        "s",
        "--nosuffix",
        "-o",
        "seg_pe_ranges",
        "vg0/root",
    ])
    .lines()
    .map(|l| {
        let (device, range) = l.trim().rsplit_once(':').unwrap();
        let (first, last) = range.split_once('-').unwrap();
        let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
        let part = parts[usize::from(device == b)].0;
        let starts = lvm(&[
            "pvs",
            "--noheadings",
            "--units",
            "s",
            "--nosuffix",
            "-o",
            "pe_start",
            device,
        ]);
        let start: u64 = starts.trim().parse().unwrap();
        (
            (part + start) * 512 + first * (4 << 20),
            (last - first + 1) * (4 << 20),
        )
    })
    .collect();
    assert!(root.len() >= 2, "LVM made one run of it: {root:?}");
    drop(devices);
    // A file system of that size with a known tree, cut up as LVM would have it.
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("var/lib")).unwrap();
    let known: Vec<u8> = (0..60_000_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    fs::write(tree.join("var/lib/known"), &known).unwrap();
    let whole = dir.path().join("fs.raw");
    let size: u64 = root.iter().map(|r| r.1).sum();
    fs::File::create(&whole).unwrap().set_len(size).unwrap();
    must("mkfs.ext4", &["-qF", "-d", text(&tree), text(&whole)]);
    let bytes = fs::read(&whole).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&image).unwrap();
    let mut from = 0;
    for (at, length) in root {
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes[from..from + length as usize], at)
            .unwrap();
        from += length as usize;
    }
    drop(file);
    let before = digest(&image);
    let qcow2 = dir.path().join("lvm.qcow2");
    must(
        "qemu-img",
        &["convert", "-O", "qcow2", text(&image), text(&qcow2)],
    );
    for image in [&image, &qcow2] {
        let mounted = Image::mount(image, dir.path());
        let at = mounted.place("2.1");
        assert!(
            mounted.1.contains("112.0 MiB 2.1:Ext4 vg0-root [Linux]"),
            "{}",
            mounted.1
        );
        assert!(
            mounted
                .1
                .contains("of group vg0 (2 physical volumes), logical volumes: root, swap, wide"),
            "{}",
            mounted.1
        );
        assert_eq!(fs::read(at.join("var/lib/known")).unwrap(), known);
    }
    assert_eq!(digest(&image), before);
    let ran = mount_image(dir.path(), &image).with(0);
    unmount_image(&image).with(0);
    assert!(ran.err.contains("2.3: striped over 2"), "{}", ran.err);
}

/// A bare file system, a volume that is only /var, and btrfs with the host in a subvolume.
#[test]
fn hosts_in_parts() {
    if !has(&[
        RAW,
        &[
            Need::Mounts("btrfs"),
            Need::Trusted,
            Need::Program("mkfs.ext3"),
            Need::Program("mkfs.ext4"),
            Need::Program("mkfs.btrfs"),
        ],
    ]
    .concat())
    {
        return;
    }
    let dir = folder();
    let (_sample, host) = crate::support::sample();
    for (name, tree, mkfs, next) in [
        (
            "bare",
            host.clone(),
            vec!["mkfs.ext3", "-qF", "-d"],
            "ingest {}",
        ),
        (
            "var",
            host.join("var"),
            vec!["mkfs.ext4", "-qF", "-d"],
            "ingest --docker-home /lib/docker {}",
        ),
        (
            "docker",
            host.join("var/lib/docker"),
            vec!["mkfs.ext4", "-qF", "-d"],
            "ingest --docker-home / {}",
        ),
        (
            "sub",
            host.clone(),
            vec!["mkfs.btrfs", "-q", "-r"],
            "ingest {}/@",
        ),
    ] {
        let image = dir.path().join(format!("{name}.img"));
        fs::File::create(&image)
            .unwrap()
            .set_len(256 << 20)
            .unwrap();
        let tree = if name == "sub" {
            let top = dir.path().join("top");
            fs::create_dir(&top).unwrap();
            must("cp", &["-a", text(&tree), text(&top.join("@"))]);
            top
        } else {
            tree
        };
        let args: Vec<&str> = mkfs[1..]
            .iter()
            .copied()
            .chain([text(&tree), text(&image)])
            .collect();
        must(mkfs[0], &args);
        let mounted = Image::mount(&image, dir.path());
        let want = next.replace("{}", text(&mounted.place("0"))) + " case.db";
        assert_eq!(mounted.next().join(" "), want, "{}", mounted.1);
        let ran = dof_command()
            .args(mounted.next())
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(
            ran.status.code() < Some(2),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        let listed = dof(["list-containers", text(&dir.path().join("case.db"))]).with(0);
        assert!(listed.out.contains("/apache\n"), "{name}: {}", listed.out);
        fs::remove_file(dir.path().join("case.db")).unwrap();
    }
}

/// Headers that lead to other files of this machine are not followed, whatever they are called.
#[test]
fn no_header_leads_elsewhere() {
    if !has(&[DISK, QEMU].concat()) {
        return;
    }
    let dir = folder();
    let path = |name: &str| dir.path().join(name);
    let canary = path("canary.raw");
    disk(&canary, "ext4", 64);
    let made = |name: &str, args: &[&str]| {
        let to = path(name);
        must(
            "qemu-img",
            &[&["create", "-q", "-f"], args, &[text(&to)]].concat(),
        );
        to
    };
    let backed = made("backed.qcow2", &["qcow2", "-b", text(&canary), "-F", "raw"]);
    let data = format!("data_file={}", path("data.raw").display());
    let external = path("external.qcow2");
    must(
        "qemu-img",
        &[
            "create",
            "-q",
            "-f",
            "qcow2",
            "-o",
            &data,
            text(&external),
            "64M",
        ],
    );
    let flat = path("flat.vmdk");
    fs::write(&flat, format!("# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 131072 FLAT \"{}\" 0\n", canary.display())).unwrap();
    let link = path("link.vmdk");
    std::os::unix::fs::symlink(&canary, path("extent")).unwrap();
    fs::write(&link, "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 131072 FLAT \"extent\" 0\n").unwrap();
    let packed = path("packed.raw");
    fs::write(&packed, b"\x28\xb5\x2f\xfd rest").unwrap();
    for (image, why) in [
        (&backed, "difference to another image"),
        (&external, "leads to another file"),
        (&flat, "leads to another file"),
        (&link, "leads to another file"),
        (&packed, "packed (zstd)"),
    ] {
        let ran = mount_image(dir.path(), image).with(2);
        assert!(ran.err.contains(why), "{}", ran.err);
        assert_eq!(ran.out, "");
    }
    // A guest wrote the header of a qcow2 image in front of its disk: its owner says what it is.
    let forged = path("forged.raw");
    fs::copy(&canary, &forged).unwrap();
    let head = fs::read(&backed).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&forged).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &head[..400], 0).unwrap();
    mount_image(dir.path(), &forged).with(2);
    let ran = dof([
        "mount-image",
        "--image-format",
        "raw",
        "--at",
        text(dir.path()),
        text(&forged),
    ]);
    unmount_image(&forged);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("4:Ext4 / [Linux]"), "{}", ran.out);
}

/// What fails midway leaves nothing; what cannot be undone yet stays on record.
#[test]
fn failures_leave_nothing() {
    if !has(&[DISK, QEMU].concat()) {
        return;
    }
    let dir = folder();
    let image = dir.path().join("broken.raw");
    disk(&image, "ext4", 64);
    // The root's group descriptors are gone: the kernel refuses it, and the boot volume stays mounted.
    let file = fs::OpenOptions::new().write(true).open(&image).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 8192], PARTS[2].0 * 512 + 2048)
        .unwrap();
    drop(file);
    let at = dir.path().join("at");
    fs::create_dir(&at).unwrap();
    let ran = mount_image(&at, &image).with(1);
    let mounted = Image(image.clone(), ran.out.clone(), ran.err.clone());
    assert!(
        ran.err.contains("4:Ext4 / [Linux] is not mounted"),
        "{}",
        ran.err
    );
    let boot = mounted.place("2");
    assert_eq!(fs::read_dir(&at).unwrap().count(), 1);
    // In use: said, kept, and undone the next time.
    let held = fs::File::open(&boot).unwrap();
    let busy = unmount_image(&boot).with(3);
    assert!(busy.err.contains(text(&boot)), "{}", busy.err);
    drop(held);
    let done = unmount_image(&boot).with(0);
    assert_eq!(done.out, format!("Unmounted {}\n", boot.display()));
    assert_eq!(fs::read_dir(&at).unwrap().count(), 0);
    unmount_image(&image).with(2);
    let nothing = dir.path().join("nothing.raw");
    fs::write(&nothing, [1; 4096]).unwrap();
    mount_image(&at, &nothing).with(3);
    assert_eq!(must("losetup", &["-j", text(&image)]), "");
    // A tool that is missing is named with its package.
    let qcow2 = dir.path().join("d.qcow2");
    must(
        "qemu-img",
        &["convert", "-O", "qcow2", text(&image), text(&qcow2)],
    );
    let out = dof_command()
        .env("PATH", dir.path())
        .args(["mount-image", "--at", text(&at), text(&qcow2)])
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(3), "{err}");
    assert!(
        err.contains("qemu-storage-daemon") && err.contains("apt install"),
        "{err}"
    );
}

/// What of an image is missing is said: it would read as zeros.
#[test]
fn images_that_are_not_whole() {
    if !has(&[DISK, QEMU, EWF].concat()) {
        return;
    }
    let dir = folder();
    let raw = dir.path().join("whole.raw");
    disk(&raw, "ext4", 96);
    let noise: Vec<u8> = (0..30_000_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect();
    let at = folder();
    {
        let device = Loop::new(&raw, PARTS[2].0, (96 << 11) - PARTS[2].0);
        let mounted = Writable(at.path().join("rw"));
        fs::create_dir(&mounted.0).unwrap();
        must("mount", &[&device.0, text(&mounted.0)]);
        fs::write(mounted.0.join("noise"), &noise).unwrap();
    }
    let warned = |image: &Path, why: &str| {
        let ran = mount_image(at.path(), image);
        unmount_image(image);
        assert!(ran.err.contains(why), "{}: {}", image.display(), ran.err);
        assert!(
            ran.code == 1 || ran.code == 3 && ran.out.is_empty(),
            "{}: exit code {}",
            image.display(),
            ran.code
        );
    };
    let sane = |image: &Path| {
        let ran = mount_image(at.path(), image).with(0);
        unmount_image(image).with(0);
        assert_eq!(ran.err, "", "{}", image.display());
    };
    // EWF: a segment gone, the last ones gone, one cut off.
    let to = dir.path().join("e");
    let acquire = [
        "-u",
        "-q",
        "-f",
        "encase6",
        "-c",
        "none",
        "-S",
        "16MiB",
        "-t",
        text(&to),
        text(&raw),
    ];
    must("ewfacquire", &acquire);
    let first = dir.path().join("e.E01");
    sane(&first);
    let third = dir.path().join("e.E03");
    let kept = fs::read(&third).unwrap();
    fs::remove_file(&third).unwrap();
    warned(&first, "segment e.E03 is missing");
    fs::write(&third, &kept[..kept.len() / 2]).unwrap();
    warned(&first, "segment e.E03 is cut off");
    fs::write(&third, &kept).unwrap();
    sane(&first);
    // QCOW2, cut off.
    let qcow2 = dir.path().join("q.qcow2");
    must(
        "qemu-img",
        &["convert", "-O", "qcow2", text(&raw), text(&qcow2)],
    );
    sane(&qcow2);
    let size = fs::metadata(&qcow2).unwrap().len();
    fs::OpenOptions::new()
        .write(true)
        .open(&qcow2)
        .unwrap()
        .set_len(size * 2 / 3)
        .unwrap();
    warned(&qcow2, "damaged or cut off");
    // Pieces: one gone, one short.
    must(
        "split",
        &[
            "-b",
            "24M",
            "--numeric-suffixes=1",
            "-a3",
            text(&raw),
            text(&dir.path().join("p.")),
        ],
    );
    let piece = |n: u8| dir.path().join(format!("p.00{n}"));
    sane(&piece(1));
    let kept = fs::read(piece(3)).unwrap();
    fs::remove_file(piece(3)).unwrap();
    warned(&piece(1), "piece p.003 is missing");
    fs::write(piece(3), &kept[..kept.len() - 512]).unwrap();
    warned(&piece(1), "not at its place");
    // The raw image, cut off within its last partition.
    fs::OpenOptions::new()
        .write(true)
        .open(&raw)
        .unwrap()
        .set_len(90 << 20)
        .unwrap();
    warned(&raw, "the image ends within it");
}

/// Partition tables that are damaged: what can be had is mounted, what is wrong is said.
#[test]
fn damaged_partition_tables() {
    if !has(&[DISK, &[Need::Program("mkfs.ext2")]].concat()) {
        return;
    }
    let dir = folder();
    let image = dir.path().join("d.raw");
    let build = |layout: &str, starts: &[u64]| {
        let _ = fs::remove_file(&image);
        fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let file = dir.path().join("layout");
        fs::write(&file, layout).unwrap();
        must(
            "sh",
            &[
                "-c",
                &format!("sfdisk -q '{}' < '{}'", image.display(), file.display()),
            ],
        );
        for start in starts {
            must(
                "mkfs.ext2",
                &[
                    "-qF",
                    "-L",
                    &format!("at{start}"),
                    &Loop::new(&image, *start, 20480).0,
                ],
            );
        }
    };
    let poke = |at: u64, bytes: &[u8]| {
        let file = fs::OpenOptions::new().write(true).open(&image).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, bytes, at).unwrap();
    };
    let mount = || {
        let ran = mount_image(dir.path(), &image);
        unmount_image(&image);
        ran
    };
    let gpt = "label: gpt\nstart=2048,size=20480\nstart=24576,size=20480\n";
    for at in [512 + 40, 1024 + 130] {
        build(gpt, &[2048, 24576]);
        poke(at, &[0x5a; 4]);
        let ran = mount().with(1);
        assert!(
            ran.out.contains(":Ext2 at2048") && ran.out.contains(":Ext2 at24576"),
            "{}{}",
            ran.out,
            ran.err
        );
        assert!(
            ran.err.contains("its copy at the disk's end"),
            "{}",
            ran.err
        );
    }
    let logical = "label: dos\nstart=2048,size=20480,type=83\nstart=24576,size=90000,type=5\nstart=26624,size=20480,type=83\nstart=51200,size=20480,type=83\n";
    build(logical, &[2048, 26624, 51200]);
    let all = mount().with(0);
    assert_eq!(all.out.matches("Mounted volume").count(), 3, "{}", all.out);
    // The second extended table is found by the first one's second entry: let it lead back.
    poke(24576 * 512 + 446 + 16 + 8, &0u32.to_le_bytes());
    let ran = mount().with(1);
    assert!(
        ran.out.contains("at2048") && ran.out.contains("at26624"),
        "{}",
        ran.out
    );
    assert!(ran.err.contains("leads in a circle"), "{}", ran.err);
    // An old table in front of a bare file system.
    fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
    must("mkfs.ext4", &["-qF", "-L", "bare", text(&image)]);
    let mut table = [0; 66];
    table[4] = 0x83;
    table[8..12].copy_from_slice(&2048u32.to_le_bytes());
    table[12..16].copy_from_slice(&20480u32.to_le_bytes());
    table[64..].copy_from_slice(&[0x55, 0xaa]);
    poke(446, &table);
    let ran = mount().with(0);
    assert!(ran.out.contains(" 0:Ext4 bare"), "{}", ran.out);
}

/// A container mounted from an image keeps it: the image is not taken away below it.
#[test]
fn an_image_in_use_stays() {
    if !has(&[
        RAW,
        QEMU,
        &[Need::Mounts("overlay"), Need::Program("mkfs.ext4")],
    ]
    .concat())
    {
        return;
    }
    let dir = folder();
    let (_sample, host) = crate::support::sample();
    let raw = dir.path().join("used.raw");
    fs::File::create(&raw).unwrap().set_len(128 << 20).unwrap();
    must("mkfs.ext4", &["-qF", "-d", text(&host), text(&raw)]);
    let qcow2 = dir.path().join("used.qcow2");
    must(
        "qemu-img",
        &["convert", "-O", "qcow2", text(&raw), text(&qcow2)],
    );
    for image in [&raw, &qcow2] {
        let mounted = Image::mount(image, dir.path());
        let root = mounted.place("0");
        let at = dir.path().join("container");
        // The directory need not be there.
        dof([
            "mount-container",
            "--container",
            "apache",
            "--at-mountpoint",
            text(&at),
            text(&root),
        ])
        .with(0);
        let refused = unmount_image(image).with(3);
        assert!(
            refused.err.contains("dof unmount-container"),
            "{}",
            refused.err
        );
        assert_eq!(
            fs::read(at.join("tmp/later")).unwrap(),
            b"after the commit\n"
        );
        dof(["unmount-container", text(&at)]).with(0);
        unmount_image(image).with(0);
        assert_eq!(must("losetup", &["-j", text(image)]), "");
        drop(mounted);
        let _ = fs::remove_dir(&at);
    }
}

/// Killed at any moment of mounting: unmount-image finds all there is, and nothing stays.
#[test]
fn a_killed_mount_is_undone() {
    if !has(&[DISK, QEMU, &[Need::Program("pgrep")]].concat()) {
        return;
    }
    let dir = folder();
    let raw = dir.path().join("killed.raw");
    disk(&raw, "ext4", 64);
    let qcow2 = dir.path().join("killed.qcow2");
    must(
        "qemu-img",
        &["convert", "-O", "qcow2", text(&raw), text(&qcow2)],
    );
    let at = dir.path().join("at");
    fs::create_dir(&at).unwrap();
    for image in [&raw, &qcow2] {
        for n in 0..25 {
            use std::os::unix::process::CommandExt;
            let mut child = dof_command()
                .args(["mount-image", "--at", text(&at), text(image)])
                .stdout(std::process::Stdio::null())
                .process_group(0)
                .spawn()
                .unwrap();
            std::thread::sleep(std::time::Duration::from_millis(n * 4));
            let _ = child.kill();
            child.wait().unwrap();
            // A tool that was under way goes on for a moment, and its work counts.
            let group = child.id().to_string();
            while run("pgrep", &["-r", "R,S,D", "-g", &group])
                .expect("pgrep")
                .code
                == 0
            {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            unmount_image(image);
            assert_eq!(
                must("losetup", &["-j", text(image)]),
                "",
                "killed after {} ms",
                n * 4
            );
            let left: Vec<_> = fs::read_dir(&at).unwrap().collect();
            assert!(left.is_empty(), "killed after {} ms: {left:?}", n * 4);
        }
    }
}

/// The recorded whole disks, one with a journal that must not be replayed.
#[test]
fn recorded_disks() {
    if !has(&[RAW, &[Need::Evidence, Need::Mounts("xfs")]].concat()) {
        return;
    }
    let evidence = evidence().expect("recorded evidence");
    let dir = folder();
    for (name, slot) in [
        ("disk-image-docker26", "4"),
        ("disk-image-gpt-docker26", "7"),
        ("disk-image-dirty-docker26", "4"),
    ] {
        let image = dir.path().join(format!("{name}.raw"));
        let packed = evidence.join(name).join("disk.raw.zst");
        must("zstd", &["-dqf", text(&packed), "-o", text(&image)]);
        let mounted = Image::mount(&image, dir.path());
        let place = mounted.place(slot);
        let journal = mounted.2.contains("its journal was not replayed");
        assert_eq!(journal, name.contains("dirty"), "{}", mounted.2);
        assert_eq!(mounted.next(), ["ingest", text(&place), "case.db"]);
        let listed = dof(["list-containers", text(&place)]).with(0);
        for container in ["site", "queue", "job"] {
            assert!(
                listed.out.contains(&format!("/{container}\n")),
                "{}",
                listed.out
            );
        }
        drop(mounted);
        let oracle = evidence.join(format!("{name}.oracle")).join("raw.sha256");
        let want = fs::read_to_string(oracle).unwrap();
        assert_eq!(
            want.split_whitespace().next().unwrap(),
            digest(&image),
            "{name}"
        );
    }
}
