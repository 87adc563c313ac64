//! `TreePath`: a path inside a source, as bytes, that cannot point out of it.

use std::fmt;

/// Why a name was refused. Named in `SourceRefused` as the rule that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    #[error("the name is empty")]
    Empty,
    #[error("the name is absolute")]
    Absolute,
    #[error("the name has a `..` component")]
    Parent,
    #[error("the name holds a NUL byte")]
    Nul,
    #[error("the name is longer than {MAX_PATH} bytes, or a component is longer than {MAX_NAME}")]
    TooLong,
    #[error("the name is nested deeper than {MAX_DEPTH} directories")]
    TooDeep,
}

/// Linux's PATH_MAX and NAME_MAX; the depth is ours.
pub const MAX_PATH: usize = 4096;
pub const MAX_NAME: usize = 255;
pub const MAX_DEPTH: usize = 256;

/// Relative, `/`-separated, no empty, `.` or `..` components; empty = the root itself. Any bytes but NUL.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct TreePath(Vec<u8>);

impl TreePath {
    /// The root of a tree.
    pub fn root() -> Self {
        Self::default()
    }

    /// From a name somebody else wrote: `./a//b/` is `a/b`; what points out is refused.
    pub fn parse(name: &[u8]) -> Result<Self, BadPath> {
        if name.is_empty() {
            return Err(BadPath::Empty);
        }
        if name[0] == b'/' {
            return Err(BadPath::Absolute);
        }
        let mut path = Self(Vec::with_capacity(name.len()));
        let mut depth = 0;
        for component in name.split(|b| *b == b'/').filter(|c| !c.is_empty() && *c != b".") {
            depth += 1;
            path = path.checked_join(component)?;
        }
        if depth > MAX_DEPTH { Err(BadPath::TooDeep) } else { Ok(path) }
    }

    /// One component below this path, checked.
    pub fn checked_join(mut self, component: &[u8]) -> Result<Self, BadPath> {
        match component {
            b"" | b"." => return Err(BadPath::Empty),
            b".." => return Err(BadPath::Parent),
            _ if component.contains(&0) => return Err(BadPath::Nul),
            _ if component.contains(&b'/') => return Err(BadPath::Absolute),
            _ => {}
        }
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(component);
        if component.len() > MAX_NAME || self.0.len() > MAX_PATH { Err(BadPath::TooLong) } else { Ok(self) }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The components from the root down.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/').filter(|c| !c.is_empty())
    }

    /// The last component; empty at the root.
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|b| *b == b'/').next().unwrap_or_default()
    }

    /// The directory this path is in; `None` at the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|b| *b == b'/').unwrap_or(0);
        Some(Self(self.0[..end].to_vec()))
    }

    /// This path below `prefix`, as seen from there.
    pub fn strip(&self, prefix: &Self) -> Option<Self> {
        if prefix.is_root() {
            return Some(self.clone());
        }
        let rest = self.0.strip_prefix(prefix.as_bytes())?;
        match rest.first() {
            None => Some(Self::root()),
            Some(b'/') => Some(Self(rest[1..].to_vec())),
            Some(_) => None,
        }
    }

    /// For people: lossy, quoted by the caller where it matters.
    pub fn display(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

/// The order in which every tree is walked and every list sent: component by component, a directory before what is in it.
/// It is fsutil's order (`ComparePath` in fsutil's diff.go), which compares bytes with `/` below all of them.
impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        self.0.iter().map(key).cmp(other.0.iter().map(key))
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_or_refused() {
        type Row = (&'static [u8], Result<&'static [u8], BadPath>);
        let table: &[Row] = &[
            (b"a/b", Ok(b"a/b")),
            (b"./a//b/", Ok(b"a/b")),
            (b"a/./b", Ok(b"a/b")),
            (b".", Ok(b"")),
            (b"./", Ok(b"")),
            (b"a\\..\\b", Ok(b"a\\..\\b")),
            (b"..a", Ok(b"..a")),
            (b"\xff\xfe", Ok(b"\xff\xfe")),
            (b"", Err(BadPath::Empty)),
            (b"/a", Err(BadPath::Absolute)),
            (b"..", Err(BadPath::Parent)),
            (b"a/../b", Err(BadPath::Parent)),
            (b"a/..", Err(BadPath::Parent)),
            (b"a\0b", Err(BadPath::Nul)),
        ];
        for (name, want) in table {
            let got = TreePath::parse(name);
            assert_eq!(got.as_ref().map(TreePath::as_bytes), want.as_ref().map(|w| *w), "{:?}", String::from_utf8_lossy(name));
        }
        assert_eq!(TreePath::parse(&[b'a'; 256]), Err(BadPath::TooLong));
        assert_eq!(TreePath::parse("a/".repeat(257).as_bytes()), Err(BadPath::TooDeep));
        assert_eq!(TreePath::parse("aaaaaaaaaaaaaaaaaaaa/".repeat(200).as_bytes()), Err(BadPath::TooLong));
    }

    #[test]
    fn containment_needs_a_separator() {
        let root = TreePath::parse(b"git-data").unwrap();
        assert_eq!(TreePath::parse(b"git-data-evil/x").unwrap().strip(&root), None);
        assert_eq!(TreePath::parse(b"git-data/x").unwrap().strip(&root).unwrap().as_bytes(), b"x");
        assert!(TreePath::parse(b"git-data").unwrap().strip(&root).unwrap().is_root());
    }

    #[test]
    fn a_directory_sorts_before_what_is_in_it_and_before_longer_names() {
        let mut paths: Vec<TreePath> =
            ["foo.txt", "foo/a", "foo", "foo-a"].iter().map(|p| TreePath::parse(p.as_bytes()).unwrap()).collect();
        paths.sort();
        let names: Vec<String> = paths.iter().map(TreePath::display).collect();
        assert_eq!(names, ["foo", "foo/a", "foo-a", "foo.txt"]);
    }
}
