//! Which trees and logs a command for one container needs: its own layer, what it mounts, what lies in that, and its log.

use crate::engine::{Survey, TreePlan};
use crate::evidence::Evidence;
use crate::record::Record;
use std::collections::HashSet;

/// Deepest place of a tree whose surroundings are looked at.
const DEEPEST: usize = 256;

/// Leaves in `survey` only the logs of containers that `asked` may mean, a name, an id or a prefix of it, and gives the trees
/// to walk for them. Rows stay, so that whoever resolves the name sees all there are.
pub fn narrow(survey: &mut Survey<'_>, asked: &str) -> HashSet<i64> {
    let name = asked.trim_start_matches('/');
    let (mut containers, mut layers) = (HashSet::new(), HashSet::new());
    for record in &survey.records {
        if let Record::Container(c) = record
            && (c.name.as_deref() == Some(name) || c.full_id.starts_with(asked))
        {
            containers.insert(c.id);
            layers.extend(c.layer_id);
        }
    }
    let (mut trees, mut logs) = (HashSet::new(), HashSet::new());
    for record in &survey.records {
        match record {
            Record::Tree(t) if t.layer_id.is_some_and(|l| layers.contains(&l)) => {
                trees.insert(t.id);
            }
            Record::ContainerMount(m) if containers.contains(&m.container_id) => {
                trees.extend(m.tree_id);
            }
            Record::LogFile(l) if containers.contains(&l.container_id) => {
                logs.insert(l.id);
            }
            _ => {}
        }
    }
    let outer: HashSet<(u64, u64)> = survey
        .trees
        .iter()
        .filter(|t| trees.contains(&t.id))
        .map(|t| t.identity)
        .collect();
    let evidence = survey.evidence;
    survey.logs.retain(|l| logs.contains(&l.id));
    let inner = survey.trees.iter().filter(|t| lies_in(evidence, t, &outer));
    trees.extend(inner.map(|t| t.id));
    trees
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
