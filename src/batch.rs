//! Rows that come by the million, packed for the way from the producers to the writer.

use crate::evidence::{Meta, Xattrs};
use crate::problem::Problem;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

impl DirNote {
    /// A directory nobody has written yet.
    pub fn new(tree: i64, path: Vec<u8>, dev: Option<u64>) -> Arc<DirNote> {
        Arc::new(DirNote {
            tree,
            path,
            dev,
            id: AtomicI64::new(0),
            entry: AtomicI64::new(0),
        })
    }
}

/// What producers hand to the writer.
#[derive(Debug)]
pub enum Batch {
    /// Entries of one directory.
    Files(FileBatch),
    /// Hashes of files of one directory.
    Hashes(HashBatch),
    /// Entries of one log file.
    Log(LogBatch),
    /// No more entries of logs come.
    LogsEnd,
}

impl Batch {
    /// Rough number of rows, for bounds on memory.
    pub fn weight(&self) -> usize {
        match self {
            Batch::Files(b) => b.rows.len() + (b.names.len() + b.xattr_bytes) / 256 + 1,
            Batch::Hashes(b) => b.rows.len() + 1,
            Batch::Log(b) => b.rows.len() + b.text.len() / 256 + 1,
            Batch::LogsEnd => 1,
        }
    }

    /// What went wrong while making it.
    pub fn problems(&mut self) -> Vec<Problem> {
        match self {
            Batch::Files(b) => std::mem::take(&mut b.problems),
            Batch::Hashes(b) => std::mem::take(&mut b.problems),
            Batch::Log(b) => std::mem::take(&mut b.problems),
            Batch::LogsEnd => Vec::new(),
        }
    }
}

/// A directory being walked, shared by the batches it comes in.
#[derive(Debug)]
pub struct DirNote {
    /// Row id of its tree.
    pub tree: i64,
    /// Path within the tree with a leading slash; empty for the root.
    pub path: Vec<u8>,
    /// Its device, where it is not that of the tree's root.
    pub dev: Option<u64>,
    /// Its row id in `directory`, given by the writer with the first batch.
    pub id: AtomicI64,
    /// Row id in `file` of its entry in the directory above, given by the writer with that entry.
    pub entry: AtomicI64,
}

/// One entry of a directory.
#[derive(Clone, Copy, Debug)]
pub struct FileRow {
    /// Where its name begins in [`FileBatch::names`]; the link target follows it.
    pub name_at: u32,
    /// Bytes of the name.
    pub name_len: u32,
    /// Bytes of the link target.
    pub link_len: u32,
    /// Bits of [`crate::overlay::bits`].
    pub overlay: u8,
    /// Its metadata.
    pub meta: Meta,
}

/// Entries of one directory, or some of them.
#[derive(Debug)]
pub struct FileBatch {
    /// The directory.
    pub dir: Arc<DirNote>,
    /// Whether this is its first batch, with which the directory's own row is written.
    pub first: bool,
    /// Overlay marks of the directory itself, which are known only once it is open.
    pub dir_marks: u8,
    /// Overlay redirect of the directory itself.
    pub dir_redirect: Option<Vec<u8>>,
    /// Extended attributes of the directory itself.
    pub dir_xattrs: Xattrs,
    /// Names and link targets.
    pub names: Vec<u8>,
    /// The entries.
    pub rows: Vec<FileRow>,
    /// Overlay redirects: index of the row, and where its content lies.
    pub redirects: Vec<(usize, Vec<u8>)>,
    /// Extended attributes: index of the row, and what it has.
    pub xattrs: Vec<(usize, Xattrs)>,
    /// Bytes of those.
    pub xattr_bytes: usize,
    /// Subdirectories among the entries: index of the row, and the directory.
    pub children: Vec<(usize, Arc<DirNote>)>,
    /// Trees whose roots stand here: row id of the tree, and the path of its root within this tree.
    pub nested: Vec<(i64, Vec<u8>)>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// Row id in `file` of its first entry, given by the writer, where somebody waits for it.
    pub first_row: Option<Arc<AtomicI64>>,
}

/// Hashes of files that an earlier [`FileBatch`] lists.
#[derive(Debug)]
pub struct HashBatch {
    /// Row id in `file` of that batch's first entry.
    pub first_row: Arc<AtomicI64>,
    /// Number of the entry in that batch, and SHA-256 of its content.
    pub rows: Vec<(u32, [u8; 32])>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

impl FileBatch {
    /// An empty batch of a directory.
    pub fn new(dir: Arc<DirNote>, first: bool) -> Self {
        FileBatch {
            dir,
            first,
            dir_marks: 0,
            dir_redirect: None,
            dir_xattrs: Xattrs::new(),
            names: Vec::new(),
            rows: Vec::new(),
            redirects: Vec::new(),
            xattrs: Vec::new(),
            xattr_bytes: 0,
            children: Vec::new(),
            nested: Vec::new(),
            problems: Vec::new(),
            first_row: None,
        }
    }

    /// Name and link target of a row.
    pub fn text(&self, row: &FileRow) -> (&[u8], &[u8]) {
        let at = row.name_at as usize;
        let link = at + row.name_len as usize;
        (
            &self.names[at..link],
            &self.names[link..link + row.link_len as usize],
        )
    }
}

/// The stream of a log entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Neither, or unknown.
    Other,
}

impl Stream {
    /// From the word Docker writes.
    pub fn new(word: &[u8]) -> Stream {
        match word {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => Stream::Other,
        }
    }
}

/// What an entry says beside its texts.
#[derive(Clone, Copy, Debug)]
pub struct LogHead {
    /// Bytes into the decompressed file.
    pub offset: u64,
    /// When Docker received it.
    pub ts: Option<i64>,
    /// Where the container wrote it.
    pub stream: Stream,
    /// Whether the line goes on in the next entry.
    pub partial: bool,
}

/// One log entry; its texts lie in [`LogBatch::text`] in this order: line, attributes, raw bytes.
#[derive(Clone, Copy, Debug)]
pub struct LogRow {
    /// All but the texts.
    pub head: LogHead,
    text_at: usize,
    line_len: u32,
    attrs_len: u32,
    raw_len: u32,
    /// Whether the line can be stored as it is ([`crate::text::is_plain`]).
    pub plain: bool,
}

/// Entries of one log file, in order.
#[derive(Debug, Default)]
pub struct LogBatch {
    /// Row id of the log file.
    pub file: i64,
    /// Whether this file goes on with the log of the file before it.
    pub follows: bool,
    /// The file's time of modification.
    pub mtime: i64,
    /// The texts of all rows.
    pub text: Vec<u8>,
    /// The entries.
    pub rows: Vec<LogRow>,
    /// Whole entries whose time cannot be used.
    pub untimed: Option<Untimed>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// Whole entries of one log file whose time cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untimed {
    /// The file, on the host.
    pub path: String,
    /// Offset of the first of them.
    pub first: u64,
    /// How many there are.
    pub count: u64,
}

impl LogBatch {
    /// Adds an entry; `raw` is empty when the other columns say it all.
    pub fn push(&mut self, head: LogHead, line: &[u8], attrs: &[u8], raw: &[u8]) {
        let text_at = self.text.len();
        for part in [line, attrs, raw] {
            self.text.extend_from_slice(part);
        }
        self.rows.push(LogRow {
            head,
            text_at,
            line_len: line.len() as u32,
            attrs_len: attrs.len() as u32,
            raw_len: raw.len() as u32,
            plain: crate::text::is_plain(line),
        });
    }

    /// Line, attributes and raw bytes of a row.
    pub fn texts(&self, row: &LogRow) -> (&[u8], &[u8], &[u8]) {
        let attrs = row.text_at + row.line_len as usize;
        let raw = attrs + row.attrs_len as usize;
        (
            &self.text[row.text_at..attrs],
            &self.text[attrs..raw],
            &self.text[raw..raw + row.raw_len as usize],
        )
    }
}
