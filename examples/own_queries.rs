//! The library from a program of your own: ingest a mounted host into memory, ask it with SQL of your own.
//!
//!     cargo run --example own_queries -- /mnt/host

use dof::case::Target;
use dof::ingest::{Options, Progress, ingest};
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let mount: PathBuf = std::env::args_os()
        .nth(1)
        .ok_or("usage: own_queries MOUNT")?
        .into();
    let options = Options {
        files: true,
        ..Options::default()
    };
    let (case, summary) = ingest(&mount, Target::temporary()?, &options, &Progress::silent())?;
    println!("{}: {} files", summary.host, summary.counted.files);

    // Set-uid files that a container has in its own layer, not from its image.
    let mut stmt = case.db().prepare(
        "SELECT p.container, p.path, p.uid FROM file_path p JOIN tree t ON t.id = p.tree_id JOIN layer l ON l.id = t.layer_id
          WHERE l.role = 'container' AND p.type = 'file' AND p.permissions & 2048 ORDER BY 1, 2",
    )?;
    let mut rows = stmt.query([])?;
    while let Some(row) = rows.next()? {
        println!(
            "set-uid in {}: {} (owner {})",
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, i64>(2)?
        );
    }
    Ok(())
}
