//! `dof mount-image` and `dof unmount-image`.

use super::{Failure, Lines, exit};
use crate::disk::{self, DockerHost, Outcome, Told, Volume};
use crate::parse::disk_image::Format;
use crate::stderr;
use crate::text::printable;
use clap::Args;
use std::path::{Path, PathBuf};

/// Arguments of `dof mount-image`.
#[derive(Debug, Args)]
#[command(after_help = "\
Raw images, in pieces too (disk.001 ...), and QCOW2, VMDK, VDI, VHD, VHDX and E01. Read-only, nosuid, nodev, noexec; no \
journal is replayed. Volumes are numbered as in mmls. Needs root; losetup, and for other than raw images \
qemu-storage-daemon or ewfmount.

Example:
  dof mount-image disk.E01
  dof ingest /tmp/disk-4-root case.db
  dof unmount-image disk.E01")]
pub struct MountImage {
    /// The image, or the first piece of it
    image: PathBuf,
    /// Make the volumes' directories here [default: the directory for temporary files]
    #[arg(long, value_name = "DIR")]
    at: Option<PathBuf>,
    /// What the image is, where its first bytes are not to be believed
    #[arg(long, value_enum, value_name = "FORMAT")]
    image_format: Option<Format>,
}

/// Arguments of `dof unmount-image`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  dof unmount-image disk.E01\n  dof unmount-image /tmp/disk-4-root"
)]
pub struct UnmountImage {
    /// The image, or a directory one of its volumes is mounted at; may be left out when only one image is mounted
    image: Option<PathBuf>,
}

impl From<disk::Error> for Failure {
    fn from(e: disk::Error) -> Self {
        use disk::Error as E;
        // Names in it are the image's.
        let text = printable(&e.to_string()).into_owned();
        match e {
            E::Image { .. } | E::NotFirst { .. } | E::NotPlain { .. } | E::NotOurs(_) => {
                Failure::usage(text)
            }
            _ => Failure::io(text),
        }
    }
}

impl MountImage {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let parent = self.at.unwrap_or_else(std::env::temp_dir);
        let mut lines = Lines::default();
        let mut hosts = Vec::new();
        let (mut mounted, mut wrong) = (0, 0);
        let say = |text: &str| stderr::line(format_args!("dof: {text}"));
        disk::mount(&self.image, self.image_format, &parent, |told| {
            let (volume, outcome) = match told {
                Told::Wrong(line) => {
                    wrong += 1;
                    return say(line);
                }
                Told::Volume(volume, outcome) => (volume, outcome),
            };
            match outcome {
                Outcome::Mounted { at, host } => {
                    mounted += 1;
                    lines.put(&format!(
                        "Mounted volume {} at path {}.",
                        described(volume),
                        crate::text::shown(at)
                    ));
                    hosts.extend(host.clone().map(|h| (volume.slot.clone(), h)));
                    if volume.content.as_ref().is_some_and(|c| c.dirty) {
                        say(&format!(
                            "volume {}: its journal was not replayed: what stood only there is not seen",
                            volume.slot
                        ));
                    }
                }
                Outcome::Lvm(group) => {
                    let line = format!(
                        "LVM physical volume {}:{} {group}",
                        volume.slot, volume.described
                    );
                    lines.put(&line);
                }
                Outcome::Unsupported => lines.put(&unsupported(volume)),
                Outcome::Refused(e) => {
                    wrong += 1;
                    say(&format!("volume {} is not mounted: {e}", described(volume)));
                }
            }
            if let Some(why) = &volume.obstacle {
                say(&format!("volume {}: {why}", volume.slot));
            }
            if let Some(why) = &volume.warning {
                wrong += 1;
                say(&format!("volume {}: {why}", volume.slot));
            }
        })?;
        if hosts.is_empty() && mounted > 0 {
            lines.put("No container engine found on these volumes.");
        }
        for (slot, host) in hosts {
            lines.put(&next_step(&slot, &host));
        }
        lines.end()?;
        match (mounted, wrong) {
            (0, _) => Err(Failure::io("no volume of this image could be mounted")),
            (_, 0) => Ok(exit::OK),
            _ => Ok(exit::PROBLEMS),
        }
    }
}

/// `4.3 GiB 4:Ext4 / [Linux]`
fn described(volume: &Volume) -> String {
    let mut text = format!("{} {}", volume.size(), volume.slot);
    if let Some(content) = &volume.content {
        text += &format!(":{}", content.kind.name());
        if !content.label.is_empty() {
            text += &format!(" {}", content.label);
        }
        if let Some(system) = content.system {
            text += &format!(" [{system}]");
        }
    }
    printable(&text).into_owned()
}

fn unsupported(volume: &Volume) -> String {
    let word = volume.content.as_ref().map_or("unknown", |c| c.kind.word());
    let text = format!(
        "Unsupported filesystem {}:{} (type: {word}, block offset: {}, length: {})",
        volume.slot,
        volume.described,
        volume.extents.first().map_or(0, |e| e.0) / 512,
        volume.length / 512
    );
    printable(&text).into_owned()
}

fn next_step(slot: &str, host: &DockerHost) -> String {
    let roots = host.data_roots.join(", ");
    let place = quoted(&host.mount);
    let homes: String = host
        .data_roots
        .iter()
        .filter(|_| host.named)
        .map(|root| format!("--docker-home {} ", quoted(Path::new(root))))
        .collect();
    let roots = printable(&roots);
    format!(
        "Docker host on volume {slot}, data root {roots}. Next: dof ingest {homes}{place} case.db"
    )
}

/// A path as a shell takes it, on one line.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-@+:,".contains(c);
    if text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", printable(&text.replace('\'', "'\\''")))
    }
}

impl UnmountImage {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let (done, failed) = disk::unmount(self.image.as_deref())?;
        let mut lines = Lines::default();
        for at in done {
            lines.put(&format!("Unmounted {}", crate::text::shown(&at)));
        }
        lines.end()?;
        for e in &failed {
            stderr::line(format_args!("dof: {}", printable(&e.to_string())));
        }
        if failed.is_empty() {
            Ok(exit::OK)
        } else {
            Err(Failure::io(
                "not all could be undone; try again when nothing uses it",
            ))
        }
    }
}
