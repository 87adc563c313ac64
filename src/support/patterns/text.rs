//! Bytes as characters, the way Go reads them: what is no UTF-8 counts as one character a byte.

use std::borrow::Cow;

/// The byte `b` that is no UTF-8 becomes the private character U+10FF00 + b, so that it equals itself and nothing else that
/// a name is likely to hold, and one `?` stands for it.
const RAW: u32 = 0x0010_FF00;

/// Valid UTF-8 is itself.
pub fn readable(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() * 2);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(RAW + u32::from(*byte))));
    }
    Cow::Owned(text)
}

/// Whether a character of `readable` was a byte that is no UTF-8.
pub fn is_raw(c: char) -> bool {
    u32::from(c) >= RAW
}
