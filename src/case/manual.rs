//! The manual of a case: its tables and views by subject, as `schema/*.sql` defines and explains them.
//!
//! A file of `schema/` is a subject. Its first comment, up to an empty line, introduces it; the comment right above a table or view
//! explains that one. A comment that begins with "Machinery" or "For dof's own use" marks what only dof's own queries use: the manual
//! has it last.

use super::schema;
use std::fmt::{self, Display, Formatter};
use std::sync::LazyLock;

/// How the comment of a table or view begins that is for dof's own use.
const MACHINERY: [&str; 2] = ["-- Machinery", "-- For dof's own use"];
/// Columns of the contents.
const WIDTH: usize = 100;

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
        MACHINERY.iter().any(|m| self.comment.starts_with(m))
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
    schema::SUBJECTS.iter().map(subject).collect()
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

/// The names of all tables and views.
pub fn names() -> impl Iterator<Item = &'static str> {
    SUBJECTS.iter().flat_map(|s| &s.entries).map(|e| e.name)
}

/// What the manual says of a table or view: its comment, or else that of its subject, its text, and its indexes.
pub fn of(name: &str) -> Option<String> {
    let has = |s: &&Subject| s.entries.iter().any(|e| e.name == name);
    let subject = SUBJECTS.iter().find(has)?;
    let entry = subject.entries.iter().find(|e| e.name == name)?;
    let mut text = String::new();
    if entry.comment.is_empty() {
        text.push_str(subject.introduction);
    }
    text.push_str(&entry.to_string());
    for index in [schema::INDEXES, schema::LOG_INDEX]
        .into_iter()
        .flat_map(|t| t.split(';'))
    {
        if let Some(at) = index.find("CREATE ")
            && index.contains(&format!(" ON {name}("))
        {
            let made = index[at..].replacen(" IF NOT EXISTS", "", 1);
            text.push_str(&format!("{};\n", made.trim_end()));
        }
    }
    if is_written_with_iso(entry.sql) {
        text.push_str(ISO);
    }
    Some(text)
}

/// What the texts have in place of an expression, see [`schema::TABLES`].
const ISO: &str = "\
-- iso(x) stands for the SQL that makes ISO 8601 text of x nanoseconds; iso_short(x) drops zeros at the end.
-- A case has that SQL.
";

fn is_written_with_iso(sql: &str) -> bool {
    sql.contains("iso(") || sql.contains("iso_short(")
}

/// The whole manual, which is SQL too.
pub fn all() -> String {
    let mut text = String::from(
        "-- The tables and views of a case, by subject. `dof schema NAME` prints one of them.\n\
         -- Any SQLite program can ask them: sqlite3 -readonly case.db\n\
         -- Tables hold what was read. Views are easier to ask: names instead of ids, times as text.\n",
    );
    if SUBJECTS
        .iter()
        .flat_map(|s| &s.entries)
        .any(|e| is_written_with_iso(e.sql))
    {
        text.push_str(ISO);
    }
    let of_people = |e: &&Entry| !e.is_machinery();
    text.push_str("--\n");
    for subject in SUBJECTS.iter() {
        let names: Vec<&str> = (subject.entries.iter().filter(of_people))
            .map(|e| e.name)
            .collect();
        if !names.is_empty() {
            text.push_str(&line_up(subject.name, &names));
        }
    }
    let mut machinery = String::new();
    for subject in SUBJECTS.iter() {
        if subject.entries.iter().any(|e| !e.is_machinery()) {
            text.push_str(&heading(subject.name));
            text.push_str(subject.introduction);
        } else {
            machinery.push_str(&format!("\n{}", subject.introduction));
        }
        for entry in &subject.entries {
            let to = match entry.is_machinery() {
                true => &mut machinery,
                false => &mut text,
            };
            to.push_str(&format!("\n{entry}"));
        }
    }
    if !machinery.is_empty() {
        text.push_str(&heading("for dof's own use"));
        text.push_str("-- Tables and views that dof's own queries are made of. They may change.\n");
        text.push_str(&machinery);
    }
    text
}

fn heading(name: &str) -> String {
    let rule = "=".repeat(WIDTH - "-- ".len() - name.len() - 1);
    format!("\n-- {name} {rule}\n")
}

/// A line of the contents, or several.
fn line_up(subject: &str, names: &[&str]) -> String {
    let mut text = String::new();
    let mut line = format!("-- {subject:<14}");
    for (i, name) in names.iter().enumerate() {
        let comma = if i + 1 < names.len() { "," } else { "" };
        if line.len() + name.len() + comma.len() >= WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = format!("-- {:<14}", "");
        }
        line.push_str(&format!(" {name}{comma}"));
    }
    text + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each subject has an introduction, and no line of a file is left out.
    #[test]
    fn nothing_is_left_out() {
        let all = all();
        for (name, text) in schema::SUBJECTS {
            let subject = Subject::of(name, text);
            assert!(!subject.introduction.is_empty(), "{name}.sql: introduction");
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
        let text = of("log_entry").unwrap();
        assert!(text.starts_with("--"), "{text}");
        assert!(text.ends_with("ON log_entry(ts_listed);\n"), "{text}");
        assert!(of("nothing").is_none());
    }
}
