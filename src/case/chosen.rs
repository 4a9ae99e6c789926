//! Which trees and logs a sweep is for, asked of the rows that the survey wrote.

use super::{Error, Writer};
use rusqlite::{ToSql, named_params};
use std::collections::HashSet;

/// Row ids of trees and of log files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Trees.
    pub trees: HashSet<i64>,
    /// Log files.
    pub logs: HashSet<i64>,
}

/// The containers of a host that :asked may mean: a name, an id or a prefix of it.
const ASKED: &str = "WITH asked (id, layer_id) AS (
    SELECT c.id, c.layer_id FROM container c JOIN engine g ON g.id = c.engine_id
     WHERE g.host_id = :host AND (c.name = ltrim(:asked, '/') OR substr(c.full_id, 1, length(:asked)) = :asked)) ";

impl Writer<'_> {
    /// What belongs to the containers that `asked` may mean: their own layers, what they mount, their logs.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn of_container(&self, asked: &str) -> Result<Chosen, Error> {
        let host = self.host;
        let asked = named_params! {":host": host, ":asked": asked};
        let ids = |sql: &str| self.ids(&format!("{ASKED}{sql}"), asked);
        Ok(Chosen {
            trees: ids("SELECT t.id FROM asked a JOIN tree t ON t.layer_id = a.layer_id
                UNION SELECT m.tree_id FROM asked a JOIN container_mount m ON m.container_id = a.id WHERE m.tree_id IS NOT NULL")?,
            logs: ids("SELECT l.id FROM asked a JOIN log_file l ON l.container_id = a.id")?,
        })
    }

    /// The trees that containers write to: their own layers, and volumes.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn written_by_containers(&self) -> Result<HashSet<i64>, Error> {
        self.ids(
            "SELECT t.id FROM tree t LEFT JOIN layer l ON l.id = t.layer_id
              WHERE t.host_id = :host
                AND (t.kind = 'volume' OR l.role = 'container' OR t.id IN (SELECT v.tree_id FROM volume v))",
            named_params! {":host": self.host},
        )
    }

    fn ids(&self, sql: &str, bound: &[(&str, &dyn ToSql)]) -> Result<HashSet<i64>, Error> {
        let run = || -> rusqlite::Result<HashSet<i64>> {
            let mut stmt = self.db.prepare(sql)?;
            let rows = stmt.query_map(bound, |r| r.get(0))?;
            rows.collect()
        };
        run().map_err(|e| self.err(e))
    }
}
