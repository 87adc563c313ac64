//! One 512-byte header block of a tar, read strictly: what cannot be understood is refused, since a reader that guesses is a
//! reader that sees other files than the next one does.
//!
//! Formats: ustar (POSIX.1-2017, pax, "ustar Interchange Format"), GNU (GNU tar manual, "Basic Tar Format": base-256 numbers,
//! no prefix), star's shorter prefix, and v7, which has no mark at all.

/// Bytes of a block.
pub const BLOCK: usize = 512;

/// What a header says of its entry, names still as they stand in the block.
#[derive(Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// `0`, `1`, `5`, `x`, `L`…; v7's NUL is given as `0`.
    pub kind: u8,
    pub prefix: &'a [u8],
    pub name: &'a [u8],
    pub link: &'a [u8],
    /// Bytes that follow the header, padded to whole blocks.
    pub size: u64,
    /// Permission, set-id and sticky bits.
    pub mode: u32,
    /// Seconds since the epoch.
    pub seconds: i64,
}

/// `None` for a block of zeros, which ends an archive. The error is a rule for people.
pub fn parse(block: &[u8; BLOCK]) -> Result<Option<Header<'_>>, &'static str> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if !sum_matches(block)? {
        return Err("the header's checksum is wrong");
    }
    let prefix = match (&block[257..263], &block[263..265], &block[508..512]) {
        (b"ustar\0", _, b"tar\0") => &block[345..476],
        (b"ustar\0", ..) => &block[345..500],
        (b"ustar ", ..) | (b"\0\0\0\0\0\0", b"\0\0", _) => &[],
        _ => return Err("the header's format is unknown"),
    };
    let size = u64::try_from(number(&block[124..136])?).map_err(|_| "the size is negative")?;
    let mode = u32::try_from(number(&block[100..108])? & 0o7777).unwrap_or_default();
    let kind = if block[156] == 0 { b'0' } else { block[156] };
    let seconds = number(&block[136..148])?;
    Ok(Some(Header { kind, prefix: text(prefix), name: text(&block[..100]), link: text(&block[157..257]), size, mode, seconds }))
}

/// Whether the block calls itself a tar header, right or wrong.
pub fn is_marked(block: &[u8; BLOCK]) -> bool {
    block[257..262] == *b"ustar"
}

/// A field of text ends at its first NUL, or is full.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The sum of all bytes, its own field counted as blanks. Some old writers added them as signed.
fn sum_matches(block: &[u8; BLOCK]) -> Result<bool, &'static str> {
    let stated = number(&block[148..156])?;
    let bytes = || block[..148].iter().chain(&[b' '; 8]).chain(&block[156..]);
    let unsigned: i64 = bytes().map(|byte| i64::from(*byte)).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    Ok(stated == unsigned || stated == signed)
}

/// Octal digits between blanks and NULs, or GNU's base-256: the first bit set, then a big-endian two's complement.
pub fn number(field: &[u8]) -> Result<i64, &'static str> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base256(field),
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Result<i64, &'static str> {
    let start = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
    let digits = field[start..].split(|byte| matches!(byte, 0 | b' ')).next().unwrap_or_default();
    let rest = &field[start + digits.len()..];
    if !digits.iter().all(|byte| (b'0'..=b'7').contains(byte)) || !rest.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Err("a number in the header is malformed");
    }
    // Eleven digits of three bits each: no overflow.
    Ok(digits.iter().fold(0, |value, digit| value << 3 | i64::from(digit - b'0')))
}

fn base256(field: &[u8]) -> Result<i64, &'static str> {
    let negative = field[0] & 0x40 != 0;
    let first = if negative { field[0] } else { field[0] & 0x7f };
    let fill = if negative { 0xff } else { 0 };
    let (high, low) = field.split_at(field.len().saturating_sub(8));
    let mut value = [fill; 8];
    value[8 - low.len()..].copy_from_slice(low);
    let above = high.iter().enumerate().map(|(index, byte)| if index == 0 { first } else { *byte });
    if high.is_empty() {
        value[8 - low.len()] = first;
    } else if !above.into_iter().all(|byte| byte == fill) || (value[0] ^ fill) & 0x80 != 0 {
        return Err("a number in the header is too large");
    }
    Ok(i64::from_be_bytes(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256_or_refused() {
        let table: &[(&[u8], Option<i64>)] = &[
            (b"0000644\0", Some(0o644)),
            (b" 644 \0\0\0", Some(0o644)),
            (b"00000000000\0", Some(0)),
            (b"777777777777", Some(0o777_777_777_777)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"0000648\0", None),
            (b"-000001\0", None),
            (b"+000001\0", None),
            (b"0x00001\0", None),
            (b"0000\x0001\0", None),
            (b"00 1\0\0\0\0", None),
            (b"\x80\0\0\0\0\0\0\x05", Some(5)),
            (b"\x80\0\0\0\0\0\0\0\0\x01\0\0", Some(65536)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", None),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ];
        for (field, want) in table {
            assert_eq!(number(field).ok(), *want, "{field:?}");
        }
    }

    #[test]
    fn a_block_is_zeros_a_header_or_refused() {
        assert_eq!(parse(&[0; BLOCK]), Ok(None));
        let mut header = tar::Header::new_gnu();
        header.set_path("name").unwrap();
        header.set_size(7);
        header.set_mode(0o104_755);
        header.set_mtime(9);
        header.set_cksum();
        let block = *header.as_bytes();
        let parsed = parse(&block).unwrap().unwrap();
        assert_eq!((parsed.name, parsed.size, parsed.mode, parsed.seconds, parsed.kind), (&b"name"[..], 7, 0o4755, 9, b'0'));
        for at in 0..BLOCK {
            let mut changed = block;
            changed[at] ^= 0x01;
            // The checksum's own field may be written in other ways that mean the same.
            assert!(parse(&changed).is_err() || (148..156).contains(&at), "{at}");
        }
    }
}
