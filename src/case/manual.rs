//! The manual of a case: its tables and views by subject, as `schema/*.sql` defines and explains them.
//!
//! It begins with `schema/start.sql`. Each other file of `schema/` that makes tables or views is a subject. Its first comment, up to
//! an empty line, introduces it; the comment right above a table or view explains that one. A comment that begins with "Machinery"
//! or "For dof's own use" marks what only dof's own queries use: the manual has it last, and only when it is asked for.

use super::{objects, schema};
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};
use std::sync::LazyLock;

/// How the comment of a table or view begins that is for dof's own use.
const OWN_USE: [&str; 2] = ["-- Machinery", "-- For dof's own use"];
/// What all those are called together, as if they were a subject.
const MACHINERY: &str = "machinery";
/// The subjects people ask for: these come first.
const FIRST: [&str; 5] = ["text", "visibility", "timeline", "gone", "listing"];
/// Columns of what is wrapped.
const WIDTH: usize = 100;
/// Which table or view has what, and three queries to begin with.
const START: &str = include_str!("../../schema/start.sql");

/// A table or view.
struct Entry {
    /// Its name.
    name: &'static str,
    /// The comment above it; empty if there is none.
    comment: &'static str,
    /// The statement that makes it, with its comments.
    sql: &'static str,
}

impl Entry {
    fn is_machinery(&self) -> bool {
        OWN_USE.iter().any(|m| self.comment.starts_with(m))
    }
}

impl Display for Entry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.comment, self.sql)
    }
}

/// A file of `schema/`.
struct Subject {
    /// The file's name, without `.sql`.
    name: &'static str,
    /// The comment that it begins with.
    introduction: &'static str,
    entries: Vec<Entry>,
}

static SUBJECTS: LazyLock<Vec<Subject>> = LazyLock::new(|| {
    let subject = |&(name, text)| Subject::of(name, text);
    let mut all: Vec<Subject> = schema::SUBJECTS.iter().map(subject).collect();
    let place = |s: &Subject| FIRST.iter().position(|first| *first == s.name);
    all.sort_by_key(|s| place(s).unwrap_or(FIRST.len()));
    all
});

impl Subject {
    fn of(name: &'static str, text: &'static str) -> Subject {
        let (introduction, mut rest) = split(text, |line| line.starts_with("--"));
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let (comment, after) = split(rest, |line| line.starts_with("--"));
            let (sql, after) = match after.starts_with("CREATE ") {
                true => statement(after),
                false => ("", after),
            };
            let words = sql.split(|c: char| !c.is_alphanumeric() && c != '_');
            if let Some(name) = words.filter(|w| !w.is_empty()).nth(2) {
                entries.push(Entry { name, comment, sql });
            }
            // The empty lines between two of them.
            (_, rest) = split(after, |line| line.trim().is_empty());
        }
        Subject {
            name,
            introduction,
            entries,
        }
    }
}

/// The lines at the beginning of a text for which this is so, and the rest.
fn split(text: &str, is_so: impl Fn(&str) -> bool) -> (&str, &str) {
    let lines = text.split_inclusive('\n').take_while(|line| is_so(line));
    text.split_at(lines.map(str::len).sum())
}

/// A statement, to the end of the line that its semicolon is on.
fn statement(text: &str) -> (&str, &str) {
    let code = |line: &str| line.find("--").unwrap_or(line.len());
    let ends = |line: &str| line[..code(line)].trim_end().ends_with(';');
    let (most, _) = split(text, |line| !ends(line));
    let last = text[most.len()..].find('\n').map_or(text.len(), |n| n + 1);
    text.split_at((most.len() + last).min(text.len()))
}

/// The names of all tables, views and subjects.
pub fn names() -> impl Iterator<Item = &'static str> {
    let objects = SUBJECTS.iter().flat_map(|s| &s.entries).map(|e| e.name);
    let subjects = SUBJECTS.iter().map(|s| s.name).chain([MACHINERY]);
    objects.chain(subjects).collect::<BTreeSet<_>>().into_iter()
}

/// The three names for people that are most like this one.
pub fn nearest(name: &str) -> Vec<&'static str> {
    let objects = SUBJECTS.iter().flat_map(|s| &s.entries);
    let objects = objects.filter(|e| !e.is_machinery()).map(|e| e.name);
    let subjects = SUBJECTS.iter().map(|s| s.name);
    let names: BTreeSet<&str> = objects.chain(subjects).collect();
    let likeness = |other: &str| strsim::jaro_winkler(name, other);
    let mut names: Vec<_> = names.into_iter().map(|n| (likeness(n), n)).collect();
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    names.into_iter().take(3).map(|(_, name)| name).collect()
}

/// What the manual says of a table or view, or else of the subject of that name; `None` if there is neither.
///
/// # Errors
/// When SQLite has no memory.
pub fn of(name: &str, with_machinery: bool) -> rusqlite::Result<Option<String>> {
    if let Some(text) = object(name) {
        return Ok(Some(text));
    }
    let mut manual = Manual::new()?;
    if name == MACHINERY {
        manual.machinery()?;
        return Ok(Some(manual.text));
    }
    let Some(subject) = SUBJECTS.iter().find(|s| s.name == name) else {
        return Ok(None);
    };
    manual.text.push_str(subject.introduction);
    for entry in &subject.entries {
        if with_machinery || !entry.is_machinery() {
            manual.entry(entry)?;
        }
    }
    Ok(Some(manual.text))
}

/// A table or view: its comment, or else that of its subject, its text, its indexes, and what else its name leads to.
fn object(name: &str) -> Option<String> {
    let has = |s: &&Subject| s.entries.iter().any(|e| e.name == name);
    let subject = SUBJECTS.iter().find(has)?;
    let entry = subject.entries.iter().find(|e| e.name == name)?;
    let mut text = String::new();
    if entry.comment.is_empty() {
        text.push_str(subject.introduction);
    }
    text.push_str(&entry.to_string());
    let indexes = [schema::INDEXES, schema::LOG_INDEX];
    for index in indexes.into_iter().flat_map(objects::statements) {
        if index.contains(&format!(" ON {name}(")) {
            let made = index.replacen(" IF NOT EXISTS", "", 1);
            text.push_str(&format!("{made};\n"));
        }
    }
    if is_written_with_iso(entry.sql) {
        text.push_str(ISO);
    }
    let others = SUBJECTS.iter().filter(|s| s.name == name);
    let others = others.flat_map(|s| &s.entries);
    let others: Vec<&str> = others
        .filter(|e| e.name != name && !e.is_machinery())
        .map(|e| e.name)
        .collect();
    if !others.is_empty() {
        text.push_str(&line_up("see also", &others));
    }
    Some(text)
}

/// What the texts have in place of an expression, see [`schema::TABLES`].
const ISO: &str = "\
-- iso(x) stands for the SQL that makes ISO 8601 text of x nanoseconds; iso_short(x) drops zeros at the
-- end. A case has that SQL: these are no functions of sqlite3.
";

fn is_written_with_iso(sql: &str) -> bool {
    sql.contains("iso(") || sql.contains("iso_short(")
}

/// The whole manual.
///
/// # Errors
/// When SQLite has no memory.
pub fn all(with_machinery: bool) -> rusqlite::Result<String> {
    let mut manual = Manual::new()?;
    manual.text.push_str(START);
    manual.text.push_str("--\n");
    for subject in SUBJECTS.iter() {
        manual.contents(subject.name, |e| !e.is_machinery(), [subject]);
    }
    if with_machinery {
        manual.contents(MACHINERY, Entry::is_machinery, &*SUBJECTS);
    }
    for subject in SUBJECTS.iter() {
        manual.text.push_str(&heading(subject.name));
        manual.text.push_str(subject.introduction);
        for entry in subject.entries.iter().filter(|e| !e.is_machinery()) {
            manual.entry(entry)?;
        }
    }
    if with_machinery {
        manual.text.push_str(&heading(MACHINERY));
        manual.machinery()?;
    }
    Ok(manual.text)
}

/// The manual as it is written: with an empty case, which has the columns of the views.
struct Manual {
    text: String,
    case: Connection,
}

impl Manual {
    fn new() -> rusqlite::Result<Manual> {
        let case = Connection::open_in_memory()?;
        case.execute_batch(&schema::TABLES)?;
        Ok(Manual {
            text: String::new(),
            case,
        })
    }

    /// A line of the contents, or several.
    fn contents<'a>(
        &mut self,
        label: &str,
        is_one: impl Fn(&Entry) -> bool,
        subjects: impl IntoIterator<Item = &'a Subject>,
    ) {
        let entries = subjects.into_iter().flat_map(|s| &s.entries);
        let names: Vec<&str> = entries.filter(|e| is_one(e)).map(|e| e.name).collect();
        self.text.push_str(&line_up(label, &names));
    }

    /// A table with its text, a view with its columns.
    fn entry(&mut self, entry: &Entry) -> rusqlite::Result<()> {
        self.text.push('\n');
        if !entry.sql.starts_with("CREATE VIEW ") {
            self.text.push_str(&entry.to_string());
            return Ok(());
        }
        self.text.push_str(entry.comment);
        let mut stmt = (self.case).prepare("SELECT name FROM pragma_table_info(?) ORDER BY cid")?;
        let columns = stmt.query_map([entry.name], |r| r.get(0))?;
        let columns: Vec<String> = columns.collect::<Result<_, _>>()?;
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let begin = format!("CREATE VIEW {} (", entry.name);
        self.text
            .push_str(&wrapped(&begin, "  ", &columns, ") AS ...;"));
        Ok(())
    }

    /// What is for dof's own use.
    fn machinery(&mut self) -> rusqlite::Result<()> {
        self.text
            .push_str("-- Tables and views that dof's own queries are made of. They may change.\n");
        for subject in SUBJECTS.iter() {
            for entry in subject.entries.iter().filter(|e| e.is_machinery()) {
                self.entry(entry)?;
            }
        }
        Ok(())
    }
}

fn heading(name: &str) -> String {
    let rule = "=".repeat(WIDTH - "-- ".len() - name.len() - 1);
    format!("\n-- {name} {rule}\n")
}

/// Names behind a label, as comments.
fn line_up(label: &str, names: &[&str]) -> String {
    let begin = format!("-- {label:<14} ");
    wrapped(&begin, &format!("-- {:<14} ", ""), names, "")
}

/// Names with commas between, in lines of some width: how the first of them begins, how the others do, and the end.
fn wrapped(begin: &str, indent: &str, names: &[&str], end: &str) -> String {
    let mut text = String::new();
    let mut line = begin.to_owned();
    let mut separator = "";
    for (i, name) in names.iter().enumerate() {
        let behind = if i + 1 < names.len() { "," } else { end };
        if line.len() + separator.len() + name.len() + behind.len() > WIDTH {
            text.push_str(line.trim_end());
            text.push('\n');
            indent.clone_into(&mut line);
            separator = "";
        }
        line.push_str(&format!("{separator}{name}{behind}"));
        separator = " ";
    }
    text + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each subject has an introduction, and each line of a file is of that or of a table or view.
    #[test]
    fn nothing_is_left_out() {
        for (name, text) in schema::SUBJECTS {
            let subject = Subject::of(name, text);
            assert!(!subject.introduction.is_empty(), "{name}.sql: introduction");
            let entries: String = subject.entries.iter().map(Entry::to_string).collect();
            let all = subject.introduction.to_owned() + &entries;
            for line in text.lines() {
                assert!(all.contains(line), "{name}.sql: above no statement: {line}");
            }
        }
    }

    #[test]
    fn an_entry_is_its_comment_and_its_statement() {
        let text = "-- About.\n-- It.\n\nCREATE TABLE a (\n  x INTEGER -- one; two\n) STRICT;\n\n-- Machinery: of\n-- two lines.\nCREATE VIEW b AS SELECT ';'; -- b\n-- Of c.\nCREATE VIEW c AS\nSELECT 1;";
        let subject = Subject::of("x", text);
        assert_eq!(subject.introduction, "-- About.\n-- It.\n");
        let found: Vec<_> = (subject.entries.iter())
            .map(|e| (e.name, e.comment, e.sql, e.is_machinery()))
            .collect();
        assert_eq!(
            found,
            [
                (
                    "a",
                    "",
                    "CREATE TABLE a (\n  x INTEGER -- one; two\n) STRICT;\n",
                    false
                ),
                (
                    "b",
                    "-- Machinery: of\n-- two lines.\n",
                    "CREATE VIEW b AS SELECT ';'; -- b\n",
                    true
                ),
                ("c", "-- Of c.\n", "CREATE VIEW c AS\nSELECT 1;", false),
            ]
        );
    }

    #[test]
    fn what_belongs_to_a_table_is_beside_it() {
        let text = of("log_entry", false).unwrap().unwrap();
        assert!(text.starts_with("--"), "{text}");
        assert!(text.ends_with("ON log_entry(ts_listed);\n"), "{text}");
        assert!(of("nothing", false).unwrap().is_none());
        // A table and a subject.
        let text = of("container", false).unwrap().unwrap();
        assert!(text.contains("\nCREATE TABLE container ("), "{text}");
        assert!(
            text.contains("\n-- see also       container_env, "),
            "{text}"
        );
    }

    #[test]
    fn names_are_wrapped() {
        let long = "x".repeat(60);
        let names = ["a", "b", &long, "c", &long];
        let want = format!("- a, b, {long}, c,\n  {long});\n");
        assert_eq!(wrapped("- ", "  ", &names, ");"), want);
        assert_eq!(wrapped("- ", "  ", &["a"], ";"), "- a;\n");
    }
}
