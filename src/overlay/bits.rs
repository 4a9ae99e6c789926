//! The marks of an entry as bits, and the words that `file.overlay` has for them.

/// The path is deleted from here up.
pub const WHITEOUT: u8 = 1;
/// The directory hides those below it.
pub const OPAQUE: u8 = 2;
/// The entry holds metadata only; the content lies below.
pub const METACOPY: u8 = 4;

/// A set of marks.
pub fn of(whiteout: bool, opaque: bool, metacopy: bool) -> u8 {
    [(whiteout, WHITEOUT), (opaque, OPAQUE), (metacopy, METACOPY)]
        .iter()
        .fold(0, |bits, &(is, bit)| if is { bits | bit } else { bits })
}

/// The words for a set of marks.
pub fn words(bits: u8) -> Option<&'static str> {
    Some(match bits {
        0 => return None,
        WHITEOUT => "whiteout",
        OPAQUE => "opaque",
        METACOPY => "metacopy",
        3 => "whiteout,opaque",
        5 => "whiteout,metacopy",
        6 => "opaque,metacopy",
        _ => "whiteout,opaque,metacopy",
    })
}
