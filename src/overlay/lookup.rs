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
