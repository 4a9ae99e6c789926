//! Rows by the million into one table, several with each run of a statement.
//!
//! What SQLite does once a statement (checks of the schema, cursors opened and closed, the way down from the root of the
//! tree) takes as long as the row itself.

use rusqlite::types::ToSql;
use rusqlite::{Connection, Statement};

/// Most rows of one run.
pub const MOST: usize = 16;

/// A prepared `INSERT` for each number of rows that was asked for.
pub struct Insert<'c> {
    db: &'c Connection,
    into: String,
    row: String,
    columns: usize,
    by_rows: [Option<Statement<'c>>; MOST],
}

impl<'c> Insert<'c> {
    /// An insert into these columns of a table.
    pub fn new(db: &'c Connection, table: &str, columns: &[&str]) -> Self {
        Insert {
            db,
            into: format!("INSERT INTO {table} ({}) VALUES ", columns.join(", ")),
            row: format!("({})", vec!["?"; columns.len()].join(", ")),
            columns: columns.len(),
            by_rows: [const { None }; MOST],
        }
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
        for (chunk, some) in rows.chunks(MOST).enumerate() {
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
                bind(&mut place, chunk * MOST + i, row)?;
            }
            stmt.raw_execute()?;
        }
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
