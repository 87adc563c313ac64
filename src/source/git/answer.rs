//! The answer to a fetch in protocol version 2, as libgit2 expects it in version 0: the commits at which the history is cut, then
//! `NAK`, then the pack in its side-band.

use std::io::{self, Read};

use super::pkt::{self, FLUSH, Fault, Kind};
use crate::support::limits::{GIT_CUTS, GIT_CUTS_MOST};

/// Where in the answer it is (gitprotocol-v2(5), "fetch").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    /// Before the first section's name.
    Start,
    ShallowInfo,
    /// Before the name of the section behind `shallow-info`.
    Between,
    Packfile,
    Over,
}

/// One answer on its way. What one read gives never reaches beyond the end of the first of libgit2's two steps of a shallow fetch,
/// so that the second step may go on with it.
#[derive(Debug)]
pub(super) struct Answer {
    /// libgit2 waits to be told where the history is cut.
    deepens: bool,
    section: Section,
    cuts: u64,
    /// A packet as it came, or what takes its place; it is told as far as `at`.
    packet: Vec<u8>,
    at: usize,
    /// It comes behind the packet.
    nak: bool,
}

const NAK: &[u8] = b"0008NAK\n";

impl Answer {
    pub fn new(deepens: bool) -> Self {
        Self { deepens, section: Section::Start, cuts: 0, packet: Vec::new(), at: 0, nak: false }
    }

    /// The next bytes of version 0, of what `source` gives of version 2; none when it is over.
    pub fn read(&mut self, source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.packet.len() && (self.nak || self.section != Section::Over) {
            self.at = 0;
            if std::mem::take(&mut self.nak) {
                self.packet.clear();
                self.packet.extend_from_slice(NAK);
            } else if !self.next(source)? {
                self.packet.clear();
            }
        }
        let count = (&self.packet[self.at..]).read(buffer)?;
        self.at += count;
        Ok(count)
    }

    /// Reads a packet, and answers whether what is now in its place is for libgit2.
    fn next(&mut self, source: &mut impl Read) -> io::Result<bool> {
        let kind = pkt::read(source, &mut self.packet)?;
        if kind == Kind::Line && self.packet[4..].starts_with(b"ERR ") {
            self.section = Section::Over;
            return Ok(true);
        }
        match (self.section, kind) {
            (Section::Start | Section::Between, Kind::Line) => self.begin(),
            (Section::ShallowInfo, Kind::Line) => self.cut(),
            (Section::ShallowInfo, Kind::Delimiter) => {
                self.section = Section::Between;
                Ok(self.end_of_cuts())
            }
            (Section::Packfile, Kind::Line) if matches!(self.packet[4], 1..=3) => Ok(true),
            (Section::Packfile, Kind::Flush) => {
                self.section = Section::Over;
                Ok(true)
            }
            _ => Err(Fault::Strange("its answer to a fetch is in no order").into()),
        }
    }

    fn begin(&mut self) -> io::Result<bool> {
        match (self.section, pkt::text(&self.packet)) {
            (Section::Start, b"shallow-info") => {
                self.section = Section::ShallowInfo;
                Ok(false)
            }
            (section, b"packfile") => {
                self.section = Section::Packfile;
                self.nak = true;
                Ok(section == Section::Start && self.end_of_cuts())
            }
            _ => Err(Fault::Strange("a section that was not asked for").into()),
        }
    }

    /// libgit2 takes no line feed here. A server whose own history is cut says so without being asked.
    fn cut(&mut self) -> io::Result<bool> {
        self.cuts += 1;
        if self.cuts > GIT_CUTS_MOST {
            return Err(Fault::Over(GIT_CUTS, GIT_CUTS_MOST).into());
        }
        let line = pkt::text(&self.packet);
        let id = line.strip_prefix(b"shallow ").or_else(|| line.strip_prefix(b"unshallow "));
        if !id.is_some_and(|id| id.len() == 40 && id.iter().all(u8::is_ascii_hexdigit)) {
            return Err(Fault::Strange("a line in shallow-info that is no commit").into());
        }
        let mut packet = Vec::new();
        pkt::write(&mut packet, line);
        self.packet = packet;
        Ok(self.deepens)
    }

    fn end_of_cuts(&mut self) -> bool {
        self.packet.clear();
        self.packet.extend_from_slice(FLUSH);
        self.deepens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUT: &str = "shallow 1111111111111111111111111111111111111111";

    fn packets(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            match *line {
                "0000" | "0001" => out.extend_from_slice(line.as_bytes()),
                line => pkt::write(&mut out, line.as_bytes()),
            }
        }
        out
    }

    /// All that libgit2 would read, in what one read gives at most each time.
    fn read(mut source: impl Read, deepens: bool) -> io::Result<Vec<Vec<u8>>> {
        let (mut answer, mut pieces) = (Answer::new(deepens), Vec::new());
        let mut buffer = vec![0; 70_000];
        loop {
            match answer.read(&mut source, &mut buffer)? {
                0 => return Ok(pieces),
                count => pieces.push(buffer[..count].to_vec()),
            }
        }
    }

    fn fault(source: &[u8], deepens: bool) -> Fault {
        read(source, deepens).unwrap_err().downcast().unwrap()
    }

    #[test]
    fn a_shallow_answer_is_the_cuts_and_then_the_pack_wherever_it_is_cut() {
        let stream =
            packets(&["shallow-info\n", &format!("{CUT}\n"), "0001", "packfile\n", "\x02counting\n", "\x01PACK", "\x01\0\n", "0000"]);
        let want = [packets(&[CUT]), packets(&["0000"]), packets(&["NAK\n"])];
        let pack = [packets(&["\x02counting\n"]), packets(&["\x01PACK"]), packets(&["\x01\0\n"]), packets(&["0000"])];
        for cut in 0..stream.len() {
            let pieces = read(stream[..cut].chain(&stream[cut..]), true).unwrap();
            // Each on its own, so that the first step ends with its flush.
            assert_eq!(pieces, [&want[..], &pack].concat());
            assert_eq!(read(stream[..cut].chain(&stream[cut..]), false).unwrap(), [&want[2..], &pack].concat());
            assert_eq!(fault(&stream[..cut], true), Fault::Ended, "{cut}");
        }
        let whole = packets(&["packfile\n", "\x01PACK", "0000"]);
        assert_eq!(read(&whole[..], true).unwrap().concat(), packets(&["0000", "NAK\n", "\x01PACK", "0000"]));
        assert_eq!(read(&whole[..], false).unwrap().concat(), packets(&["NAK\n", "\x01PACK", "0000"]));
    }

    #[test]
    fn a_read_may_be_of_any_size() {
        let stream = packets(&["shallow-info\n", CUT, "0001", "packfile\n", "\x01PACK", "0000"]);
        let (mut answer, mut source, mut got, mut buffer) = (Answer::new(true), &stream[..], Vec::new(), [0; 3]);
        loop {
            match answer.read(&mut source, &mut buffer).unwrap() {
                0 => break,
                count => got.extend_from_slice(&buffer[..count]),
            }
        }
        assert_eq!(got, packets(&[CUT, "0000", "NAK\n", "\x01PACK", "0000"]));
    }

    #[test]
    fn the_servers_reason_is_passed_on_wherever_it_comes() {
        let error = "ERR upload-pack: not our ref";
        for (before, deepens) in [(&[][..], true), (&["shallow-info\n"], true), (&["packfile\n"], false), (&["packfile\n", "\x01P"], true)]
        {
            let stream = packets(&[before, &[error, "0000"]].concat());
            assert_eq!(read(&stream[..], deepens).unwrap().last().unwrap(), &packets(&[error]));
        }
    }

    #[test]
    fn g11_an_answer_in_no_order_is_an_error() {
        for lines in [
            &["0000"][..],
            &["0001"],
            &["acknowledgments\n", "NAK\n"],
            &["wanted-refs\n"],
            &["packfile-uris\n"],
            &["shallow-info\n", "0000"],
            &["shallow-info\n", "shallow 1234\n"],
            &["shallow-info\n", "\x01PACK"],
            &["shallow-info\n", "0001", "shallow-info\n"],
            &["packfile\n", "0001"],
            &["packfile\n", "\x04what"],
            &["packfile\n", "PACK"],
        ] {
            for deepens in [true, false] {
                assert!(matches!(fault(&packets(lines), deepens), Fault::Strange(_)), "{lines:?}");
            }
        }
        let endless = [packets(&["shallow-info\n"]), packets(&[CUT]).repeat(100_000)].concat();
        assert_eq!(fault(&endless, false), Fault::Over(GIT_CUTS, GIT_CUTS_MOST));
    }
}
