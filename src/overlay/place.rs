//! Where a path of a container leads when the links on the way are followed inside it.

/// Most links followed on the way to a place, as in the kernel (MAXSYMLINKS).
const MOST_LINKS: usize = 40;

/// The names of a path: without empty ones and `.`.
pub fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&b| b == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
}

/// What stands at a place on the way.
#[derive(Clone, Debug)]
pub enum Stop<D> {
    /// A directory, which leads on.
    Dir(D),
    /// A symbolic link, and where it points to.
    Link(Vec<u8>),
    /// Nothing that leads on, or nothing at all.
    End,
}

/// Where a path leads: names from the root, without links, joined by slashes and without one in front. What is not there is
/// taken as it is written. `look` says what a directory has under a name; it is also told the path of that. `None` where
/// links lead in a circle.
///
/// # Errors
/// Those of `look`.
pub fn follow<D, E>(
    root: &D,
    path: &[u8],
    mut look: impl FnMut(&D, &[u8], &[u8]) -> Result<Stop<D>, E>,
) -> Result<Option<Vec<u8>>, E> {
    // Each stop on the way, and how long the path was before it.
    let mut way: Vec<(usize, Stop<D>)> = Vec::new();
    let mut at = Vec::new();
    let mut todo: Vec<Vec<u8>> = names(path).rev().map(<[u8]>::to_vec).collect();
    let mut links = 0;
    while let Some(name) = todo.pop() {
        if name == b".." {
            at.truncate(way.pop().map_or(0, |(length, _)| length));
            continue;
        }
        let length = at.len();
        if length > 0 {
            at.push(b'/');
        }
        at.extend_from_slice(&name);
        let stop = match way.last() {
            None => look(root, &name, &at)?,
            Some((_, Stop::Dir(dir))) => look(dir, &name, &at)?,
            Some(_) => Stop::End,
        };
        let Stop::Link(target) = stop else {
            way.push((length, stop));
            continue;
        };
        links += 1;
        if links > MOST_LINKS {
            return Ok(None);
        }
        at.truncate(length);
        if target.starts_with(b"/") {
            way.clear();
            at.clear();
        }
        todo.extend(names(&target).rev().map(<[u8]>::to_vec));
    }
    Ok(Some(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    /// A tree of paths: directories end with a slash, links have a target.
    fn lead(tree: &[(&str, &str)], path: &str) -> Option<String> {
        let tree: BTreeMap<&str, &str> = tree.iter().copied().collect();
        let look = |_: &(), _: &[u8], path: &[u8]| {
            let path = std::str::from_utf8(path).unwrap();
            Ok::<_, Infallible>(match tree.get(path) {
                Some(&"/") => Stop::Dir(()),
                Some(target) => Stop::Link(target.as_bytes().to_vec()),
                None => Stop::End,
            })
        };
        let Ok(place) = follow(&(), path.as_bytes(), look);
        place.map(|p| String::from_utf8(p).unwrap())
    }

    /// As `realpath -m` says of such a tree.
    #[test]
    fn links_are_followed_from_the_root() {
        let tree = [
            ("var", "/"),
            ("var/run", "../run"),
            ("run", "/"),
            ("abs", "/var/run/x"),
            ("loop", "loop"),
        ];
        for (path, place) in [
            ("/var/run/docker.sock", Some("run/docker.sock")),
            ("abs/y", Some("run/x/y")),
            ("/var/../run/./a/../../b", Some("b")),
            ("../..", Some("")),
            ("gone/x", Some("gone/x")),
            ("loop/x", None),
        ] {
            assert_eq!(lead(&tree, path).as_deref(), place, "{path}");
        }
    }
}
