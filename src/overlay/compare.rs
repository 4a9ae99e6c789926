//! How engines compare a container with what it was started from.

/// What an engine's `diff` takes for a directory: of one it compares no size and no time of modification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Every entry whose mode has the bit `S_IFDIR`: sockets and block devices too.
    DirectoryBit,
    /// Directories alone.
    FileType,
}

impl Comparison {
    /// The word for it in `engine.comparison`.
    pub fn word(self) -> &'static str {
        match self {
            Comparison::DirectoryBit => "directory-bit",
            Comparison::FileType => "file-type",
        }
    }
}
