//! What a test cannot do without, and the one place where a test is skipped.

use super::{engine, evidence, folder, fuse, run};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Whether this process is root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What a test cannot do without. Debian's essential programs, and `mount` and `losetup` where a need below implies them, are
/// taken for granted; a test names all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// To be root of the machine, not of a user namespace.
    Root,
    /// A program in the PATH.
    Program(&'static str),
    /// A kernel of this version or a later one.
    Kernel(u32, u32),
    /// A kernel that mounts this kind of file system for this user.
    Mounts(&'static str),
    /// A loop device to attach an image to.
    Loop,
    /// A file system of the test's own by FUSE.
    Fuse,
    /// To set and read `trusted.*` attributes, which overlayfs marks deleted files with.
    Trusted,
    /// A strace that the kernel lets trace.
    Strace,
    /// A user namespace that one can make.
    UserNamespace,
    /// A Docker engine that starts.
    Engine,
    /// The same on this storage driver, whose data lie on the disk of the temporary files.
    EngineOn(&'static str),
    /// An engine that builds by BuildKit.
    BuildKit,
    /// The recorded evidence, and what unpacks it: root and zstd.
    Evidence,
}

impl Need {
    /// Whether it is met. Found out once a process.
    pub fn is_met(self) -> bool {
        self.lacking().is_none()
    }

    /// Why it is not met, if so.
    fn lacking(self) -> Option<String> {
        static FOUND: Mutex<BTreeMap<String, Option<String>>> = Mutex::new(BTreeMap::new());
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        let known = found.entry(format!("{self:?}"));
        known.or_insert_with(|| self.find_out().err()).clone()
    }

    /// Tries what cannot be looked up.
    fn find_out(self) -> Result<(), String> {
        let held = |is: bool, why: &str| if is { Ok(()) } else { Err(why.to_owned()) };
        match self {
            Need::Root => {
                // All users of the machine, each as itself.
                let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
                let all = map.split_whitespace().eq(["0", "0", "4294967295"]);
                held(is_root() && all, "needs root")
            }
            Need::Program(name) => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let there = std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
                held(there, &format!("{name} is not installed"))
            }
            Need::Kernel(major, minor) => {
                let release = run("uname", &["-r"]).map_or_else(String::new, |ran| ran.out);
                let mut numbers = release.split(['.', '-']).map_while(|n| n.parse().ok());
                let is = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
                held(
                    is >= (major, minor),
                    &format!("needs Linux {major}.{minor}, this is {}", release.trim()),
                )
            }
            Need::Mounts(kind) => {
                Need::Root.find_out()?;
                // One that needs a disk is not mounted without one; the kernel still tells whether it knows it.
                let dir = folder();
                let at = dir.path();
                let [low, up, work, to] = ["low", "up", "work", "to"].map(|n| at.join(n));
                for dir in [&low, &up, &work, &to] {
                    std::fs::create_dir(dir).map_err(|e| e.to_string())?;
                }
                let options = match kind {
                    "overlay" => format!(
                        "redirect_dir=on,metacopy=on,index=off,lowerdir={},upperdir={},workdir={}",
                        low.display(),
                        up.display(),
                        work.display()
                    ),
                    _ => "rw".to_owned(),
                };
                let to = to.to_str().unwrap_or_default();
                let mounted = run("mount", &["-t", kind, "-o", &options, "none", to]);
                let mounted = mounted.ok_or("mount is not installed")?;
                if mounted.code == 0 {
                    run("umount", &[to]);
                    return Ok(());
                }
                let kinds = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
                let on_disk = kinds.lines().any(|l| l == format!("\t{kind}"));
                held(
                    on_disk && Need::Mounts("tmpfs").find_out().is_ok(),
                    &format!("{kind} cannot be mounted: {}", mounted.err.trim()),
                )
            }
            Need::Loop => {
                Need::Root.find_out()?;
                let dir = folder();
                let image = dir.path().join("image");
                let file = std::fs::File::create(&image).map_err(|e| e.to_string())?;
                file.set_len(1 << 20).map_err(|e| e.to_string())?;
                let image = image.to_str().unwrap_or_default();
                let attached = run("losetup", &["-f", "--show", image]);
                let attached = attached.ok_or("losetup is not installed")?;
                held(
                    attached.code == 0,
                    &format!("no loop device: {}", attached.err.trim()),
                )?;
                run("losetup", &["-d", attached.out.trim()]);
                Need::Mounts("tmpfs").find_out()
            }
            Need::Fuse => {
                Need::Root.find_out()?;
                fuse::works().map_err(|e| format!("FUSE is not to be had here: {e}"))
            }
            Need::Trusted => {
                let dir = folder();
                let flags = rustix::fs::XattrFlags::empty();
                rustix::fs::setxattr(dir.path(), "trusted.dof", b"x", flags)
                    .map_err(|e| format!("needs trusted.* attributes: {e}"))
            }
            Need::Strace => {
                Need::Program("strace").find_out()?;
                let traced = run("strace", &["-f", "-o", "/dev/null", "true"]);
                held(
                    traced.is_some_and(|ran| ran.code == 0),
                    "strace cannot trace here",
                )
            }
            Need::UserNamespace => {
                let made = run("unshare", &["--user", "true"]);
                held(made.is_some_and(|ran| ran.code == 0), "no user namespaces")
            }
            Need::Engine => engine::works("overlay2", false),
            Need::EngineOn(driver) => engine::works(driver, false),
            Need::BuildKit => engine::works("overlay2", true),
            Need::Evidence => {
                held(
                    evidence().is_some(),
                    "no recorded evidence beside the checkout",
                )?;
                Need::Root.find_out()?;
                Need::Program("zstd").find_out()
            }
        }
    }
}

/// Whether a test has what it needs; one that lacks something is skipped with a word, and fails when everything must run.
/// Tests ask this first. Only here is a test ever skipped.
#[must_use]
pub fn has(needs: &[Need]) -> bool {
    let Some(why) = needs.iter().find_map(|need| need.lacking()) else {
        return true;
    };
    assert!(
        std::env::var_os("DOF_TEST_ALL").is_none(),
        "DOF_TEST_ALL is set, but this test cannot run: {why}"
    );
    eprintln!("SKIPPED: {why}");
    false
}
