//! gitprotocol-v2(5) for libgit2, which speaks version 0 alone: what the server offers, the list of refs, the request.
//!
//! Everything above sees version 0: the list as a server of old would have sent it, of those refs alone that were asked for.
//! `answer` has the other half, the answer to a fetch.

use std::io::{self, Cursor, Read};

use super::GitError;
use super::pkt::{self, DELIMITER, FLUSH, Fault, Kind};
use super::resolve::Asked;
use crate::model::GitRef;
use crate::support::limits::{GIT_REFS, GIT_REFS_BYTES};

/// How a client asks for it, in a header of http, in ssh's environment, and in the greeting of git's daemon.
pub(super) const ASKED: &str = "version=2";

/// Lines of a server about what it can do: there are some ten.
const MOST_OFFERED: usize = 256;

/// What libgit2 may use, in the words of version 0; all of it is part of version 2.
const USUAL: &str = "side-band-64k ofs-delta include-tag allow-tip-sha1-in-want allow-reachable-sha1-in-want";

/// What may be asked of a fetch, in the words of both versions.
const OPTIONS: [&str; 2] = ["ofs-delta", "include-tag"];

/// What a server of version 2 can do, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    pub shallow: bool,
}

/// How a server begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opening {
    Version2(Offer),
    /// Whatever else it is begins with these bytes, which are for libgit2.
    Other(Vec<u8>),
}

/// Reads what a server says first, as far as it takes to know the version; all that it offers in version 2.
pub(super) fn open(source: &mut impl Read) -> io::Result<Opening> {
    let (mut seen, mut packet) = (Vec::new(), Vec::new());
    loop {
        let read = pkt::read(source, &mut packet);
        seen.extend_from_slice(&packet);
        match read {
            Ok(Kind::Line) if pkt::text(&packet) == b"version 2" => return offer(source).map(Opening::Version2),
            // Over http some say the service first, as in version 0 (gitprotocol-http(5)): two packets.
            Ok(Kind::Line) if seen.len() == packet.len() && packet[4..].starts_with(b"# service=") => {}
            Ok(Kind::Flush) if seen.len() > packet.len() => {}
            Err(error) if error.get_ref().is_none_or(|cause| !cause.is::<Fault>()) => return Err(error),
            _ => return Ok(Opening::Other(seen)),
        }
    }
}

fn offer(source: &mut impl Read) -> io::Result<Offer> {
    let (mut offer, mut lists, mut fetches, mut packet) = (Offer::default(), false, false, Vec::new());
    for _ in 0..MOST_OFFERED {
        if pkt::read(source, &mut packet)? != Kind::Line {
            let complete = lists && fetches;
            return if complete { Ok(offer) } else { Err(Fault::Strange("it offers no ls-refs, or no fetch").into()) };
        }
        let line = String::from_utf8_lossy(pkt::text(&packet)).into_owned();
        match line.split_once('=').unwrap_or((&line, "")) {
            ("ls-refs", _) => lists = true,
            ("fetch", features) => {
                fetches = true;
                offer.shallow = features.split(' ').any(|feature| feature == "shallow");
            }
            ("object-format", "sha256") => return Err(Fault::Sha256.into()),
            _ => {}
        }
    }
    Err(Fault::Strange("it offers without an end").into())
}

/// The request for the refs with these prefixes; for all, where there are none.
pub(super) fn ls_refs(prefixes: &[String]) -> Vec<u8> {
    let mut request = Vec::new();
    pkt::write(&mut request, b"command=ls-refs\n");
    request.extend_from_slice(DELIMITER);
    pkt::write(&mut request, b"peel\n");
    pkt::write(&mut request, b"symrefs\n");
    for prefix in prefixes {
        pkt::write(&mut request, format!("ref-prefix {prefix}\n").as_bytes());
    }
    request.extend_from_slice(FLUSH);
    request
}

/// Lists what is asked for, by way of `ask`. Where a name is wanted and nothing was found, all is listed: what is then said of
/// the name has to be true of the whole repository.
pub(super) fn list(asked: &Asked, mut ask: impl FnMut(&[String]) -> Result<List, GitError>) -> Result<List, GitError> {
    if asked.prefixes.is_empty() {
        return Ok(List::default());
    }
    let list = ask(&asked.prefixes)?;
    if list.is_empty() && asked.named { ask(&[]) } else { Ok(list) }
}

/// Refs as version 0 lists them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    /// The first, which is followed by what the server can do.
    first: Option<String>,
    /// The others, as packets.
    rest: Vec<u8>,
    /// What `HEAD` stands for.
    target: Option<String>,
    /// What the server has to say instead.
    refused: Option<Vec<u8>>,
}

impl List {
    /// Reads the answer to `ls-refs`. A server may send more than was asked for, and that is left out.
    pub fn read(source: &mut impl Read, prefixes: &[String]) -> io::Result<Self> {
        let (mut list, mut packet, mut bytes) = (Self::default(), Vec::new(), 0);
        while pkt::read(source, &mut packet)? == Kind::Line {
            bytes += packet.len() as u64;
            if bytes > GIT_REFS_BYTES {
                return Err(Fault::Over(GIT_REFS, GIT_REFS_BYTES).into());
            }
            if packet[4..].starts_with(b"ERR ") {
                return Ok(Self { refused: Some(packet), ..Self::default() });
            }
            // No request can name such a ref.
            let Ok(line) = std::str::from_utf8(pkt::text(&packet)) else { continue };
            let mut words = line.split(' ');
            let (id, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            if !is_id(id) || name.is_empty() || line.chars().any(char::is_control) {
                return Err(Fault::Strange("a line in its list that is no ref").into());
            }
            if prefixes.is_empty() || prefixes.iter().any(|prefix| name.starts_with(prefix)) {
                list.add(id, name, words);
            }
        }
        Ok(list)
    }

    fn add<'a>(&mut self, id: &str, name: &str, attributes: impl Iterator<Item = &'a str>) {
        self.push(id, name);
        for attribute in attributes {
            match attribute.split_once(':') {
                Some(("peeled", id)) if is_id(id) => self.push(id, &format!("{name}^{{}}")),
                Some(("symref-target", target)) if name == "HEAD" && GitRef::parse(target).is_ok() => {
                    self.target = Some(target.to_owned());
                }
                _ => {}
            }
        }
    }

    fn push(&mut self, id: &str, name: &str) {
        let line = format!("{id} {name}");
        match self.first {
            None => self.first = Some(line),
            Some(_) => pkt::write(&mut self.rest, format!("{line}\n").as_bytes()),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.refused.is_none()
    }

    /// The list in version 0 (gitprotocol-pack(5), "Reference Discovery"), after what comes before it.
    pub fn into_version0(self, before: &[u8], offer: Offer) -> impl Read + Send + use<> {
        let mut head = before.to_vec();
        if let Some(refused) = self.refused {
            head.extend_from_slice(&refused);
        } else {
            let first = self.first.unwrap_or_else(|| format!("{} capabilities^{{}}", "0".repeat(40)));
            let shallow = if offer.shallow { " shallow" } else { "" };
            let target = self.target.map(|target| format!(" symref=HEAD:{target}")).unwrap_or_default();
            pkt::write(&mut head, format!("{first}\0{USUAL}{shallow}{target}\n").as_bytes());
        }
        Cursor::new(head).chain(Cursor::new(self.rest)).chain(FLUSH)
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What libgit2 asks for (gitprotocol-pack(5), "Packfile Negotiation"): of a repository that is still empty, so it has nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wants {
    ids: Vec<String>,
    options: Vec<&'static str>,
    deepen: Option<String>,
}

impl Wants {
    /// With whether libgit2 is done; `None` where it says something else than a first fetch would.
    pub fn parse(mut request: &[u8]) -> Option<(Self, bool)> {
        let (mut wants, mut done, mut packet) = (Self::default(), false, Vec::new());
        while !request.is_empty() {
            match pkt::read(&mut request, &mut packet).ok()? {
                Kind::Flush => continue,
                Kind::Delimiter => return None,
                Kind::Line => {}
            }
            let line = std::str::from_utf8(pkt::text(&packet)).ok()?;
            match line.split_once(' ') {
                Some(("want", rest)) => {
                    let mut words = rest.split(' ');
                    wants.ids.push(words.next().filter(|id| is_id(id))?.to_owned());
                    wants.options.extend(words.filter_map(|word| OPTIONS.into_iter().find(|option| *option == word)));
                }
                Some(("deepen", depth)) => wants.deepen = Some(depth.to_owned()),
                None if line == "done" => done = true,
                _ => return None,
            }
        }
        (!wants.ids.is_empty()).then_some((wants, done))
    }

    pub fn deepens(&self) -> bool {
        self.deepen.is_some()
    }

    /// The one request that version 2 needs for it.
    pub fn command(&self) -> Vec<u8> {
        let mut request = Vec::new();
        pkt::write(&mut request, b"command=fetch\n");
        request.extend_from_slice(DELIMITER);
        let options = self.options.iter().map(|option| format!("{option}\n"));
        let deepen = self.deepen.iter().map(|depth| format!("deepen {depth}\n"));
        let wants = self.ids.iter().map(|id| format!("want {id}\n"));
        for line in options.chain(deepen).chain(wants) {
            pkt::write(&mut request, line.as_bytes());
        }
        pkt::write(&mut request, b"done\n");
        request.extend_from_slice(FLUSH);
        request
    }
}

/// libgit2's own mistake, or ours.
pub(super) fn not_first() -> GitError {
    GitError::Library("it asked for something else than a first fetch".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "000eversion 2\n0015agent=git/2.47.3\n0013ls-refs=unborn\n0027fetch=shallow wait-for-done filter\n\
                         0012server-option\n0017object-format=sha1\n0000";

    fn packets(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            pkt::write(&mut out, line.as_bytes());
        }
        out.extend_from_slice(FLUSH);
        out
    }

    fn fault<T: std::fmt::Debug>(outcome: io::Result<T>) -> Fault {
        outcome.unwrap_err().downcast().unwrap()
    }

    #[test]
    fn the_version_is_known_wherever_the_answer_is_cut() {
        for before in ["", "001e# service=git-upload-pack\n0000"] {
            let answer = format!("{before}{OFFER}").into_bytes();
            for cut in 0..answer.len() {
                let mut source = answer[..cut].chain(&answer[cut..]);
                assert_eq!(open(&mut source).unwrap(), Opening::Version2(Offer { shallow: true }), "{cut}");
                // Less than all of it is no offer, and nothing of another version is lost.
                match open(&mut &answer[..cut]) {
                    Ok(Opening::Other(seen)) => assert_eq!(seen, answer[..cut]),
                    other => assert_eq!(fault(other), Fault::Ended, "{cut}"),
                }
            }
        }
    }

    #[test]
    fn what_is_not_version_2_is_left_to_libgit2_whole() {
        let id = "1".repeat(40);
        let list = packets(&[&format!("{id} HEAD\0multi_ack\n"), &format!("{id} refs/heads/main\n")]);
        let service = [b"001e# service=git-upload-pack\n0000".to_vec(), list.clone()].concat();
        for answer in [&list[..], &service, b"", b"0000", b"00000000", b"zzzz", b"000eversion 1\n", b"000dERR noo\n0000", &[0; 99]] {
            let mut source = answer;
            let Opening::Other(seen) = open(&mut source).unwrap() else { panic!("{answer:?}") };
            assert_eq!([&seen, source].concat(), answer);
        }
    }

    #[test]
    fn g11_an_offer_is_bounded_and_enough() {
        let endless = packets(&["version 2\n"].into_iter().chain([("x\n"); 300]).collect::<Vec<_>>());
        assert_eq!(fault(open(&mut &endless[..])), Fault::Strange("it offers without an end"));
        let poor = packets(&["version 2\n", "fetch=shallow\n"]);
        assert_eq!(fault(open(&mut &poor[..])), Fault::Strange("it offers no ls-refs, or no fetch"));
        let other = packets(&["version 2\n", "ls-refs\n", "fetch\n", "object-format=sha256\n"]);
        assert_eq!(fault(open(&mut &other[..])), Fault::Sha256);
        let plain = packets(&["version 2\n", "ls-refs\n", "fetch\n"]);
        assert_eq!(open(&mut &plain[..]).unwrap(), Opening::Version2(Offer { shallow: false }));
    }

    #[test]
    fn a_list_is_asked_for_by_prefix_and_becomes_one_of_version_0() {
        let prefixes = ["HEAD", "refs/tags/v1"].map(str::to_owned);
        let want = "0014command=ls-refs\n00010009peel\n000csymrefs\n0014ref-prefix HEAD\n001cref-prefix refs/tags/v1\n0000";
        assert_eq!(String::from_utf8(ls_refs(&prefixes)).unwrap(), want);
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let answer = packets(&[
            &format!("{a} HEAD symref-target:refs/heads/main\n"),
            &format!("{a} refs/heads/unasked\n"),
            &format!("{b} refs/tags/v1 peeled:{a} more:x\n"),
        ]);
        let words = format!("{USUAL} shallow symref=HEAD:refs/heads/main");
        let want = packets(&[&format!("{a} HEAD\0{words}\n"), &format!("{b} refs/tags/v1\n"), &format!("{a} refs/tags/v1^{{}}\n")]);
        for cut in 0..answer.len() {
            let list = List::read(&mut answer[..cut].chain(&answer[cut..]), &prefixes).unwrap();
            let mut got = Vec::new();
            list.into_version0(b"", Offer { shallow: true }).read_to_end(&mut got).unwrap();
            assert_eq!(got, want);
            assert_eq!(fault(List::read(&mut &answer[..cut], &prefixes)), Fault::Ended);
        }
    }

    #[test]
    fn g11_a_list_that_is_none_is_an_error_and_a_large_one_meets_its_bound() {
        let id = "1".repeat(40);
        for line in ["", "HEAD", "1111 HEAD", &*id, &format!("{id} a\0b"), &format!("{id} a\x1bb"), "unborn HEAD"] {
            let answer = packets(&[&format!("{line}\n")]);
            assert_eq!(fault(List::read(&mut &answer[..], &[])), Fault::Strange("a line in its list that is no ref"), "{line:?}");
        }
        let mut packet = Vec::new();
        pkt::write(&mut packet, format!("{id} refs/x {}", "y".repeat(60_000)).as_bytes());
        let many = packet.repeat(1200);
        assert_eq!(fault(List::read(&mut &many[..], &["HEAD".to_owned()])), Fault::Over(GIT_REFS, GIT_REFS_BYTES));
    }

    #[test]
    fn all_is_listed_only_where_a_name_was_not_found() {
        let asked = |prefixes: &[&str], named| Asked { prefixes: prefixes.iter().map(|&prefix| prefix.to_owned()).collect(), named };
        let found = List { first: Some(String::new()), ..List::default() };
        for (asked, empty, times) in [
            (asked(&["HEAD"], true), true, 2),
            (asked(&["HEAD"], true), false, 1),
            (asked(&["refs/tags/"], false), true, 1),
            (asked(&[], false), true, 0),
        ] {
            let mut seen = 0;
            list(&asked, |prefixes| {
                seen += 1;
                assert_eq!(prefixes.is_empty(), seen == 2);
                Ok(if empty { List::default() } else { List { first: found.first.clone(), ..List::default() } })
            })
            .unwrap();
            assert_eq!(seen, times);
        }
    }

    #[test]
    fn one_request_stands_for_libgit2s_two() {
        let id = "1".repeat(40);
        let first = packets(&[&format!("want {id} side-band-64k include-tag ofs-delta shallow \n"), "deepen 1\n"]);
        let first = String::from_utf8(first).unwrap();
        let (wants, done) = Wants::parse(first.as_bytes()).unwrap();
        assert!(!done && wants.deepens());
        assert_eq!(Wants::parse(format!("{first}0009done\n").as_bytes()).unwrap(), (wants.clone(), true));
        let want = format!("0012command=fetch\n00010010include-tag\n000eofs-delta\n000ddeepen 1\n0032want {id}\n0009done\n0000");
        assert_eq!(String::from_utf8(wants.command()).unwrap(), want);
        let have = format!("{first}0032have {id}\n0009done\n");
        for other in ["", "0000", "0009done\n", "zzzz", &have, "000ewant 1234\n0000", &first[..first.len() - 6]] {
            assert_eq!(Wants::parse(other.as_bytes()), None, "{other}");
        }
    }
}
