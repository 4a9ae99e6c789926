//! The command line: what was typed, and which thin file does it. No logic that a user of the library would miss.

mod check;
mod demo;
mod export_container;
mod extract;
mod filesystem;
mod generate;
mod ingest;
mod known;
mod list_containers;
mod list_images;
mod macrobber;
mod mount_container;
mod mount_image;
mod query;
mod schema;
mod show_container_config;
mod show_container_log;
mod show_image;
mod source;
mod status;
mod verify;

use crate::case::Case;
use crate::render::Format;
use crate::stderr;
use crate::text::{self, printable};
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Exit codes, as `--help` and README name them.
pub mod exit {
    /// Done.
    pub const OK: u8 = 0;
    /// Done, with problems recorded.
    pub const PROBLEMS: u8 = 1;
    /// Wrong usage, unknown name, not a Docker host or not a case.
    pub const USAGE: u8 = 2;
    /// I/O failed or the case is damaged.
    pub const IO: u8 = 3;
}

/// Docker forensics: a dead Docker host's disk into one SQLite case, and answers from it.
#[derive(Debug, Parser)]
#[command(name = "dof", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 done, with problems recorded; 2 wrong usage, unknown name, not a Docker host or not a case; \
3 I/O failed or damaged case.

Example:
  mount -o ro,noload,noexec,nodev /dev/loop0p3 /mnt/host
  dof ingest /mnt/host case.db
  dof query timeline --since 2019-06-01";

const MACROBBER_EXAMPLE: &str = "\
Example:
  dof macrobber-container-layer --container apache case.db > body
  dof macrobber-volumes --container apache case.db >> body
  mactime -b body -d 2019-01-01..2019-12-31";

#[derive(Debug, Subcommand)]
enum Command {
    /// Load a mounted Docker host into a case
    Ingest(ingest::Ingest),
    /// What the host runs, and how much of it
    Status(status::Status),
    /// The containers of a host
    ListContainers(list_containers::ListContainers),
    /// The images of a host, by repository
    ListImages(list_images::ListImages),
    /// The build history of an image, as JSON
    #[command(
        after_help = "Example:\n  dof show-image-history --image httpd:2.4 /mnt/host | jq -r '.[].created_by'"
    )]
    ShowImageHistory(show_image::ShowImage),
    /// The whole config of an image, as JSON
    #[command(
        after_help = "Example:\n  dof show-image-config --image httpd:2.4 case.db | jq .config.Env"
    )]
    ShowImageConfig(show_image::ShowImage),
    /// A container's configuration, host configuration included, as JSON
    ShowContainerConfig(show_container_config::ShowContainerConfig),
    /// A container's log, as Docker writes it
    ShowContainerLog(show_container_log::ShowContainerLog),
    /// Body lines of a container's own layer
    #[command(after_help = MACROBBER_EXAMPLE)]
    MacrobberContainerLayer(macrobber::Macrobber),
    /// Body lines of a container's volumes and bind mounts, at their place in the container
    #[command(after_help = MACROBBER_EXAMPLE)]
    MacrobberVolumes(macrobber::Macrobber),
    /// Mount a container's file system as the container saw it, read-only
    MountContainer(mount_container::MountContainer),
    /// Write a container's file system, as the container saw it, as a tar archive
    ExportContainer(export_container::ExportContainer),
    /// Add a list of known hashes to a case
    Known(known::Known),
    /// Copy files of a container out, with a manifest of their hashes
    Extract(extract::Extract),
    /// Undo mount-container
    UnmountContainer(mount_container::UnmountContainer),
    /// Mount every volume of a disk image, read-only, and name the one with a Docker host
    MountImage(mount_image::MountImage),
    /// Undo mount-image
    UnmountImage(mount_image::UnmountImage),
    /// Compare image layers and images with what they were shipped as
    Verify(verify::Verify),
    /// Run a saved query, or list them
    Query(query::QueryCommand),
    /// The tables and views of a case: the manual for SQL of your own
    Schema(schema::Schema),
    /// Whether a case is as dof left it: its digest, its structure, its rows
    Check(check::Check),
    /// Unpack the sample host that comes with dof, ingest it, and show what it answers
    Demo(demo::Demo),
    /// Print the completions of a shell
    Completions(generate::Completions),
    /// Print a manual page
    Man(generate::ManPage),
}

/// Where rows go, and in which format.
#[derive(Clone, Debug, Default, Args)]
pub struct Output {
    /// Write to a new file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Output {
    /// Whether it goes to a person.
    fn is_terminal(&self) -> bool {
        self.output.is_none() && io::stdout().is_terminal()
    }

    /// Opens it. A file is new, made when the first of it is written, and never within the evidence: `source` where that is a
    /// mounted host, and the mounts that `case` was made from, where they are there.
    fn open(&self, source: &Path, case: Option<&Case>) -> Result<Box<dyn Write + Send>, Failure> {
        let Some(path) = &self.output else {
            return Ok(Box::new(BufWriter::with_capacity(1 << 16, io::stdout())));
        };
        let mut evidence = case.map(Case::mounts).transpose()?.unwrap_or_default();
        evidence.push(source.to_path_buf());
        let at = if path.exists() { path } else { parent(path) };
        for mount in evidence.iter().filter(|m| m.is_dir()) {
            crate::rootfs::outside(mount, at)?;
        }
        let shown = path.display();
        if crate::case::is_beside_a_case(path) {
            return Err(Failure::usage(format!(
                "{shown}: SQLite would take it for a part of the case beside it; choose another name"
            )));
        }
        // A link to nothing is there, too.
        let mut file = None;
        match path.metadata() {
            Err(_) if path.symlink_metadata().is_err() => {}
            Ok(meta) if !meta.is_file() && !meta.is_dir() => {
                let opened = File::options().write(true).open(path);
                file = Some(opened.map_err(|e| Failure::io(format!("{shown}: {e}")))?);
            }
            _ => {
                return Err(Failure::usage(format!(
                    "{shown} is there already; nothing is overwritten, name a new file"
                )));
            }
        }
        let path = path.clone();
        Ok(Box::new(BufWriter::with_capacity(
            1 << 16,
            NewFile { path, file },
        )))
    }
}

/// A file that is made when something is written to it: a command that is refused leaves none.
struct NewFile {
    path: PathBuf,
    file: Option<File>,
}

impl NewFile {
    fn made(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            let made = File::create_new(&self.path);
            let shown = self.path.display();
            let error = |e: io::Error| io::Error::new(e.kind(), format!("{shown}: {e}"));
            self.file = Some(made.map_err(error)?);
        }
        self.file
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Write for NewFile {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.made()?.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.made()?.flush()
    }
}

/// The format of a listing whose default is the classic text.
#[derive(Clone, Debug, Default, Args)]
pub struct ListFormat {
    /// Print a table, JSON, JSON Lines or CSV instead of the classic text
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    output: Output,
}

/// Makes a directory of the analyst's unless it is there; never within the evidence. Whether it was made.
fn make_dir(evidence: &Path, dir: &Path) -> Result<bool, Failure> {
    if dir.exists() {
        return Ok(false);
    }
    crate::rootfs::outside(evidence, parent(dir))?;
    std::fs::create_dir(dir).map_err(|e| Failure::io(format!("{}: {e}", dir.display())))?;
    Ok(true)
}

/// The directory a path is in.
fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Lines of standard output that tell what was done: what is done does not stop when no one reads them any more. Each stays one
/// line and does not speak to a terminal.
#[derive(Debug, Default)]
struct Lines(Option<io::Error>);

impl Lines {
    fn put(&mut self, line: &str) {
        if self.0.is_none() {
            self.0 = writeln!(io::stdout(), "{}", printable(line)).err();
        }
    }

    fn end(self) -> io::Result<()> {
        match self.0 {
            Some(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e),
            _ => Ok(()),
        }
    }
}

/// An error on its way to becoming a line on stderr and an exit code.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: Option<String>,
    /// Lines below it.
    below: Vec<String>,
}

impl Failure {
    fn usage(message: impl Into<String>) -> Self {
        Failure {
            code: exit::USAGE,
            message: Some(message.into()),
            below: Vec::new(),
        }
    }

    fn io(message: impl Into<String>) -> Self {
        Failure {
            code: exit::IO,
            message: Some(message.into()),
            below: Vec::new(),
        }
    }

    /// The list of lines that its message ends with is told as such: all else is one line.
    fn with_list(mut self, list: &str) -> Self {
        let message = self.message.take().unwrap_or_default();
        let head = message.strip_suffix(list).unwrap_or(&message);
        self.message = Some(head.trim_end_matches('\n').to_owned());
        self.below = list
            .lines()
            .skip_while(|l| l.is_empty())
            .map(str::to_owned)
            .collect();
        self
    }
}

impl From<crate::case::Error> for Failure {
    fn from(e: crate::case::Error) -> Self {
        use crate::case::Error as E;
        match e {
            E::Missing(_) | E::NotACase(_) | E::Version { .. } | E::List { .. } => {
                Failure::usage(e.to_string())
            }
            E::Altered { ref what, .. } | E::Broken { ref what, .. } => Failure {
                below: what.iter().map(|line| format!("  {line}")).collect(),
                ..Failure::io(e.to_string())
            },
            _ => Failure::io(e.to_string()),
        }
    }
}

impl From<crate::ingest::Error> for Failure {
    fn from(e: crate::ingest::Error) -> Self {
        use crate::evidence::Error as V;
        use crate::ingest::Error as E;
        match e {
            E::Case(e) => e.into(),
            E::NoEngine { ref why, .. } => Failure::usage(e.to_string()).with_list(why),
            E::Mount {
                source: V::Missing | V::WrongKind(..),
                ..
            } => Failure::usage(e.to_string()),
            _ => Failure::io(e.to_string()),
        }
    }
}

impl From<crate::query::Error> for Failure {
    fn from(e: crate::query::Error) -> Self {
        use crate::query::Error as E;
        use crate::query::reference::Error as R;
        match e {
            E::Output(e) => e.into(),
            E::Sqlite(ref e) if crate::case::is_wrong_pattern(e) => Failure::usage(e.to_string()),
            E::Sqlite(ref sqlite) | E::Reference(R::Sqlite(ref sqlite)) => {
                use rusqlite::ErrorCode::OperationInterrupted;
                Failure::io(match sqlite.sqlite_error_code() {
                    Some(OperationInterrupted) => "stopped: a case that is not trusted (--untrusted) has a minute for its answers".into(),
                    _ => e.to_string(),
                })
            }
            E::Reference(
                R::Unknown { ref candidates, .. } | R::Ambiguous { ref candidates, .. },
            ) => Failure::usage(e.to_string()).with_list(candidates),
            _ => Failure::usage(e.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        if e.kind() == io::ErrorKind::BrokenPipe {
            // The reader has seen enough.
            return Failure {
                code: exit::OK,
                message: None,
                below: Vec::new(),
            };
        }
        Failure::io(format!("cannot write the output: {e}"))
    }
}

/// Runs what was typed; what it returns is the exit code.
pub fn main() -> ExitCode {
    let typed: Vec<OsString> = std::env::args_os().collect();
    let matches = parsed(Cli::command(), &typed);
    let cli = matches.and_then(|m| Cli::from_arg_matches(&m));
    run(cli.unwrap_or_else(|e| e.exit()))
}

/// Parses words by a command's definition. One that is refused may be the name of a file out of evidence: the error shows it fit to
/// be read.
fn parsed(command: clap::Command, words: &[OsString]) -> Result<ArgMatches, clap::Error> {
    let again = command.clone();
    command.try_get_matches_from(words).map_err(|e| {
        let shown = words.iter().map(|word| text::shown(word.as_ref()));
        again.try_get_matches_from(shown).err().unwrap_or(e)
    })
}

/// Runs a command; what it returns is the exit code.
fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Ingest(c) => c.run(),
        Command::Status(c) => c.run(),
        Command::ListContainers(c) => c.run(),
        Command::ListImages(c) => c.run(),
        Command::ShowImageHistory(c) => c.history(),
        Command::ShowImageConfig(c) => c.config(),
        Command::ShowContainerConfig(c) => c.run(),
        Command::ShowContainerLog(c) => c.run(),
        Command::MacrobberContainerLayer(c) => c.run("macrobber-container-layer"),
        Command::MacrobberVolumes(c) => c.run("macrobber-volumes"),
        Command::MountContainer(c) => c.run(),
        Command::ExportContainer(c) => c.run(),
        Command::Known(c) => c.run(),
        Command::Extract(c) => c.run(),
        Command::UnmountContainer(c) => c.run(),
        Command::MountImage(c) => c.run(),
        Command::UnmountImage(c) => c.run(),
        Command::Verify(c) => c.run(),
        Command::Query(c) => c.run(),
        Command::Schema(c) => c.run(),
        Command::Check(c) => c.run(),
        Command::Demo(c) => c.run(),
        Command::Completions(c) => c.run(),
        Command::Man(c) => c.run(),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(Failure {
            code,
            message,
            below,
        }) => {
            if let Some(message) = message {
                stderr::line(format_args!("dof: {message}"));
            }
            below.iter().for_each(stderr::line);
            ExitCode::from(code)
        }
    }
}
