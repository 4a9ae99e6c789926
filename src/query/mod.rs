//! The catalogue of `queries/*.sql`: finding a query, reading its header, binding its parameters, running it.
//!
//! A query file is one read-only SELECT that stock `sqlite3` runs as it stands. Its leading comment lines say what it
//! answers, then one line a parameter, then an example. SQLite is the parser: parameters are taken from the prepared
//! statement. A parameter called `since` or `until` is a date, bound as text, or as INTEGER nanoseconds where it has parts of a
//! second, which SQLite's own date functions do not read exactly; `container` and `image` are references, which must be known and unambiguous; `match` is an
//! expression of words ([`Expression`]), none when it is empty; `first` and `last` of a shipped query are ids of rows; everything else is text. Text in
//! log lines is looked for by all cores (`parts.rs`).

mod parts;
pub mod reference;
mod whose;

use crate::parse::expression::Expression;
use crate::parse::time;
use crate::render::Render;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Statement};
use std::path::{Path, PathBuf};

/// The queries that come with dof: name and text.
const SHIPPED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/queries.rs"));

/// Why a query did not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such query.
    #[error("no query called {name}; there are: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A query file that cannot be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not one SELECT.
    #[error("{name}: {what}")]
    NotAQuery {
        /// The query.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// An argument that does not fit its parameter.
    #[error("--{parameter} {value}: {what}")]
    Argument {
        /// The parameter.
        parameter: String,
        /// What was given.
        value: String,
        /// What is wrong with it.
        what: String,
    },
    /// A container or image that is unknown or ambiguous.
    #[error(transparent)]
    Reference(#[from] reference::Error),
    /// SQLite said no.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] std::io::Error),
}

/// A parameter as the header describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, without the colon.
    pub name: String,
    /// What it does.
    pub help: String,
}

impl Parameter {
    /// The values it may have, where its help begins with a choice: `stdout | stderr; both when unset`.
    pub fn choices(&self) -> Vec<&str> {
        let (choice, _) = self.help.split_once(';').unwrap_or((&self.help, ""));
        if choice.contains(" | ") {
            choice.split('|').map(str::trim).collect()
        } else {
            Vec::new()
        }
    }
}

/// A query with its header.
#[derive(Clone, Debug)]
pub struct Query {
    /// Its name: the file's, without `.sql`.
    pub name: String,
    /// What it answers: the header's first line.
    pub title: String,
    /// The rest of the description.
    pub notes: Vec<String>,
    /// Its parameters, in the header's order.
    pub parameters: Vec<Parameter>,
    /// How to call it.
    pub example: Option<String>,
    /// The whole file.
    pub sql: String,
    /// Whether it came with dof.
    pub shipped: bool,
}

/// Every query that comes with dof, by name.
pub fn catalogue() -> Vec<Query> {
    SHIPPED
        .iter()
        .map(|(name, sql)| shipped(name, sql))
        .collect()
}

fn shipped(name: &str, sql: &str) -> Query {
    Query {
        shipped: true,
        ..parse(name, sql)
    }
}

/// A query of the catalogue, or a file of the user's own when the name has a slash or ends in `.sql`.
///
/// # Errors
/// [`Error::Unknown`], [`Error::File`].
pub fn find(name: &str) -> Result<Query, Error> {
    if name.contains('/') || name.ends_with(".sql") {
        let path = Path::new(name);
        let sql = std::fs::read_to_string(path).map_err(|source| Error::File {
            path: path.into(),
            source,
        })?;
        let stem = path
            .file_stem()
            .map_or_else(|| name.to_owned(), |s| s.to_string_lossy().into_owned());
        return Ok(parse(&stem, &sql));
    }
    match SHIPPED.iter().find(|(n, _)| *n == name) {
        Some((name, sql)) => Ok(shipped(name, sql)),
        None => Err(Error::Unknown {
            name: name.into(),
            known: SHIPPED.iter().map(|q| q.0).collect::<Vec<_>>().join(", "),
        }),
    }
}

/// Reads a query's header; a file without one is a query without parameters that are described. A line that is indented goes on
/// with the parameter before it.
pub fn parse(name: &str, sql: &str) -> Query {
    let mut query = Query {
        name: name.into(),
        title: String::new(),
        notes: Vec::new(),
        parameters: Vec::new(),
        example: None,
        sql: sql.into(),
        shipped: false,
    };
    for line in sql.lines().map_while(|l| l.trim().strip_prefix("--")) {
        let goes_on = line.starts_with("   ");
        let line = line.trim();
        if let Some((name, help)) = line
            .strip_prefix(':')
            .map(|p| p.split_once(char::is_whitespace).unwrap_or((p, "")))
        {
            query.parameters.push(Parameter {
                name: name.into(),
                help: help.trim().into(),
            });
        } else if let Some(parameter) = query.parameters.last_mut().filter(|_| goes_on) {
            parameter.help = format!("{} {line}", parameter.help);
        } else if let Some(example) = line.strip_prefix("Example:") {
            query.example = Some(example.trim().into());
        } else if query.title.is_empty() {
            query.title = line.into();
        } else if !line.is_empty() {
            query.notes.push(line.into());
        }
    }
    query
}

impl Query {
    /// Prepares the query: one statement, read-only.
    ///
    /// # Errors
    /// [`Error::NotAQuery`] says what is wrong with it.
    pub fn prepare<'c>(&self, db: &'c Connection) -> Result<Statement<'c>, Error> {
        let wrong = |what: String| Error::NotAQuery {
            name: self.name.clone(),
            what,
        };
        let mut batch = rusqlite::Batch::new(db, &self.sql);
        let mut next = || {
            fallible_iterator::FallibleIterator::next(&mut batch).map_err(|e| wrong(e.to_string()))
        };
        let stmt = next()?.ok_or_else(|| wrong("holds no statement".into()))?;
        if next()?.is_some() {
            return Err(wrong("more than one statement".into()));
        }
        if !stmt.readonly() || stmt.column_count() == 0 {
            return Err(wrong("not a SELECT".into()));
        }
        Ok(stmt)
    }

    /// The parameters SQLite sees in the query, without their colons.
    ///
    /// # Errors
    /// Those of [`Query::prepare`].
    pub fn prepared_parameters(&self, db: &Connection) -> Result<Vec<String>, Error> {
        let stmt = self.prepare(db)?;
        Ok((1..=stmt.parameter_count())
            .filter_map(|i| stmt.parameter_name(i))
            .map(|n| n[1..].to_owned())
            .collect())
    }

    /// The names of its columns.
    ///
    /// # Errors
    /// Those of [`Query::prepare`].
    pub fn columns(&self, db: &Connection) -> Result<Vec<String>, Error> {
        let stmt = self.prepare(db)?;
        Ok(stmt.column_names().into_iter().map(str::to_owned).collect())
    }

    /// Runs the query with these arguments (name and value) into a renderer. Rows are streamed. Returns their number.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn run(
        &self,
        db: &Connection,
        arguments: &[(String, String)],
        out: &mut dyn Render,
    ) -> Result<u64, Error> {
        match self.shipped && self.name == "whose" {
            true => whose::run(db, arguments, out),
            false => self.run_itself(db, arguments, out),
        }
    }

    fn run_itself(
        &self,
        db: &Connection,
        arguments: &[(String, String)],
        out: &mut dyn Render,
    ) -> Result<u64, Error> {
        let mut stmt = self.prepare(db)?;
        let date = |wanted: &str| {
            arguments
                .iter()
                .find(|(name, _)| name == wanted)
                .and_then(|(_, v)| time::iso8601(v))
        };
        if let (Some(since), Some(until)) = (date("since"), date("until"))
            && since >= until
        {
            let value = arguments
                .iter()
                .find(|(name, _)| name == "until")
                .map(|(_, v)| v.clone());
            let what = "not later than --since".into();
            return Err(Error::Argument {
                parameter: "until".into(),
                value: value.unwrap_or_default(),
                what,
            });
        }
        for (name, value) in arguments {
            let refuse = |what: &str| Error::Argument {
                parameter: name.clone(),
                value: value.clone(),
                what: what.into(),
            };
            let Some(at) = stmt.parameter_index(&format!(":{name}"))? else {
                return Err(refuse("this query has no such parameter"));
            };
            let bound: Value = match name.as_str() {
                "since" | "until" => match time::iso8601(value) {
                    Some(ns) if ns % 1_000_000_000 == 0 => time::rfc3339_nano(ns).into(),
                    Some(ns) => ns.into(),
                    None => {
                        return Err(refuse(
                            "not a date from 1677-09-22 to 2262-04-11, hours 00 to 23; write 2019-06-01 or 2019-06-01T12:00:00Z",
                        ));
                    }
                },
                "container" => reference::container(db, value)?.into(),
                "image" => reference::image(db, value)?.into(),
                "match" => match Expression::new(value) {
                    Ok(all) if all.is_empty() => Value::Null,
                    Ok(_) => value.clone().into(),
                    Err(what) => return Err(refuse(&what)),
                },
                "first" | "last" if self.shipped && value.parse::<i64>().is_err() => {
                    return Err(refuse("not the id of a row"));
                }
                _ => value.clone().into(),
            };
            stmt.raw_bind_parameter(at, bound)?;
        }
        let names: Vec<String> = stmt
            .column_names()
            .iter()
            .map(|s| (*s).to_owned())
            .collect();
        out.begin(&names)?;
        if let Some(n) = parts::search(self, db, arguments, &names, |values| out.row(values))? {
            out.end()?;
            return Ok(n);
        }
        let mut rows = stmt.raw_query();
        let mut values = Vec::new();
        let mut n = 0;
        while let Some(row) = rows.next()? {
            let mut of_row = emptied(values);
            for i in 0..names.len() {
                of_row.push(row.get_ref(i)?);
            }
            out.row(&of_row)?;
            n += 1;
            values = emptied(of_row);
        }
        out.end()?;
        Ok(n)
    }
}

/// The same room for values that live otherwise: an empty vector, whose memory Rust keeps in such a collection.
fn emptied<'to>(mut values: Vec<ValueRef<'_>>) -> Vec<ValueRef<'to>> {
    values.clear();
    values.into_iter().map(|_| ValueRef::Null).collect()
}

/// SQLite's GLOB, as queries match paths with it.
#[derive(Debug)]
pub struct Glob {
    db: Connection,
    pattern: String,
}

impl Glob {
    /// Of this pattern.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn new(pattern: String) -> Result<Self, Error> {
        let db = Connection::open_in_memory()?;
        Ok(Glob { db, pattern })
    }

    /// Whether a text is like it.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn matches(&self, text: &str) -> Result<bool, Error> {
        let mut stmt = self.db.prepare_cached("SELECT ?1 GLOB ?2")?;
        Ok(stmt.query_row((text, &self.pattern), |r| r.get(0))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Target;
    use proptest::prelude::*;

    #[test]
    fn a_header_is_read() {
        let q = parse(
            "x",
            "-- What?\n-- More.\n-- :since   a date,\n--          or a time\n-- Example: dof query x\nSELECT 1 -- :not\n",
        );
        assert_eq!(
            (q.title.as_str(), q.notes.as_slice(), q.example.as_deref()),
            ("What?", &["More.".to_owned()][..], Some("dof query x"))
        );
        assert_eq!(
            q.parameters,
            [Parameter {
                name: "since".into(),
                help: "a date, or a time".into()
            }]
        );
    }

    #[test]
    fn only_one_select_passes() {
        let case = Target::temporary().unwrap().seal().unwrap();
        for sql in [
            "DELETE FROM host",
            "SELECT 1; SELECT 2",
            "-- nothing",
            "SELEC 1",
            "PRAGMA user_version = 5",
        ] {
            assert!(
                matches!(
                    parse("x", sql).prepare(case.db()),
                    Err(Error::NotAQuery { .. })
                ),
                "{sql}"
            );
        }
        assert!(
            parse("x", "SELECT 1;\n-- the end\n")
                .prepare(case.db())
                .is_ok()
        );
    }

    /// Each shipped query says what it answers, describes exactly the parameters it has, and orders its rows.
    #[test]
    fn the_catalogue_is_in_order() {
        let case = Target::temporary().unwrap().seal().unwrap();
        for q in catalogue() {
            assert!(q.title.ends_with('?'), "{}: title", q.name);
            assert!(
                q.example
                    .as_deref()
                    .is_some_and(|e| e.starts_with(&format!("dof query {}", q.name))),
                "{}: example",
                q.name
            );
            let described: Vec<&str> = q.parameters.iter().map(|p| p.name.as_str()).collect();
            let mut prepared = q.prepared_parameters(case.db()).unwrap();
            prepared.sort();
            let mut sorted = described.clone();
            sorted.sort_unstable();
            assert_eq!(prepared, sorted, "{}: parameters", q.name);
            assert!(
                q.parameters.iter().all(|p| !p.help.is_empty()),
                "{}: help",
                q.name
            );
            // Those of logs are ordered part by part, which tests/it/search.rs holds against both SQLites.
            let ordered = q.sql.contains("\n ORDER BY ") || q.name == "logs";
            assert!(ordered, "{}: order", q.name);
            // What follows the example is for who reads the SQL, and no part of the help.
            let header = q.sql.lines().take_while(|l| l.starts_with("--"));
            let last = header.last().unwrap_or_default();
            assert!(last.starts_with("-- Example:"), "{}: {last}", q.name);
        }
    }

    proptest! {
        #[test]
        fn headers_of_any_text(s in any::<String>()) {
            parse("x", &s);
        }
    }
}
