//! Which trees a command for one container needs beside its own and those it mounts (case/chosen.rs): what lies in those.

use crate::engine::TreePlan;
use crate::evidence::Evidence;
use std::collections::HashSet;

/// Deepest place of a tree whose surroundings are looked at.
const DEEPEST: usize = 256;

/// Adds to the trees that were chosen those that lie within them.
pub fn widened(evidence: &Evidence, all: &[TreePlan], mut chosen: HashSet<i64>) -> HashSet<i64> {
    let outer: HashSet<(u64, u64)> = all
        .iter()
        .filter(|t| chosen.contains(&t.id))
        .map(|t| t.identity)
        .collect();
    let inner = all.iter().filter(|t| lies_in(evidence, t, &outer));
    chosen.extend(inner.map(|t| t.id));
    chosen
}

/// Whether a tree lies in one of these directories, by the directories it really is in: names may be links.
fn lies_in(evidence: &Evidence, tree: &TreePlan, outer: &HashSet<(u64, u64)>) -> bool {
    let mut up = tree.path.parent(); // of a tree that is no directory, there is no `..`
    let mut last = tree.identity;
    for step in 0..DEEPEST {
        if step > 0 || evidence.stat(&tree.path).is_ok_and(|m| m.is_dir()) {
            let below = if step == 0 { &tree.path } else { &up };
            up = below.join("..");
        }
        match evidence.stat(&up).map(|m| m.identity()) {
            Ok(id) if outer.contains(&id) => return true,
            Ok(id) if id != last => last = id,
            _ => return false, // the root is its own parent
        }
    }
    false
}
