//! Rows by the million into one table, several with each run of a statement.
//!
//! What SQLite does once a statement (checks of the schema, cursors opened and closed, the way down from the root of the
//! tree) takes as long as the row itself.

use rusqlite::types::ToSql;
use rusqlite::{Connection, Statement};

/// Values of one run, roughly: more give nothing.
const VALUES: usize = 300;

/// A prepared `INSERT` for each number of rows that was asked for.
pub struct Insert<'c> {
    db: &'c Connection,
    into: String,
    row: String,
    columns: usize,
    by_rows: Vec<Option<Statement<'c>>>,
}

impl<'c> Insert<'c> {
    /// An insert into these columns of a table.
    pub fn new(db: &'c Connection, table: &str, columns: &[&str]) -> Self {
        Insert {
            db,
            into: format!("INSERT INTO {table} ({}) VALUES ", columns.join(", ")),
            row: format!("({})", vec!["?"; columns.len()].join(", ")),
            columns: columns.len(),
            by_rows: (0..VALUES / columns.len()).map(|_| None).collect(),
        }
    }

    /// An insert that leaves out a row whose key is there already.
    pub fn of_new(db: &'c Connection, table: &str, columns: &[&str]) -> Self {
        let mut insert = Insert::new(db, table, columns);
        insert.into = insert.into.replacen("INSERT", "INSERT OR IGNORE", 1);
        insert
    }

    /// Inserts `rows`, whose values `bind` gives.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn all<T>(
        &mut self,
        rows: &[T],
        mut bind: impl FnMut(&mut Row<'_, 'c>, usize, &T) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let most = self.by_rows.len();
        for (chunk, some) in rows.chunks(most).enumerate() {
            let prepared = &mut self.by_rows[some.len() - 1];
            let stmt = match prepared {
                Some(stmt) => stmt,
                None => prepared.insert(self.db.prepare(&format!(
                    "{}{}",
                    self.into,
                    vec![&self.row[..]; some.len()].join(", ")
                ))?),
            };
            for (i, row) in some.iter().enumerate() {
                let mut place = Row {
                    stmt,
                    before: i * self.columns,
                };
                bind(&mut place, chunk * most + i, row)?;
            }
            stmt.raw_execute()?;
        }
        Ok(())
    }
}

/// Rows whose ids follow one another. An id that is one more than the largest SQLite gives by itself, without a search: only
/// the first of a run is set.
pub struct Numbered<'c> {
    first: Insert<'c>,
    next: Insert<'c>,
    /// The id after that of the last row.
    after: i64,
}

impl<'c> Numbered<'c> {
    /// An insert into these columns of a table, and its id.
    pub fn new(db: &'c Connection, table: &str, columns: &[&str]) -> Self {
        Numbered {
            first: Insert::new(db, table, &[columns, &["id"]].concat()),
            next: Insert::new(db, table, columns),
            after: 0,
        }
    }

    /// Inserts `rows`, whose values `bind` gives, with the ids from `id` on: none of the table may be larger.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn all<T>(
        &mut self,
        id: i64,
        rows: &[T],
        mut bind: impl FnMut(&mut Row<'_, 'c>, usize, &T) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let jump = usize::from(self.after != id);
        let (first, next) = rows.split_at(jump);
        let at = self.first.columns;
        self.first.all(first, |row, i, value| {
            bind(row, i, value)?;
            row.set(at, id)
        })?;
        self.next
            .all(next, |row, i, value| bind(row, jump + i, value))?;
        self.after = id + rows.len() as i64;
        debug_assert_eq!(self.next.db.last_insert_rowid(), self.after - 1);
        Ok(())
    }
}

/// Where the values of one row go.
pub struct Row<'s, 'c> {
    stmt: &'s mut Statement<'c>,
    before: usize,
}

impl Row<'_, '_> {
    /// Sets the value of a column, the first of which is 1.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn set(&mut self, column: usize, value: impl ToSql) -> rusqlite::Result<()> {
        self.stmt.raw_bind_parameter(self.before + column, value)
    }
}
