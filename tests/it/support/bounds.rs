//! Bounds of memory and time, as the kernel holds dof to them.

use super::folder;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Bytes that dof may hold at most, whatever the host.
pub const MOST: u64 = 512 << 20;

/// Runs dof for at most two minutes with no more memory than that: what it said on stderr, and its peak in bytes as it was seen
/// every few milliseconds. The kernel holds it to its data (RLIMIT_DATA), whatever was seen.
pub fn peak(args: &[&str], codes: &[i32]) -> (String, u64) {
    let dir = folder();
    let said = dir.path().join("stderr");
    let mut child = Command::new("prlimit")
        .args([&format!("--data={MOST}"), "--core=0"])
        .arg(env!("CARGO_BIN_EXE_dof"))
        .args(args)
        .stdout(Stdio::null())
        .stderr(fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let mut peak = 0;
    let status = loop {
        if let Ok(text) = fs::read_to_string(format!("/proc/{}/status", child.id())) {
            let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
            let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
            peak = peak.max(kib.unwrap_or(0) * 1024);
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{args:?}: no end");
        }
        std::thread::sleep(Duration::from_millis(3));
    };
    let said = fs::read_to_string(said).unwrap();
    let code = status.code().unwrap_or(128);
    assert!(codes.contains(&code), "{args:?}: exit code {code}: {said}");
    (said, peak)
}
