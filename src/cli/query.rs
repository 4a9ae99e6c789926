//! `dof query`: the catalogue, or one query with its parameters as options.

use super::source::{Trust, default_case, open};
use super::{Failure, Output, exit};
use crate::ingest::Options;
use crate::parse::{expression, time};
use crate::query::{self, Query};
use crate::render::{Ahead, Bodyfile, Dialect, Format, Mactime, Render, plain};
use crate::stderr;
use crate::text::{lossless, printable};
use clap::builder::{OsStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, Args, FromArgMatches, ValueEnum};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Arguments of `dof query`. Those behind the name are the query's own, see [`QueryOptions`].
#[derive(Debug, Args)]
#[command(disable_help_flag = true, override_usage = USAGE, after_help = EXAMPLES)]
pub struct QueryCommand {
    /// A query's name, or a file of your own (with a slash or .sql in its name), and its options
    #[arg(
        value_name = "NAME",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    words: Vec<OsString>,
}

/// Options every query has, beside its parameters.
#[derive(Debug, Args)]
struct QueryOptions {
    /// The case, or the directory a host is mounted at [default: $DOF_CASE, case.db]
    #[arg(long, value_name = "FILE")]
    case: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
    /// How to print the rows
    #[arg(long, value_enum, default_value = "table")]
    format: RowFormat,
    #[command(flatten)]
    output: Output,
}

/// A listing's formats, and body lines for rows that are files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowFormat {
    Listing(Format),
    Bodyfile,
    Mactime,
    MactimeCsv,
}

impl ValueEnum for RowFormat {
    fn value_variants<'a>() -> &'a [Self] {
        static ALL: LazyLock<Vec<RowFormat>> = LazyLock::new(|| {
            let listing = Format::value_variants()
                .iter()
                .copied()
                .map(RowFormat::Listing);
            listing
                .chain([
                    RowFormat::Bodyfile,
                    RowFormat::Mactime,
                    RowFormat::MactimeCsv,
                ])
                .collect()
        });
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            RowFormat::Listing(format) => format.to_possible_value(),
            RowFormat::Bodyfile => Some(
                PossibleValue::new("bodyfile")
                    .help("Body lines for mactime, one a file with all its times, also those outside --since and --until"),
            ),
            RowFormat::Mactime => Some(
                PossibleValue::new("mactime")
                    .help("What mactime -z UTC prints of these body lines between --since and --until; sorted, so all at the end"),
            ),
            RowFormat::MactimeCsv => {
                Some(PossibleValue::new("mactime-csv").help("What mactime -d -z UTC prints of them"))
            }
        }
    }
}

impl RowFormat {
    /// Whether its rows must be files.
    fn of_files(self) -> bool {
        !matches!(self, RowFormat::Listing(_))
    }

    /// Those of every query, for an option that offers no others.
    fn listings() -> impl TypedValueParser<Value = RowFormat> {
        let all = Format::value_variants().iter();
        let values = PossibleValuesParser::new(all.filter_map(Format::to_possible_value));
        values.try_map(|name| RowFormat::from_str(&name, false))
    }

    /// `window` bounds the moments that mactime's formats show.
    fn renderer(
        self,
        out: Box<dyn Write + Send>,
        window: (Option<i64>, Option<i64>),
    ) -> Box<dyn Render + Send> {
        match self {
            RowFormat::Listing(format) => format.renderer(out),
            RowFormat::Bodyfile => Box::new(Bodyfile::new(out, Dialect::Mactime)),
            RowFormat::Mactime => Box::new(Mactime::new(out, false, window)),
            RowFormat::MactimeCsv => Box::new(Mactime::new(out, true, window)),
        }
    }
}

impl QueryCommand {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let at = name_at(&self.words);
        let Some(at) = at else {
            return without_name(&self.words);
        };
        let name = self.words[at].to_string_lossy().into_owned();
        let query = query::find(&name)?;
        let mut words = self.words;
        words.remove(at);
        let matches = super::parsed(command(&query).no_binary_name(true), &words)
            .unwrap_or_else(|e| e.exit());
        let options = QueryOptions::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
        if matches.get_flag("sql") {
            let mut out = options.output.open(Path::new(""), None)?;
            out.write_all(query.sql.as_bytes())?;
            out.flush()?;
            return Ok(exit::OK);
        }
        let asked: Vec<(String, String)> = query
            .parameters
            .iter()
            .filter_map(|p| Some((p.name.clone(), matches.get_one::<String>(&p.name)?.clone())))
            .collect();
        let (query, arguments) = match options.format {
            format if format.of_files() && query.name == "timeline" => files_of_timeline(asked)?,
            _ => (query, asked),
        };
        let case = default_case(options.case.as_deref());
        let opened = open(
            &case,
            Options {
                files: true,
                logs: true,
                versions: true,
                ..Options::default()
            },
            options.trust,
        )?;
        if options.format.of_files() {
            let columns = query.columns(opened.case.db())?;
            if let Some(lacking) = Bodyfile::<Vec<u8>>::lacking(&columns) {
                return Err(Failure::usage(format!(
                    "{name}: its rows are no files, for want of the column {lacking}: no body lines"
                )));
            }
        }
        let bound = |name: &str| {
            let given = arguments.iter().find(|(n, _)| n == name);
            given.and_then(|(_, value)| time::iso8601(value))
        };
        let window = (bound("since"), bound("until"));
        let out = options.output.open(&case, Some(&opened.case))?;
        let mut render = Ahead::new(options.format.renderer(out, window));
        if let Some((_, words)) = arguments.iter().find(|(n, _)| n == "match") {
            for word in expression::lower_case(words) {
                stderr::line(format_args!(
                    "dof: --match: {word} is looked for as a word; write {} for the operator, \"{word}\" for the word",
                    word.to_ascii_uppercase()
                ));
            }
        }
        query.run(opened.case.db(), &arguments, &mut render)?;
        for line in never_looked(opened.case.db(), &query, &arguments)? {
            stderr::line(format_args!("dof: {line}"));
        }
        let tells = |views: &[&str]| views.iter().any(|view| query.sql.contains(view));
        let mut lacking = false;
        if tells(&["container_file", "container_change", "file_seen"]) {
            lacking |= lacking_layers(opened.case.db(), "container", &arguments)?;
        }
        if tells(&["image_file"]) {
            lacking |= lacking_layers(opened.case.db(), "image", &arguments)?;
        }
        Ok(if lacking { exit::PROBLEMS } else { opened.code })
    }
}

/// Why a query has no rows where nobody looked for any, a line each: then they are no finding.
fn never_looked(
    db: &Connection,
    query: &Query,
    asked: &[(String, String)],
) -> Result<Vec<String>, Failure> {
    let failed = |e: rusqlite::Error| Failure::io(e.to_string());
    let without = |of_host: &str| {
        let sql = format!(
            "SELECT coalesce(h.name, h.mount) FROM host h WHERE NOT EXISTS ({of_host}) ORDER BY h.id"
        );
        let mut stmt = db.prepare(&sql)?;
        let rows = stmt.query_map([], |r| r.get::<_, String>(0))?;
        rows.collect::<rusqlite::Result<Vec<String>>>()
    };
    let some = |table: &str| {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {table})");
        db.query_row(&sql, [], |r| r.get::<_, bool>(0))
    };
    let reads = |table: &str| query.sql.contains(&format!("FROM {table} "));
    let mut lines = Vec::new();
    if query.sql.contains(" known_hash ") && !some("known_hash").map_err(failed)? {
        lines.push("no list of known hashes was added to this case (dof known LIST)".into());
    }
    let optional = query.parameters.iter().any(|p| p.name == "sha256");
    if reads("file_hash") && (!optional || asked.iter().any(|(name, _)| name == "sha256")) {
        let of_host = if some("file_hash").map_err(failed)? {
            "SELECT 1 FROM tree t CROSS JOIN directory d ON d.tree_id = t.id CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
                CROSS JOIN file_hash x ON x.file_id = f.id WHERE t.host_id = h.id"
        } else {
            "SELECT 1 WHERE 0"
        };
        for host in without(of_host).map_err(failed)? {
            lines.push(format!(
                "no file of {} has a hash: nothing was looked for (dof ingest --hash sha256)",
                printable(&host)
            ));
        }
    }
    if reads("verification") {
        let of_host = "SELECT 1 FROM verification v WHERE v.host_id = h.id";
        for host in without(of_host).map_err(failed)? {
            lines.push(format!(
                "{} was not verified, or nothing of it could be (dof verify --case CASE MOUNT)",
                printable(&host)
            ));
        }
    }
    Ok(lines)
}

/// Says of each container or image asked for that the case does not have all its files; whether there was one.
fn lacking_layers(
    db: &Connection,
    kind: &str,
    asked: &[(String, String)],
) -> Result<bool, Failure> {
    let mut arguments = vec![("kind".to_owned(), kind.to_owned())];
    arguments.extend(asked.iter().filter(|(name, _)| name == kind).cloned());
    let mut lacking = Lacking(false);
    query::find("missing-layers")?.run(db, &arguments, &mut lacking)?;
    Ok(lacking.0)
}

/// Rows of the query `missing-layers`, told on standard error; whether there was one.
struct Lacking(bool);

impl Render for Lacking {
    fn begin(&mut self, _: &[String]) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        let text = |i: usize| values.get(i).map(plain).unwrap_or_default();
        let (kind, name, why) = (text(0), text(1), text(2));
        let name = printable(&name);
        stderr::line(format_args!(
            "dof: {kind} {name}: {why}; this is not all of its files (dof query missing-layers)"
        ));
        self.0 = true;
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The files the timeline is made of, and those of its arguments that bear on files.
fn files_of_timeline(
    asked: Vec<(String, String)>,
) -> Result<(Query, Vec<(String, String)>), Failure> {
    if asked
        .iter()
        .any(|(name, value)| name == "kind" && value != "file")
    {
        return Err(Failure::usage("a body file holds files: leave --kind out"));
    }
    let files = query::find("bodyfile")?;
    let known = |name: &str| files.parameters.iter().any(|p| p.name == name);
    let kept = asked.into_iter().filter(|(name, _)| known(name)).collect();
    Ok((files, kept))
}

/// Where the query's name stands: the first word that is no option and no option's value.
fn name_at(words: &[OsString]) -> Option<usize> {
    let mut i = 0;
    while let Some(word) = words.get(i) {
        match word.to_str() {
            Some("--case" | "--format" | "-o" | "--output") => i += 2,
            Some(w) if w.starts_with('-') => i += 1,
            _ => return Some(i),
        }
    }
    None
}

const USAGE: &str = "dof query --list\n       dof query NAME [OPTIONS]\n       dof query NAME --sql\n       dof query NAME --help";
const EXAMPLES: &str = "\
Example:
  dof query --list
  dof query timeline --since 2019-06-01 --container apache
  dof query ./mine.sql --case other.db";

fn without_name(words: &[OsString]) -> Result<u8, Failure> {
    let list = Arg::new("list")
        .long("list")
        .help("List the queries and what they answer");
    let command = clap::Command::new("dof query").no_binary_name(true);
    let command = QueryOptions::augment_args(command.arg(list.action(clap::ArgAction::SetTrue)))
        .about("Run a saved query, or list them")
        .override_usage(USAGE)
        .after_help(EXAMPLES)
        .mut_arg("format", |a| a.value_parser(RowFormat::listings()));
    let matches = super::parsed(command, words).unwrap_or_else(|e| e.exit());
    if !matches.get_flag("list") {
        return Err(Failure::usage(
            "name a query; `dof query --list` lists them",
        ));
    }
    let options = QueryOptions::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    let out = options.output.open(Path::new(""), None)?;
    let mut render = options.format.renderer(out, (None, None));
    render.begin(&["NAME".into(), "ANSWERS".into(), "PARAMETERS".into()])?;
    for q in query::catalogue() {
        let parameters = q
            .parameters
            .iter()
            .map(|p| format!("--{}", p.name))
            .collect::<Vec<_>>()
            .join(" ");
        render.row(&[
            ValueRef::Text(q.name.as_bytes()),
            ValueRef::Text(q.title.as_bytes()),
            ValueRef::Text(parameters.as_bytes()),
        ])?;
    }
    render.end()?;
    Ok(exit::OK)
}

/// The command line of one query: its parameters from its header, then the options every query has.
fn command(query: &Query) -> clap::Command {
    let name = format!("dof query {}", query.name);
    let about = match query.notes.as_slice() {
        [] => query.title.clone(),
        notes => format!("{}\n{}", query.title, notes.join("\n")),
    };
    let mut command = clap::Command::new(name.clone()).bin_name(name);
    for p in &query.parameters {
        let arg = Arg::new(p.name.clone())
            .long(p.name.clone())
            .value_name("VALUE")
            .help(p.help.clone());
        let choices: Vec<String> = p.choices().into_iter().map(str::to_owned).collect();
        let arg = if choices.is_empty() {
            // Bytes that are not UTF-8 stand in a case as they are printed.
            arg.value_parser(
                OsStringValueParser::new().map(|v| lossless(v.as_bytes()).into_owned()),
            )
        } else {
            arg.value_parser(choices)
        };
        command = command.arg(arg.allow_hyphen_values(true));
    }
    let sql = Arg::new("sql")
        .long("sql")
        .help("Print the text of the query, which sqlite3 runs too, instead of running it");
    command = QueryOptions::augment_args(command.arg(sql.action(clap::ArgAction::SetTrue)))
        .about(about)
        .max_term_width(100);
    let files = query.name == "timeline" || query.sql.contains("path_hex");
    if !files {
        command = command.mut_arg("format", |a| a.value_parser(RowFormat::listings()));
    }
    match &query.example {
        Some(example) => command.after_help(format!("Example:\n  {example}")),
        None => command,
    }
}
