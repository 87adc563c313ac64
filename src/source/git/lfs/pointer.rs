//! Pointers: the small text that stands in the repository in the place of a large file (git-lfs, docs/spec.md). What counts as one
//! is what git-lfs takes for one, which is more than the specification allows.

/// Bytes of the longest pointer (git-lfs, lfs/pointer.go, `blobSizeCutoff`).
pub const POINTER_BYTES: u64 = 1024;

/// The names that version 1 has had.
const VERSIONS: [&str; 3] = ["https://git-lfs.github.com/spec/v1", "https://hawser.github.com/spec/v1", "http://git-media.io/v/2"];

/// SHA-256 of an object.
pub type LfsId = [u8; 32];

/// What a pointer says of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pointer {
    pub oid: LfsId,
    /// Bytes.
    pub size: u64,
    /// The object went through further programs on its way in, which git-lfs would need on the way out.
    pub extended: bool,
}

impl Pointer {
    /// `None` for any other text.
    pub fn parse(body: &[u8]) -> Option<Self> {
        if body.len() as u64 > POINTER_BYTES {
            return None;
        }
        let mut lines = std::str::from_utf8(body).ok()?.trim().lines();
        let mut extensions = Vec::new();
        let mut values = [""; 3];
        for (key, value) in ["version", "oid", "size"].iter().zip(&mut values) {
            *value = loop {
                let line = lines.next()?;
                if line.is_empty() {
                    continue;
                }
                let (name, text) = line.split_once(' ')?;
                if name == *key {
                    break text;
                }
                let number = extension(name)?;
                id(text)?;
                // One line twice is one extension; two of one number are an error.
                if extensions.iter().any(|(have, of)| *have == number && *of != name) {
                    return None;
                }
                extensions.push((number, name));
            };
        }
        let [version, oid, size] = values;
        let rest = lines.all(str::is_empty);
        let size = size.parse::<i64>().ok().and_then(|size| u64::try_from(size).ok());
        let pointer = Self { oid: id(oid)?, size: size?, extended: !extensions.is_empty() };
        (rest && VERSIONS.contains(&version)).then_some(pointer)
    }
}

/// The number in `ext-0-name`.
fn extension(name: &str) -> Option<u8> {
    let (number, name) = name.strip_prefix("ext-")?.split_once('-')?;
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    match number.as_bytes() {
        [digit @ b'0'..=b'9'] if name.bytes().next().is_some_and(word) => Some(*digit),
        _ => None,
    }
}

fn id(text: &str) -> Option<LfsId> {
    let hex = text.strip_prefix("sha256:")?.as_bytes();
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut id = LfsId::default();
    if hex.len() != 2 * id.len() {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(hex.chunks(2)) {
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Some(id)
}
