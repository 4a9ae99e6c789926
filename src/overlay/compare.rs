//! When a container's file counts as changed: Docker's rules of comparison (pkg/archive/changes.go and changes_unix.go of
//! moby, the graph driver's `docker diff`), and what dof says beyond them.

/// How an engine tells directories, whose size and times of modification it does not compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// By one bit of the type, S_IFDIR, which sockets and block devices have too: Docker before 28.
    DirectoryBit,
    /// By the type.
    FileType,
}

/// Bits of `st_mode` that are the type.
pub const TYPE: u32 = 0o170_000;
/// A directory's.
pub const DIRECTORY: u32 = 0o040_000;
/// A regular file's.
pub const FILE: u32 = 0o100_000;
/// A symbolic link's.
pub const LINK: u32 = 0o120_000;
/// The attribute that gives a program privileges.
const CAPABILITY: &str = "security.capability";
/// Access control lists.
const ACLS: [&str; 2] = ["system.posix_acl_access", "system.posix_acl_default"];

impl Comparison {
    /// The word for it in `engine.comparison`.
    pub fn word(self) -> &'static str {
        match self {
            Comparison::DirectoryBit => "directory-bit",
            Comparison::FileType => "file-type",
        }
    }

    /// What that word means.
    pub fn named(word: &str) -> Option<Comparison> {
        [Comparison::DirectoryBit, Comparison::FileType]
            .into_iter()
            .find(|comparison| comparison.word() == word)
    }

    /// Whether the engine takes an entry of this mode for a directory.
    pub fn is_dir(self, mode: u32) -> bool {
        match self {
            Comparison::DirectoryBit => mode & DIRECTORY != 0,
            Comparison::FileType => mode & TYPE == DIRECTORY,
        }
    }
}

/// Labels and measurements that a host gives its files, whoever writes them.
pub const OF_HOST: [&str; 4] = [
    "security.selinux",
    "security.ima",
    "security.evm",
    "security.SMACK64",
];

/// What is compared of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Type and permissions, as in `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: i64,
    /// Group.
    pub gid: i64,
    /// Bytes.
    pub size: i64,
    /// Nanoseconds since 1970.
    pub mtime: i64,
    /// Of devices.
    pub rdev: Option<i64>,
    /// Target of a symbolic link.
    pub link: Option<Vec<u8>>,
    /// Extended attributes by name.
    pub xattrs: Vec<(String, Vec<u8>)>,
}

impl Attributes {
    fn kind(&self) -> u32 {
        self.mode & TYPE
    }

    /// Whether it is a program: an empty file, as an engine makes to mount something over, is none.
    fn is_executable(&self) -> bool {
        self.kind() == FILE && self.mode & 0o111 != 0 && self.size > 0
    }

    fn capability(&self) -> Option<&[u8]> {
        self.xattr(|name| name == CAPABILITY).next()
    }

    fn xattr(&self, is: impl Fn(&str) -> bool) -> impl Iterator<Item = &[u8]> {
        self.xattrs
            .iter()
            .filter(move |(name, _)| is(name))
            .map(|(_, value)| &value[..])
    }

    /// Those of these names with their values.
    fn named(&self, is: impl Fn(&str) -> bool) -> Vec<&(String, Vec<u8>)> {
        self.xattrs.iter().filter(|(name, _)| is(name)).collect()
    }

    /// Extended attributes but for what a host gives all its files.
    pub fn own_xattrs(&self) -> impl Iterator<Item = &(String, Vec<u8>)> {
        let is_own = |(name, _): &&(String, Vec<u8>)| !OF_HOST.contains(&&name[..]);
        self.xattrs.iter().filter(is_own)
    }

    fn owner(&self) -> (i64, i64) {
        (self.uid, self.gid)
    }
}

/// A file as it is now and as it was before.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// What is there now.
    pub now: &'a Attributes,
    /// What was there before.
    pub before: &'a Attributes,
    /// Whether both have the same content, where that is known.
    pub same_content: Option<bool>,
}

impl Pair<'_> {
    /// Whether the engine says that it changed.
    pub fn is_changed(&self, comparison: Comparison) -> bool {
        let (now, before) = (self.now, self.before);
        now.mode != before.mode
            || now.owner() != before.owner()
            || now.rdev != before.rdev
            || !comparison.is_dir(before.mode)
                && (now.size != before.size || !same_time(now.mtime, before.mtime))
            || now.capability() != before.capability()
    }

    /// Whether something differs that the engine does not compare.
    pub fn differs_otherwise(&self) -> bool {
        self.same_content == Some(false)
            || self.now.link != self.before.link
            || self.now.xattrs != self.before.xattrs
    }

    /// Whether it is a copy as engines make them: as before, but that extended attributes may be lost. Of these their copies
    /// keep capabilities alone (moby daemon/graphdriver/copy).
    pub fn is_copy(&self) -> bool {
        let mut differs = self.differs().into_iter();
        let was = |x| self.before.xattrs.contains(x);
        differs.all(|word| matches!(word, "acl" | "xattr")) && self.now.own_xattrs().all(was)
    }

    /// What differs, in the words of `file_change.differs`.
    pub fn differs(&self) -> Vec<&'static str> {
        let (now, before) = (self.now, self.before);
        let is_acl = |name: &str| ACLS.contains(&name);
        let is_other = |name: &str| name != CAPABILITY && !ACLS.contains(&name);
        let no_dir = now.kind() != DIRECTORY && before.kind() != DIRECTORY;
        [
            (now.kind() != before.kind(), "type"),
            (now.mode & 0o7777 != before.mode & 0o7777, "mode"),
            (now.owner() != before.owner(), "owner"),
            (no_dir && now.size != before.size, "size"),
            (no_dir && self.same_content == Some(false), "content"),
            (no_dir && now.mtime != before.mtime, "mtime"),
            (now.rdev != before.rdev, "device"),
            (now.link != before.link, "link"),
            (now.capability() != before.capability(), "capability"),
            (now.named(is_acl) != before.named(is_acl), "acl"),
            (now.named(is_other) != before.named(is_other), "xattr"),
        ]
        .into_iter()
        .filter_map(|(differs, word)| differs.then_some(word))
        .collect()
    }

    /// Whether the content and the type are those of before, as far as that is known; `changed` is what the engine says.
    pub fn is_metadata_only(&self, changed: bool) -> Option<bool> {
        let (now, before) = (self.now, self.before);
        let as_dated = now.size == before.size && now.mtime == before.mtime;
        if now.kind() != before.kind() {
            return Some(false);
        }
        match now.kind() {
            DIRECTORY => Some(
                now.mode != before.mode
                    || now.owner() != before.owner()
                    || now.xattrs != before.xattrs,
            ),
            FILE => self.same_content.or(changed.then_some(as_dated)),
            _ => Some(as_dated && now.rdev == before.rdev && now.link == before.link),
        }
    }
}

/// What makes of a file that is there now a program: `new` (none was there), `made` (by its mode), `replaced` (another
/// content). `None` where it is none, or was one and is as it was; `changed` is what the engine says.
pub fn executable(
    now: &Attributes,
    before: Option<&Attributes>,
    same_content: Option<bool>,
    changed: bool,
) -> Option<&'static str> {
    if !now.is_executable() {
        return None;
    }
    let Some(before) = before.filter(|before| before.kind() == FILE) else {
        return Some("new");
    };
    if !before.is_executable() {
        return Some("made");
    }
    let as_dated = now.size == before.size && now.mtime == before.mtime;
    let replaced = match same_content {
        Some(same) => !same,
        None => changed && !as_dated,
    };
    replaced.then_some("replaced")
}

/// The privileges a regular file gives now and did not before: setuid, setgid, capability.
pub fn gained(now: &Attributes, before: Option<&Attributes>) -> Vec<&'static str> {
    if now.kind() != FILE {
        return Vec::new();
    }
    let was = before.filter(|before| before.kind() == FILE);
    let had = |bit| was.is_some_and(|before| before.mode & bit != 0);
    let capability = now.capability();
    [
        (now.mode & 0o4000 != 0 && !had(0o4000), "setuid"),
        (now.mode & 0o2000 != 0 && !had(0o2000), "setgid"),
        (
            capability.is_some() && capability != before.and_then(Attributes::capability),
            "capability",
        ),
    ]
    .into_iter()
    .filter_map(|(gained, word)| gained.then_some(word))
    .collect()
}

/// Whether two times of modification are the same to Docker: one without nanoseconds may have lost them in an archive, and
/// then its second decides.
fn same_time(a: i64, b: i64) -> bool {
    const SECOND: i64 = 1_000_000_000;
    let lost = |whole: i64, exact: i64| {
        whole % SECOND == 0 && (0..SECOND).contains(&exact.saturating_sub(whole))
    };
    a == b || lost(a, b) || lost(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(mode: u32) -> Attributes {
        Attributes {
            mode: FILE | mode,
            size: 1,
            mtime: 1_000_000_005,
            ..Attributes::default()
        }
    }

    fn pair<'a>(now: &'a Attributes, before: &'a Attributes) -> Pair<'a> {
        Pair {
            now,
            before,
            same_content: None,
        }
    }

    #[test]
    fn a_second_decides_where_nanoseconds_were_lost() {
        assert!(same_time(1_000_000_000, 1_999_999_999));
        assert!(same_time(1_000_000_005, 1_000_000_000));
        assert!(!same_time(1_000_000_000, 2_000_000_000));
        assert!(!same_time(1_000_000_005, 1_000_000_006));
        assert!(!same_time(i64::MIN, i64::MAX));
        assert!(same_time(-1_000_000_000, -1));
    }

    /// A socket has the bit of directories: to Docker before 28 its time of modification says nothing.
    #[test]
    fn what_a_directory_is_depends_on_the_engine() {
        let before = Attributes {
            mode: 0o140_755,
            mtime: 7,
            ..Attributes::default()
        };
        let now = Attributes {
            mtime: 8,
            ..before.clone()
        };
        assert!(!pair(&now, &before).is_changed(Comparison::DirectoryBit));
        assert!(pair(&now, &before).is_changed(Comparison::FileType));
        assert_eq!(pair(&now, &before).differs(), ["mtime"]);
    }

    #[test]
    fn a_capability_counts_and_other_attributes_do_not() {
        let before = file(0o755);
        let with = |name: &str| Attributes {
            xattrs: vec![(name.to_owned(), vec![1])],
            ..before.clone()
        };
        let capable = with("security.capability");
        let noted = with("user.note");
        let listed = with("system.posix_acl_access");
        let is_changed = |now| pair(now, &before).is_changed(Comparison::FileType);
        assert!(is_changed(&capable) && !is_changed(&noted) && !is_changed(&listed));
        assert!(pair(&noted, &before).differs_otherwise());
        assert_eq!(pair(&capable, &before).differs(), ["capability"]);
        assert_eq!(pair(&noted, &before).differs(), ["xattr"]);
        assert_eq!(pair(&listed, &before).differs(), ["acl"]);
        assert_eq!(gained(&capable, Some(&before)), ["capability"]);
        assert_eq!(gained(&file(0o4755), Some(&before)), ["setuid"]);
        assert!(gained(&before, None).is_empty());
    }

    #[test]
    fn copies_may_lose_attributes_and_gain_none_but_the_hosts() {
        let plain = file(0o755);
        let with = |names: &[&str]| Attributes {
            xattrs: names.iter().map(|n| ((*n).to_owned(), vec![1])).collect(),
            ..plain.clone()
        };
        let is_copy = |now: &[&str], before: &[&str]| pair(&with(now), &with(before)).is_copy();
        assert!(is_copy(&[], &["user.note", "system.posix_acl_access"]));
        assert!(is_copy(&["security.ima"], &["user.note"]));
        assert!(!is_copy(&["user.note"], &[]));
        assert!(!is_copy(&[], &["security.capability"]));
        assert!(!pair(&file(0o700), &plain).is_copy());
    }

    #[test]
    fn programs_are_new_made_or_replaced() {
        let (plain, program) = (file(0o644), file(0o755));
        let longer = Attributes {
            size: 2,
            ..program.clone()
        };
        let empty = Attributes {
            size: 0,
            ..program.clone()
        };
        assert_eq!(executable(&empty, None, None, false), None);
        assert_eq!(executable(&program, None, None, false), Some("new"));
        assert_eq!(executable(&program, Some(&plain), None, true), Some("made"));
        let of = |same, changed| executable(&longer, Some(&program), same, changed);
        assert_eq!(of(None, true), Some("replaced"));
        assert_eq!(of(Some(true), true), None);
        assert_eq!(of(None, false), None);
        assert_eq!(of(Some(false), false), Some("replaced"));
        assert_eq!(executable(&plain, Some(&program), None, true), None);
    }

    #[test]
    fn what_only_concerns_the_metadata() {
        let before = file(0o644);
        let now = file(0o600);
        assert_eq!(pair(&now, &before).is_metadata_only(true), Some(true));
        assert_eq!(pair(&now, &before).is_metadata_only(false), None);
        let longer = Attributes {
            size: 2,
            ..now.clone()
        };
        assert_eq!(pair(&longer, &before).is_metadata_only(true), Some(false));
        let gone = Attributes {
            mode: 0o120_777,
            ..now
        };
        assert_eq!(pair(&gone, &before).is_metadata_only(true), Some(false));
    }
}
