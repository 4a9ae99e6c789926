//! What a merged directory has under a name, as ovl_lookup of fs/overlayfs/namei.c finds it: from the topmost layer down,
//! until something ends it.

/// What one layer's directory has under a name. `D` is a directory of a layer, `L` anything else in one.
#[derive(Clone, Debug)]
pub enum Found<D, L> {
    /// No such name.
    Nothing,
    /// The name is deleted from here up.
    Whiteout,
    /// A directory.
    Dir {
        /// Which.
        dir: D,
        /// Whether it hides those below it.
        opaque: bool,
        /// Where those below it stand, if it was renamed: a name beside its own, or a path from the layers' roots.
        redirect: Option<Vec<u8>>,
    },
    /// Anything else.
    Leaf {
        /// What.
        leaf: L,
        /// Whether it is a regular file.
        is_file: bool,
        /// Whether it has metadata only, and its content lies below.
        metacopy: bool,
        /// Where below, if it was renamed.
        redirect: Option<Vec<u8>>,
    },
}

/// The layers of one stack.
pub trait Layers {
    /// A directory of one layer.
    type Dir: Clone;
    /// What is no directory.
    type Leaf;
    /// Why a layer cannot be asked.
    type Error;

    /// What a layer's directory has under a name.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn entry(
        &self,
        dir: &Self::Dir,
        name: &[u8],
    ) -> Result<Found<Self::Dir, Self::Leaf>, Self::Error>;

    /// The roots of the layers below that of a directory, topmost first.
    fn below(&self, dir: &Self::Dir) -> &[Self::Dir];
}

/// A directory of the merged view: those it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged<D> {
    /// Topmost first; at least one.
    pub parts: Vec<D>,
    /// The first of them that stands elsewhere in its own layer, since the one before it was renamed (a redirect); their
    /// number where none does.
    pub moved: usize,
}

/// Where a file's content lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<L> {
    /// With it.
    Own,
    /// In a layer below, for it is a metacopy.
    Below(L),
    /// Nowhere: no layer has it.
    Nowhere,
}

/// An entry of the merged view.
#[derive(Clone, Debug)]
pub enum Node<D, L> {
    /// A directory.
    Dir(Merged<D>),
    /// Anything else, of the topmost layer that has it.
    Leaf(L, Content<L>),
}

/// What a merged directory has under a name; `None` for nothing.
pub type Answer<T> =
    Result<Option<Node<<T as Layers>::Dir, <T as Layers>::Leaf>>, <T as Layers>::Error>;

/// How the layers below are asked: by a name, or where a redirect leads.
#[derive(Clone)]
enum Way {
    Name(Vec<u8>),
    /// From the layers' roots; without the leading slash.
    Path(Vec<Vec<u8>>),
}

/// Looks a name up in a merged directory, the parts of which are these, topmost first.
///
/// # Errors
/// When a layer cannot be asked.
pub fn find<T: Layers>(layers: &T, parts: &[T::Dir], name: &[u8]) -> Answer<T> {
    let mut found_parts: Vec<T::Dir> = Vec::new();
    let mut moved = usize::MAX;
    let mut leaf: Option<(T::Leaf, Content<T::Leaf>)> = None;
    let mut way = Way::Name(name.to_vec());
    let mut below = parts;
    while let [part, rest @ ..] = below {
        below = rest;
        let step = step(layers, part, &way)?;
        match step.found {
            Found::Nothing => {}
            Found::Whiteout => break,
            Found::Leaf {
                leaf: it,
                is_file,
                metacopy,
                ..
            } => match &mut leaf {
                Some((_, content)) if is_file => {
                    if !metacopy {
                        *content = Content::Below(it);
                        break;
                    }
                }
                Some(_) => break,
                None if found_parts.is_empty() => {
                    if !metacopy {
                        leaf = Some((it, Content::Own));
                        break;
                    }
                    leaf = Some((it, Content::Nowhere));
                }
                None => break,
            },
            Found::Dir { .. } if leaf.is_some() => break,
            Found::Dir { dir, opaque, .. } => {
                found_parts.push(dir);
                if opaque {
                    break;
                }
            }
        }
        if step.ends {
            break;
        }
        if let Some(to) = step.to {
            if matches!(to, Way::Path(_)) {
                below = layers.below(part);
            }
            way = to;
            moved = moved.min(found_parts.len());
        }
    }
    Ok(match (found_parts.is_empty(), leaf) {
        (_, Some((leaf, content))) => Some(Node::Leaf(leaf, content)),
        (false, None) => Some(Node::Dir(Merged {
            moved: moved.min(found_parts.len()),
            parts: found_parts,
        })),
        (true, None) => None,
    })
}

/// What one layer answers.
struct Step<D, L> {
    found: Found<D, L>,
    /// Whether the search ends with it.
    ends: bool,
    /// How the layers below are to be asked, if otherwise than before.
    to: Option<Way>,
}

/// Asks one layer.
fn step<T: Layers>(
    layers: &T,
    part: &T::Dir,
    way: &Way,
) -> Result<Step<T::Dir, T::Leaf>, T::Error> {
    let names = match way {
        Way::Name(name) => {
            let found = layers.entry(part, name)?;
            let to = found.redirect().and_then(|to| redirected(to, None, &[]));
            return Ok(Step {
                found,
                ends: false,
                to,
            });
        }
        Way::Path(names) => names,
    };
    let (mut here, mut ends, mut to) = (part.clone(), false, None);
    for (i, name) in names.iter().enumerate() {
        let found = layers.entry(&here, name)?;
        if let Some(redirect) = found.redirect() {
            let absolute = redirect.starts_with(b"/");
            to = redirected(redirect, Some(&names[..i]), &names[i + 1..]);
            ends &= !absolute;
        }
        match found {
            found if i + 1 == names.len() => return Ok(Step { found, ends, to }),
            Found::Dir { dir, opaque, .. } => {
                ends |= opaque;
                here = dir;
            }
            Found::Nothing => break,
            Found::Whiteout | Found::Leaf { .. } => {
                ends = true;
                break;
            }
        }
    }
    // A redirect to the root, which overlayfs writes for nothing, comes here too.
    let found = Found::Nothing;
    Ok(Step { found, ends, to })
}

/// The way a redirect found between `before` and `after` gives.
fn redirected(to: &[u8], before: Option<&[Vec<u8>]>, after: &[Vec<u8>]) -> Option<Way> {
    let names: Vec<Vec<u8>> = super::place::names(to).map(<[u8]>::to_vec).collect();
    if names.iter().any(|name| name == b"..") {
        return None;
    }
    if to.starts_with(b"/") || before.is_some() {
        let before = before.filter(|_| !to.starts_with(b"/")).unwrap_or(&[]);
        return Some(Way::Path([before, &names, after].concat()));
    }
    match <[Vec<u8>; 1]>::try_from(names) {
        Ok([name]) => Some(Way::Name(name)),
        Err(_) => None,
    }
}

impl<D, L> Found<D, L> {
    fn redirect(&self) -> Option<&[u8]> {
        match self {
            Found::Dir { redirect, .. } => redirect.as_deref(),
            Found::Leaf {
                metacopy: true,
                redirect,
                ..
            } => redirect.as_deref(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    /// Layers of a few paths each, topmost first; a directory or file is its layer's number and its path there.
    struct Stack {
        layers: Vec<BTreeMap<&'static str, &'static str>>,
        roots: Vec<(usize, String)>,
    }

    impl Stack {
        /// What a layer has at a path: `/` a directory, `/opaque` one that hides those below it, `/TO` and `/=TO` one that was
        /// renamed from TO or from the path TO, `-` a whiteout, `~` a metacopy, anything else a file.
        fn new(layers: &[&[(&'static str, &'static str)]]) -> Stack {
            Stack {
                layers: layers.iter().map(|l| l.iter().copied().collect()).collect(),
                roots: (0..layers.len()).map(|i| (i, String::new())).collect(),
            }
        }

        /// The parts of what stands at a name in the root, and the first that was moved; or the file and where its content lies.
        fn shows(&self, name: &str) -> Option<(Vec<String>, String)> {
            let said = |(layer, path): &(usize, String)| format!("{layer}{path}");
            let Ok(node) = find(self, &self.roots, name.as_bytes());
            Some(match node? {
                Node::Dir(merged) => {
                    let parts = merged.parts.iter().map(said).collect();
                    (parts, merged.moved.to_string())
                }
                Node::Leaf(leaf, content) => (
                    vec![said(&leaf)],
                    match content {
                        Content::Own => "own".into(),
                        Content::Below(below) => said(&below),
                        Content::Nowhere => "nowhere".into(),
                    },
                ),
            })
        }
    }

    impl Layers for Stack {
        type Dir = (usize, String);
        type Leaf = (usize, String);
        type Error = Infallible;

        fn entry(
            &self,
            (layer, dir): &(usize, String),
            name: &[u8],
        ) -> Result<Found<Self::Dir, Self::Leaf>, Infallible> {
            let path = format!("{dir}/{}", std::str::from_utf8(name).unwrap());
            let at = (*layer, path.clone());
            let dir = |opaque, redirect: Option<&str>| Found::Dir {
                dir: at.clone(),
                opaque,
                redirect: redirect.map(|to| to.as_bytes().to_vec()),
            };
            Ok(match self.layers[*layer].get(&path[1..]) {
                None => Found::Nothing,
                Some(&"-") => Found::Whiteout,
                Some(&"/") => dir(false, None),
                Some(&"/opaque") => dir(true, None),
                Some(to) if to.starts_with("/=") => dir(false, Some(&to[2..])),
                Some(to) if to.starts_with('/') => dir(false, Some(&to[1..])),
                Some(&what) => Found::Leaf {
                    leaf: at,
                    is_file: true,
                    metacopy: what == "~",
                    redirect: None,
                },
            })
        }

        fn below(&self, (layer, _): &(usize, String)) -> &[(usize, String)] {
            &self.roots[layer + 1..]
        }
    }

    fn parts(all: &[&str], moved: &str) -> Option<(Vec<String>, String)> {
        let all = all.iter().map(|part| (*part).to_owned()).collect();
        Some((all, moved.to_owned()))
    }

    #[test]
    fn directories_are_one_until_something_ends_it() {
        let base: &[_] = &[
            ("a", "/"),
            ("b", "/"),
            ("c", "/"),
            ("d", "file"),
            ("e", "/"),
        ];
        let middle: &[_] = &[
            ("a", "/"),
            ("b", "/opaque"),
            ("c", "-"),
            ("d", "/"),
            ("e", "file"),
        ];
        let top: &[_] = &[("a", "/"), ("b", "/"), ("c", "/"), ("d", "/"), ("e", "/")];
        let stack = Stack::new(&[top, middle, base]);
        assert_eq!(stack.shows("a"), parts(&["0/a", "1/a", "2/a"], "3"));
        assert_eq!(stack.shows("b"), parts(&["0/b", "1/b"], "2"));
        for name in ["c", "e"] {
            assert_eq!(stack.shows(name), parts(&[&format!("0/{name}")], "1"));
        }
        assert_eq!(stack.shows("d"), parts(&["0/d", "1/d"], "2"));
        assert_eq!(Stack::new(&[middle, base]).shows("c"), None);
        assert_eq!(Stack::new(&[top, base]).shows("none"), None);
    }

    #[test]
    fn redirects_lead_on_from_the_parent_or_the_roots() {
        let base: &[_] = &[("old", "/"), ("old/in", "/"), ("other", "/")];
        let beside: &[_] = &[("new", "/old")];
        assert_eq!(
            Stack::new(&[beside, base]).shows("new"),
            parts(&["0/new", "1/old"], "1")
        );
        let rooted: &[_] = &[("new", "/=/old/in")];
        assert_eq!(
            Stack::new(&[rooted, base]).shows("new"),
            parts(&["0/new", "1/old/in"], "1")
        );
        // One over the other: each is asked for where the one above says.
        let again: &[_] = &[("newer", "/new")];
        assert_eq!(
            Stack::new(&[again, rooted, base]).shows("newer"),
            parts(&["0/newer", "1/new", "2/old/in"], "1")
        );
        // Without a redirect of its own the topmost stands where it is.
        let plain: &[_] = &[("new", "/")];
        assert_eq!(
            Stack::new(&[plain, beside, base]).shows("new"),
            parts(&["0/new", "1/new", "2/old"], "2")
        );
        // A directory on the way that was deleted, or replaced, leads nowhere.
        let gone: &[_] = &[("old", "-")];
        assert_eq!(
            Stack::new(&[rooted, gone, base]).shows("new"),
            parts(&["0/new"], "1")
        );
        let climbs: &[_] = &[("new", "/=/old/../other")];
        assert_eq!(
            Stack::new(&[climbs, base]).shows("new"),
            parts(&["0/new"], "1")
        );
    }

    #[test]
    fn a_metacopy_has_its_content_below() {
        let base: &[_] = &[("f", "content"), ("g", "/")];
        let copy: &[_] = &[("f", "~"), ("g", "~")];
        assert_eq!(Stack::new(&[copy, base]).shows("f"), parts(&["0/f"], "1/f"));
        let twice = Stack::new(&[copy, copy, base]);
        assert_eq!(twice.shows("f"), parts(&["0/f"], "2/f"));
        assert_eq!(twice.shows("g"), parts(&["0/g"], "nowhere"));
    }
}
