use std::io::Write;
use std::process::{Command, Stdio};

use super::*;
use crate::source::archive::format::Format;
use crate::support::limits::WINDOW;

const CODECS: [Codec; 4] = [Codec::Gzip, Codec::Zstd, Codec::Xz, Codec::Bzip2];

/// By the codec's own tool.
fn by_tool(codec: Codec, options: &[&str], bytes: &[u8]) -> Vec<u8> {
    let program = match codec {
        Codec::Gzip => "gzip",
        Codec::Zstd => "zstd",
        Codec::Xz => "xz",
        Codec::Bzip2 => "bzip2",
    };
    let mut command = Command::new(program);
    let mut child = command.args(["-c", "-q"]).args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{program} {options:?}");
    output.stdout
}

fn unpack(codec: Codec, bytes: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    let mut out = Vec::new();
    let read = reader(codec, bytes)?.read_to_end(&mut out);
    read.map(|_| out).map_err(|error| ArchiveError::from_io(error, Format::Compressed(codec)))
}

fn text() -> Vec<u8> {
    (0..400).flat_map(|n| format!("line {n} of some text, some more text\n").into_bytes()).collect()
}

#[test]
fn a5_what_each_tool_writes_is_read() {
    let text = text();
    let ways: [(Codec, &[&[&str]]); 4] = [
        (Codec::Gzip, &[&["-1"], &["-9"]]),
        (Codec::Zstd, &[&["-1"], &["-19"], &["--ultra", "-22"], &["--no-check"], &["--check"], &["--long=27"], &["-T2"]]),
        (Codec::Xz, &[&["-0"], &["-9e"], &["-Ccrc32"], &["-Csha256"], &["-Cnone"], &["--block-size=1000"], &["--x86", "--lzma2"]]),
        (Codec::Bzip2, &[&["-1"], &["-9"]]),
    ];
    for (codec, ways) in ways {
        for options in ways {
            assert_eq!(unpack(codec, &by_tool(codec, options, &text)).unwrap(), text, "{codec:?} {options:?}");
        }
        assert_eq!(unpack(codec, &by_tool(codec, &[], b"")).unwrap(), b"");
    }
}

#[test]
fn a7_streams_follow_each_other_and_nothing_else_does() {
    for codec in CODECS {
        let [one, none, two] = [&b"one "[..], b"", b"two"].map(|text| by_tool(codec, &[], text));
        let all = [one, none, two].concat();
        assert_eq!(unpack(codec, &all).unwrap(), b"one two", "{codec:?}");
        for tail in [&b"\x01"[..], b"junk", b"PK\x03\x04", &[7; 512]] {
            let error = unpack(codec, &[&all[..], tail].concat()).unwrap_err();
            let refused = matches!(&error, ArchiveError::Format(text) if text.contains("follows the end"));
            // Shorter than a magic number, it may as well be the beginning of one.
            assert!(refused || (tail.len() < 4 && matches!(error, ArchiveError::Truncated(_))), "{codec:?} {tail:?}: {error}");
        }
        let magic = codec.magic();
        for length in 1..=magic.len() {
            let error = unpack(codec, &[&all[..], &magic[..length]].concat()).unwrap_err();
            assert!(matches!(error, ArchiveError::Truncated(_)), "{codec:?} {length}: {error}");
        }
    }
    for (codec, tail) in [(Codec::Gzip, &[0; 512][..]), (Codec::Bzip2, &[0; 512]), (Codec::Zstd, &[0; 512]), (Codec::Xz, &[0; 3])] {
        let all = by_tool(codec, &[], b"text");
        assert!(unpack(codec, &[&all[..], tail].concat()).is_err(), "{codec:?}");
    }
    // xz has padding of its own, and zstd frames that hold nothing.
    let xz = by_tool(Codec::Xz, &[], b"text");
    assert_eq!(unpack(Codec::Xz, &[&xz[..], &[0; 8], &xz].concat()).unwrap(), b"texttext");
    let skippable = b"\x5a\x2a\x4d\x18\x03\0\0\0abc";
    let zstd = by_tool(Codec::Zstd, &[], b"text");
    assert_eq!(unpack(Codec::Zstd, &[&zstd[..], skippable, &zstd, skippable].concat()).unwrap(), b"texttext");
    assert!(matches!(unpack(Codec::Zstd, &[&zstd[..], &skippable[..9]].concat()), Err(ArchiveError::Truncated(_))));
}

#[test]
fn a7_every_cut_and_every_flipped_bit_is_seen() {
    let short = b"some text, some more text, some text";
    for codec in CODECS {
        let whole = by_tool(codec, if codec == Codec::Zstd { &["--check"] } else { &[] }, short);
        for cut in 1..whole.len() {
            let error = unpack(codec, &whole[..cut]).unwrap_err();
            assert!(matches!(error, ArchiveError::Truncated(_)), "{codec:?} {cut}: {error}");
        }
        // The bytes of gzip's header (time, system) carry nothing.
        for at in if codec == Codec::Gzip { 10 } else { 0 }..whole.len() {
            for bit in [1, 0x10, 0x80] {
                let mut bad = whole.clone();
                bad[at] ^= bit;
                // Whatever a header's bit is good for, the text is the same or nothing.
                assert!(unpack(codec, &bad).is_ok_and(|got| got == short) || unpack(codec, &bad).is_err(), "{codec:?} {at} {bit}");
            }
        }
        // Within the last sum or mark: of bzip2's last byte, some bits only fill it up.
        let mut bad = whole.clone();
        bad[whole.len() - 3] ^= 0x10;
        assert!(unpack(codec, &bad).is_err(), "{codec:?}");
    }
}

/// Both tools state the window that was asked for, whatever there is to compress, where they do not know how much it is.
#[test]
fn a4_a_window_over_the_limit_is_refused_by_its_name() {
    for (codec, options) in [
        (Codec::Zstd, &["--long=28", "--ultra"][..]),
        (Codec::Zstd, &["--long=31", "--ultra"]),
        (Codec::Xz, &["--lzma2=preset=0,dict=129MiB"]),
        (Codec::Xz, &["--lzma2=preset=0,dict=1536MiB"]),
    ] {
        let bytes = by_tool(codec, options, b"text");
        let error = unpack(codec, &bytes).unwrap_err();
        assert!(matches!(error, ArchiveError::Limit { limit: WINDOW, .. }), "{options:?}: {error}");
        // Also in a stream that is not the first.
        let second = [by_tool(codec, &[], b"text"), bytes].concat();
        assert!(matches!(unpack(codec, &second), Err(ArchiveError::Limit { limit: WINDOW, .. })), "{options:?}");
    }
    for (codec, options) in [(Codec::Zstd, &["--long=27"][..]), (Codec::Xz, &["--lzma2=preset=0,dict=128MiB"])] {
        assert_eq!(unpack(codec, &by_tool(codec, options, b"text")).unwrap(), b"text");
    }
}
