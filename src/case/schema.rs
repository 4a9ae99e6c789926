//! The database's structure: `schema/*.sql` in order, and the numbers that identify a case file.
//!
//! The files write `iso(COLUMN)` for a time as text. A case has the expression that stock `sqlite3` runs in its place; what dof
//! itself runs instead is in `times.rs`.

use super::objects;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// `PRAGMA application_id` of a case: the letters "dofC".
pub const APPLICATION_ID: i32 = 0x646f_6643;
/// `PRAGMA user_version`: the schema's version. A newer one is refused.
pub const VERSION: i32 = 7;

/// The name and the text of each of these files of `schema/`.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../schema/", $name, ".sql")))),*]
    };
}

/// Tables and views by subject as the files have them, in the order in which they are made and explained.
pub const SUBJECTS: &[(&str, &str)] = files![
    "host",
    "source",
    "seal",
    "image",
    "layer",
    "container",
    "volume",
    "network",
    "file",
    "hash",
    "log",
    "verification",
    "trace",
    "text",
    "gone",
    "listing",
    "timeline",
    "osquery",
    "visibility",
];

/// Tables and views, made before a load.
pub static TABLES: LazyLock<String> = LazyLock::new(|| {
    let seconds =
        "strftime('%Y-%m-%dT%H:%M:%S', {x} / 1000000000 - ({x} % 1000000000 < 0), 'unixepoch')";
    let nanos = "printf('.%09d', ({x} % 1000000000 + 1000000000) % 1000000000)";
    let iso = format!("({seconds} || {nanos} || 'Z')");
    // As Docker prints it, without zeros at the end.
    let short = format!("(rtrim(rtrim({seconds} || {nanos}, '0'), '.') || 'Z')");
    let written: String = SUBJECTS.iter().map(|(_, text)| *text).collect();
    expand(&expand(&written, "iso(", &iso), "iso_short(", &short)
});

/// The views that say a time, and those that name such a view, as temporary ones in which `iso` and `iso_short` are functions.
pub static TIMED_VIEWS: LazyLock<String> = LazyLock::new(|| {
    let written = SUBJECTS
        .iter()
        .flat_map(|(_, text)| objects::statements(text));
    let views: Vec<(&str, &str)> = written
        .filter_map(|sql| sql.strip_prefix("CREATE VIEW "))
        .filter_map(|view| view.split_once(' '))
        .collect();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = |text: &'static str| text.split(move |c| !is_word(c));
    let mut timed = BTreeSet::from(["iso", "iso_short"]);
    loop {
        let before = timed.len();
        let more = views
            .iter()
            .filter(|(_, text)| words(text).any(|word| timed.contains(word)));
        let more: Vec<&str> = more.map(|(name, _)| *name).collect();
        timed.extend(more);
        if timed.len() == before {
            break;
        }
    }
    let made = views.iter().filter(|(name, _)| timed.contains(name));
    made.map(|(name, text)| format!("CREATE TEMP VIEW IF NOT EXISTS {name} {text};\n"))
        .collect()
});

/// The text with each `name(COLUMN)` replaced by a template, in which the column stands for `{x}`.
fn expand(text: &str, name: &str, template: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let (before, call) = rest.split_at(at);
        out.push_str(before);
        let (column, after) = call[name.len()..].split_once(')').unwrap_or((call, ""));
        let part_of_word = before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        if part_of_word || !column.chars().all(is_name) {
            out.push_str(name);
            rest = &call[name.len()..];
        } else {
            out.push_str(&template.replace("{x}", column));
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Rows computed from those of the host just loaded.
pub const DERIVED: &str = include_str!("../../schema/derived.sql");

/// A tree within a mounted tree that lacks a place in a container that has the outer one: derived rows have a limit.
pub const UNSEEN_NESTED: &str = "SELECT t.host_path
  FROM tree_nesting n CROSS JOIN tree t ON t.id = n.inner_id CROSS JOIN tree_container s ON s.tree_id = n.outer_id
 WHERE t.host_id = ? AND s.via = 'mount'
   AND NOT EXISTS (SELECT 1 FROM tree_container k WHERE k.tree_id = n.inner_id AND k.container_id = s.container_id AND k.container_path = s.container_path || n.path)
 LIMIT 1";

/// Indexes, made after a load.
pub const INDEXES: &str = include_str!("../../schema/indexes.sql");

/// The index of the log entries, made when these are all there.
pub const LOG_INDEX: &str = include_str!("../../schema/log_index.sql");

/// Takes the results of an earlier verification of a host out.
pub const REMOVE_VERIFICATION: &str = include_str!("../../schema/remove_verification.sql");

/// Takes a host's rows out.
pub const REMOVE_HOST: &str = concat!(
    include_str!("../../schema/remove_verification.sql"),
    include_str!("../../schema/remove_host.sql"),
);
