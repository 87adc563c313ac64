//! What a server says beside the pack: its capabilities, its progress, its reasons.
//!
//! libgit2 drops the text of a side-band error and keeps capabilities to itself, so the stream is read along here. The
//! scanner only follows the pkt-line framing (gitprotocol-common(5)); it never changes or holds back a byte.

/// Something people should know although the fetch succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub message: String,
    pub hint: Option<String>,
}

/// Bytes kept of what a server says; the last ones count.
const MOST_SAID: usize = 2048;

/// Bytes kept of a packet that may hold capabilities (gitprotocol-pack(5) bounds a packet at 65520).
const MOST_FIRST: usize = 65520;

/// gitprotocol-capabilities(5), as far as it decides something here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub known: bool,
    pub shallow: bool,
    /// Any id that a ref points at, also a hidden one.
    pub tip: bool,
    /// Any id that can be reached from a ref.
    pub reachable: bool,
    pub sha256: bool,
}

/// Follows one response.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    head: Vec<u8>,
    left: usize,
    band: Option<Band>,
    kept: Vec<u8>,
    off: bool,
    /// The list of refs is over.
    pub listed: bool,
    /// The list has a name that is no UTF-8: git2 would panic over it (`RemoteHead::name`).
    pub unreadable: bool,
    pub capabilities: Capabilities,
    pub errors: Vec<u8>,
    pub progress: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Band {
    Data,
    Progress,
    Error,
    Line,
}

impl Scanner {
    /// The next bytes, cut anywhere.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.off {
            bytes = if self.left == 0 { self.length(bytes) } else { self.payload(bytes) };
        }
    }

    /// What the server gave as the reason of a failure, or else the last of its progress.
    pub fn said(&self) -> Option<String> {
        let text = if self.errors.is_empty() { &self.progress } else { &self.errors };
        readable(text)
    }

    fn length<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let take = (4 - self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..take]);
        if self.head.len() == 4 {
            let length = std::str::from_utf8(&self.head).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
            self.head.clear();
            match length {
                // Flush and the delimiters of protocol 2 have no payload.
                Some(length) => {
                    self.left = length.saturating_sub(4);
                    self.listed |= length == 0 && self.capabilities.known;
                }
                None => self.off = true,
            }
        }
        &bytes[take..]
    }

    fn payload<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (now, rest) = bytes.split_at(self.left.min(bytes.len()));
        self.left -= now.len();
        let (band, text) = match self.band {
            Some(band) => (band, now),
            None => match now.split_first() {
                Some((1, text)) => (Band::Data, text),
                Some((2, text)) => (Band::Progress, text),
                Some((3, text)) => (Band::Error, text),
                _ => (Band::Line, now),
            },
        };
        match band {
            Band::Data => {}
            Band::Progress => append(&mut self.progress, text),
            Band::Error => append(&mut self.errors, text),
            Band::Line => self.line(text),
        }
        self.band = (self.left > 0).then_some(band);
        rest
    }

    fn line(&mut self, text: &[u8]) {
        if self.kept.len() < MOST_FIRST {
            self.kept.extend_from_slice(&text[..text.len().min(MOST_FIRST - self.kept.len())]);
        }
        if self.left > 0 {
            return;
        }
        let line = std::mem::take(&mut self.kept);
        self.unreadable |= !self.listed && std::str::from_utf8(&line).is_err();
        if let Some(text) = line.strip_prefix(b"ERR ") {
            append(&mut self.errors, text);
        } else if let Some(nul) = line.iter().position(|b| *b == 0).filter(|_| !self.capabilities.known) {
            self.capabilities = parse(&String::from_utf8_lossy(&line[nul + 1..]));
        }
    }
}

fn parse(text: &str) -> Capabilities {
    let has = |name: &str| text.split_ascii_whitespace().any(|word| word == name);
    Capabilities {
        known: true,
        shallow: has("shallow"),
        tip: has("allow-tip-sha1-in-want"),
        reachable: has("allow-reachable-sha1-in-want"),
        sha256: has("object-format=sha256"),
    }
}

fn append(kept: &mut Vec<u8>, text: &[u8]) {
    kept.extend_from_slice(text);
    let over = kept.len().saturating_sub(MOST_SAID);
    kept.drain(..over);
}

/// One line for people: the last 400 characters, nothing a terminal would obey, only the end of overwritten lines.
pub(super) fn readable(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<String> = text
        .split('\n')
        .filter_map(|line| line.trim_end_matches('\r').rsplit('\r').next())
        .map(|line| line.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    let line = lines.join("; ");
    let skip = line.chars().count().saturating_sub(400);
    (!line.is_empty()).then(|| line.chars().skip(skip).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(payload: &[u8]) -> Vec<u8> {
        [format!("{:04x}", payload.len() + 4).as_bytes(), payload].concat()
    }

    #[test]
    fn the_stream_is_understood_wherever_it_is_cut() {
        let stream = [
            packet(b"# service=git-upload-pack\n"),
            b"0000".to_vec(),
            packet(b"aaaa HEAD\0multi_ack shallow allow-tip-sha1-in-want object-format=sha1\n"),
            packet(b"\x01PACK-data-0000-0005"),
            packet(b"\x02Counting: 1%\rCounting: 100%\n"),
            packet(b"\x03fatal: \x1b[31mno\n"),
            packet(b"ERR upload-pack: not our ref x"),
            b"PACKraw".to_vec(),
        ]
        .concat();
        for cut in 0..stream.len() {
            let mut scanner = Scanner::default();
            scanner.feed(&stream[..cut]);
            scanner.feed(&stream[cut..]);
            assert_eq!(scanner.capabilities, Capabilities { known: true, shallow: true, tip: true, ..Capabilities::default() });
            assert_eq!(scanner.said().unwrap(), "fatal: [31mno; upload-pack: not our ref x", "{cut}");
            assert_eq!(readable(&scanner.progress).unwrap(), "Counting: 100%");
            assert!(scanner.off);
        }
    }

    #[test]
    fn what_a_server_says_is_bounded() {
        let mut scanner = Scanner::default();
        for _ in 0..1000 {
            scanner.feed(&packet(&[&b"\x03"[..], &[b'x'; 1000]].concat()));
        }
        assert_eq!(scanner.errors.len(), MOST_SAID);
        assert_eq!(scanner.said().unwrap().len(), 400);
    }
}
