//! A path inside the evidence: bytes, relative to the evidence root, never a path of the analyst's machine.

use std::fmt;

/// A path within the evidence, as bytes without a leading slash; the empty path is the root.
///
/// It is not normalised: `..` and symbolic links are resolved by the kernel inside the root when it is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EvidencePath(Vec<u8>);

impl EvidencePath {
    /// The evidence root.
    pub fn root() -> Self {
        EvidencePath(Vec::new())
    }

    /// From a host path, absolute or relative to the root. Leading, doubled and trailing slashes go.
    pub fn new(path: impl AsRef<[u8]>) -> Self {
        let mut out = Vec::with_capacity(path.as_ref().len());
        for part in path
            .as_ref()
            .split(|&b| b == b'/')
            .filter(|p| !p.is_empty() && *p != b".")
        {
            if !out.is_empty() {
                out.push(b'/');
            }
            out.extend_from_slice(part);
        }
        EvidencePath(out)
    }

    /// This path with `rest` below it.
    pub fn join(&self, rest: impl AsRef<[u8]>) -> Self {
        let mut out = self.clone();
        let rest = EvidencePath::new(rest);
        if !out.0.is_empty() && !rest.0.is_empty() {
            out.0.push(b'/');
        }
        out.0.extend_from_slice(&rest.0);
        out
    }

    /// The bytes, relative to the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path as the host would write it: absolute, bytes that are not UTF-8 as `\xNN`.
    pub fn host(&self) -> String {
        format!("/{}", crate::text::lossless(&self.0))
    }

    /// The last component; empty for the root.
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|&b| b == b'/').next().unwrap_or_default()
    }

    /// All but the last component.
    pub fn parent(&self) -> EvidencePath {
        match self.0.iter().rposition(|&b| b == b'/') {
            Some(at) => EvidencePath(self.0[..at].to_vec()),
            None => EvidencePath::root(),
        }
    }
}

impl fmt::Display for EvidencePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_and_splits() {
        let p = EvidencePath::new("//var/lib/./docker/").join("/containers");
        assert_eq!(p.host(), "/var/lib/docker/containers");
        assert_eq!(p.file_name(), b"containers");
        assert_eq!(p.parent().host(), "/var/lib/docker");
        assert_eq!(EvidencePath::new("/").host(), "/");
        assert_eq!(EvidencePath::root().join("etc").host(), "/etc");
    }
}
