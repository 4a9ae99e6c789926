//! Mounts, overlays and loop devices of the tests' own, undone when dropped.

use super::made::Host;
use super::{Ran, dof, folder, must, run, shell, text};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A mount of the test's own, gone when dropped.
pub struct Unmount(pub PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        run("umount", &[text(&self.0)]);
    }
}

/// A loop device, gone when dropped.
pub struct Loop(pub String);

impl Loop {
    pub fn new(image: &Path, start: u64, sectors: u64) -> Loop {
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

/// A file system on a loop device, undone when dropped.
pub struct Attached {
    device: String,
    at: PathBuf,
}

impl Attached {
    pub fn new(image: &Path, at: &Path) -> Attached {
        let ran = run("losetup", &["-f", "--show", image.to_str().unwrap()]);
        let device = ran.unwrap().with(0).out.trim().to_owned();
        let attached = Attached {
            device,
            at: at.to_owned(),
        };
        run("mount", &[&attached.device, at.to_str().unwrap()])
            .unwrap()
            .with(0);
        attached
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        run("umount", &[self.at.to_str().unwrap()]);
        run("losetup", &["-d", &self.device]);
    }
}

/// Undoes what is mounted below a directory, also when a test fails.
pub struct Mounted<'d>(pub &'d Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        dof(["unmount-container", self.0.to_str().unwrap()]);
    }
}

/// Names and places of the containers that `mount-container --all` mounted with all their mounts. One that never ran may lack
/// the places of these: nothing can be mounted there.
pub fn whole(ran: &Ran) -> impl Iterator<Item = (&str, &str)> {
    let mounted = ran.out.lines().map(|line| {
        line.strip_prefix("Mounted container ")
            .and_then(|l| l.split_once(" at "))
            .unwrap()
    });
    mounted.filter(|(name, _)| !ran.err.contains(&format!("dof: {name}: ")))
}

/// A read-only overlay mount of layers, topmost first, gone when dropped.
pub struct Overlay(TempDir);

impl Overlay {
    pub fn new(layers: &[PathBuf]) -> Option<Overlay> {
        let dir = folder();
        let [first, second, at] = ["first", "second", "at"].map(|n| dir.path().join(n));
        for d in [&first, &second, &at] {
            fs::create_dir(d).unwrap();
        }
        // One layer alone is no overlay; empty ones below show nothing.
        let lower: Vec<&str> = layers
            .iter()
            .chain([&first, &second])
            .map(|p| p.to_str().unwrap())
            .collect();
        let options = format!(
            "ro,redirect_dir=follow,metacopy=on,lowerdir={}",
            lower.join(":")
        );
        let done = run(
            "mount",
            &["-t", "overlay", "overlay", "-o", &options, at.to_str()?],
        )?;
        assert_eq!(done.code, 0, "{}", done.err);
        Some(Overlay(dir))
    }

    pub fn at(&self) -> PathBuf {
        self.0.path().join("at")
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        run("umount", &[self.at().to_str().unwrap()]);
    }
}

/// An overlay the kernel writes to, gone when dropped.
pub struct Writable<'a>(&'a Path);

impl<'a> Writable<'a> {
    pub fn new(dir: &Path, lower: &[PathBuf], upper: &Path, at: &'a Path) -> Option<Self> {
        let work = dir.join(format!("{}.work", upper.display()));
        fs::create_dir_all(&work).unwrap();
        let lower: Vec<_> = lower.iter().map(|p| p.to_str().unwrap()).collect();
        let options = format!(
            "redirect_dir=on,metacopy=on,index=off,lowerdir={},upperdir={},workdir={}",
            lower.join(":"),
            upper.display(),
            work.display()
        );
        let done = run(
            "mount",
            &["-t", "overlay", "overlay", "-o", &options, at.to_str()?],
        )?;
        (done.code == 0).then_some(Writable(at))
    }
}

impl Drop for Writable<'_> {
    fn drop(&mut self) {
        run("umount", &[self.0.to_str().unwrap()]);
    }
}

/// What the kernel's overlayfs writes for it: whiteouts, opaque directories, absolute and relative redirects, metacopies
/// and chains of them over several layers; and everything that tells files apart.
pub const STORY: [&str; 5] = [
    "mkdir -p a/deep/er b/c gone keep 'na me' swap
     echo one > a/f1; echo two > a/deep/f2; echo three > a/deep/er/f3; echo x > gone/x; echo y > b/c/y
     head -c 3000000 /dev/urandom > big; head -c 100000 /dev/urandom > a/deep/big2
     truncate -s 40M sparse; printf mid | dd of=sparse bs=1 seek=20M conv=notrunc status=none
     truncate -s 1M hole-only; printf end | dd of=tail-data bs=1 seek=700000 status=none
     ln a/f1 hard1; ln -s ../a/f1 b/link; ln -s \"$(printf 'l%.0s' {1..200})\" long-link; mkfifo pipe; mknod null c 1 3; mknod disk b 259 70000
     touch \"$(printf 'line\\nbreak')\" \"$(printf 'bad\\377')\" \"$(printf 'n%.0s' {1..250})\" -- '-dash'
     p=.; for i in $(seq 60); do p=$p/dir-with-a-name-$i; done; mkdir -p $p; echo bottom > $p/file
     chown 100000:3000000000 b/c/y; chmod 6755 a/f1; touch -d '1969-12-31 23:59:58' a/deep/f2; touch -d 2200-01-01 keep; touch -d 2001-02-03T04:05:06.000000789 big
     setfattr -n user.note -v 'a=b' big; setfattr -n user.a=b%c -v '' big; setfattr -n user.overlay.opaque -v y a; setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 hard1
     echo a > swap/file; echo b > swap2; perl -MSocket -e 'socket(S,AF_UNIX,SOCK_STREAM,0); bind(S,sockaddr_un(q(sock))) or die'",
    "rm gone/x; rmdir gone; rm -r b; mkdir b; echo new > b/new; mv a/deep moved; chmod 600 big; chown 5:6 moved/big2; rm -r swap; echo file > swap; rm swap2; mkdir swap2; echo in > swap2/in",
    "mv moved/er er; mkdir gone; echo again > gone/again; mv a moved/a2; touch -d 2020-02-02 big; setfattr -n user.more -v 1 big; echo z >> moved/f2",
    "mv moved twice; mv er/f3 er/f3b; mkdir moved; echo q > moved/q; mv big big-renamed; rm hard1; mkdir -p er/new/below; mv er twice/er2",
    "mv twice/er2/new twice/n2; rm twice/a2/f1; echo w > twice/er2/w; rm -r swap2; ln big-renamed big-linked; chmod 644 big-renamed",
];

/// Lays these out as layers of a host, as the kernel writes them: their folders, topmost first, and their names, base first.
pub fn story(host: &Host) -> (Vec<PathBuf>, Vec<String>) {
    let work = folder();
    let at = work.path().join("at");
    fs::create_dir(&at).unwrap();
    let mut layers: Vec<PathBuf> = Vec::new();
    let mut names = Vec::new();
    for (i, script) in STORY.iter().enumerate() {
        let name = format!("layer{i}");
        let upper = host.layer(&name);
        fs::create_dir_all(&upper).unwrap();
        if layers.is_empty() {
            shell(&upper, script);
        } else {
            let aside = work.path().join(&name);
            fs::create_dir(&aside).unwrap();
            fs::remove_dir(&upper).unwrap();
            let made = Writable::new(work.path(), &layers, &aside, &at);
            let made = made.expect("the kernel mounts an overlay");
            shell(&at, script);
            drop(made);
            fs::rename(&aside, &upper).unwrap();
        }
        layers.insert(0, upper);
        names.push(name);
    }
    (layers, names)
}
