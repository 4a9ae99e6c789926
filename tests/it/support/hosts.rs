//! Hosts to look into: the sample, and those that were recorded.

use super::{Need, folder, run};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Without root, and as root of a container, dof cannot keep the kernel from noting that a symbolic link was read (see
/// src/evidence/detached.rs). Read once already, links keep their times for a day (relatime), and the tests can hold dof to them.
pub(super) fn settle(mount: &Path) {
    if !Need::Mounts("tmpfs").is_met() {
        // The kernel's clock for times is coarse; the reading must come after the making.
        std::thread::sleep(std::time::Duration::from_millis(50));
        for entry in walkdir::WalkDir::new(mount).into_iter().flatten() {
            let _ = std::fs::read_link(entry.path());
        }
    }
}

/// The sample host that comes with dof, unpacked anew.
pub fn sample() -> (TempDir, PathBuf) {
    let dir = folder();
    let host = dof::demo::unpack(&dir.path().join("demo")).expect("the sample unpacks");
    settle(&host);
    (dir, host)
}

/// Another host than the sample, of which a case can hold both.
pub fn other_host(sample: &Path, dir: &Path) -> PathBuf {
    let to = dir.join("other");
    run(
        "cp",
        &["-a", sample.to_str().unwrap(), to.to_str().unwrap()],
    )
    .unwrap()
    .with(0);
    std::fs::write(
        to.join("etc/machine-id"),
        "11111111111111111111111111111111\n",
    )
    .unwrap();
    std::fs::write(to.join("etc/hostname"), "other\n").unwrap();
    to
}

/// The engine's answers recorded with the sample host.
pub fn sample_oracle() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts/sample/oracle")
}

/// The recorded evidence that stands beside the checkout where this project is developed.
pub fn evidence() -> Option<PathBuf> {
    let dir = std::env::var_os("DOF_TEST_EVIDENCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/evidence"),
        PathBuf::from,
    );
    dir.is_dir().then_some(dir)
}
