//! The entries of a tar in the order they stand in, one strict reader for all dialects.
//!
//! A POSIX extended header (`x`) and GNU's long name and link (`L`, `K`) may precede an entry, each once and in any order, with
//! nothing else between; where two of them name the entry, they must agree. Everything that readers are known to disagree about
//! (a measured extension header, a body where none belongs, data after the end mark) is refused.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use super::error::ArchiveError;
use super::header::{self, BLOCK, Header};
use super::intake::bound;
use super::pax::{self, Extended};
use super::sparse::{self, Fault, Layout, Records};
use super::spool::Stretch;
use super::{ArchiveOptions, EXTENDED_BYTES, GLOBAL_BYTES};
use crate::model::tree::Time;
use crate::support::limits::OBJECT_BYTES;

/// Bytes read ahead: enough for some small files, little enough not to read large ones.
const AHEAD: usize = 16 << 10;

/// The end of what ustar's twelve octal digits hold, year 2242: later times are brought back to it, for no layer could keep them.
const LATEST: i64 = 0o77_777_777_777;

/// One entry, its name as it stands in the archive.
#[derive(Debug, PartialEq, Eq)]
pub struct Member {
    pub name: Vec<u8>,
    pub kind: MemberKind,
    /// At most `0o7777`.
    pub mode: u32,
    /// Within what a layer can hold.
    pub modified: Time,
}

#[derive(Debug, PartialEq, Eq)]
pub enum MemberKind {
    Directory,
    /// The body's place in the spool.
    File {
        at: u64,
        size: u64,
    },
    Symlink(Vec<u8>),
    Hardlink(Vec<u8>),
}

/// What came before the header it is about.
#[derive(Default)]
struct Pending {
    extended: Option<Extended>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

/// Reads the entries of a tar in the spool.
pub struct Members<'a> {
    input: BufReader<Stretch<'a>>,
    spool: &'a File,
    /// Bytes that came, before decompression.
    came: u64,
    options: &'a ArchiveOptions,
    /// Bytes of the spool, sparse files laid out behind the tar among them.
    end: u64,
    cut: Option<(Vec<u8>, u64)>,
    /// From the last global header that gave a time.
    modified: Option<Time>,
}

impl<'a> Members<'a> {
    /// Of the first `bytes` bytes of the spool, which were `came` before decompression.
    pub fn new(spool: &'a File, bytes: u64, came: u64, options: &'a ArchiveOptions) -> Self {
        let input = BufReader::with_capacity(AHEAD, Stretch::new(spool, 0, bytes));
        Self { input, spool, came, options, end: bytes, cut: None, modified: None }
    }

    /// The file that the archive ended within, and what it should have had.
    pub fn cut(&self) -> Option<(&[u8], u64)> {
        self.cut.as_ref().map(|(name, size)| (&name[..], *size))
    }

    /// Bytes of the spool by now: sparse files are laid out behind the tar.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The next entry; `None` once the end mark was seen and nothing but zeros after it.
    pub fn next(&mut self) -> Result<Option<Member>, ArchiveError> {
        let mut pending = Pending::default();
        loop {
            let at = self.position();
            let block = self.block()?;
            let Some(header) = header::parse(&block).map_err(|rule| format_at(rule, at))? else {
                pending.expect_nothing("its end").map_err(|rule| format_at(rule, at))?;
                return self.finish().map(|()| None);
            };
            if !matches!(header.kind, b'x' | b'g' | b'L' | b'K') {
                return self.member(&header, &block, pending).map(Some);
            }
            self.extension(&header, &mut pending)?.map_err(|rule| format_at(rule, at))?;
        }
    }

    /// The outer error is the archive's end, the inner one a broken rule.
    fn extension(&mut self, header: &Header<'_>, pending: &mut Pending) -> Result<Result<(), &'static str>, ArchiveError> {
        let most = if header.kind == b'g' { GLOBAL_BYTES } else { EXTENDED_BYTES };
        if header.size > most {
            return Err(ArchiveError::Format(format!("an extended header or long name has more than {most} bytes")));
        }
        let body = self.body(header.size)?;
        Ok(match header.kind {
            b'g' => pending.expect_nothing("a global header").and_then(|()| {
                self.modified = pax::parse(&body, true)?.modified.or(self.modified);
                Ok(())
            }),
            b'x' => pax::parse(&body, false).and_then(|extended| once(&mut pending.extended, extended)),
            _ if pending.extended.as_ref().is_some_and(|extended| extended.size.is_some()) => {
                Err("an extended header measures another extension")
            }
            b'L' => long_name(body).and_then(|name| once(&mut pending.name, name)),
            _ => long_name(body).and_then(|link| once(&mut pending.link, link)),
        })
    }

    fn member(&mut self, header: &Header<'_>, block: &[u8; BLOCK], pending: Pending) -> Result<Member, ArchiveError> {
        let mut extended = pending.extended.unwrap_or_default();
        let size = extended.size.unwrap_or(header.size);
        let own_name = if header.prefix.is_empty() { header.name.to_vec() } else { [header.prefix, b"/", header.name].concat() };
        let layout = self.layout(header, block, std::mem::take(&mut extended.sparse)).map_err(|fault| fault.about(&own_name))?;
        let (name, agreed) = match layout.as_ref().and_then(|layout| layout.name.clone()) {
            Some(name) => (name, pending.name.is_none()),
            None => choose(extended.path, pending.name, own_name),
        };
        let (link, links_agree) = choose(extended.link, pending.link, header.link.to_vec());
        if !agreed || !links_agree {
            return Err(ArchiveError::entry(&name, "its headers give it two names"));
        }
        let directory = header.kind == b'5' || (size == 0 && name.ends_with(b"/"));
        let kind = match header.kind {
            b'0' | b'5' | b'7' if directory => MemberKind::Directory,
            b'0' | b'7' | b'S' if name.ends_with(b"/") => return Err(ArchiveError::entry(&name, "it is named a directory and has a body")),
            b'0' | b'7' | b'S' => MemberKind::File { at: self.position(), size },
            b'1' => MemberKind::Hardlink(link),
            b'2' => MemberKind::Symlink(link),
            other => return Err(ArchiveError::entry(&name, refused_type(other))),
        };
        let kind = match layout {
            Some(layout) => self.sparse(&name, &kind, layout, size).map_err(|fault| fault.about(&name))?,
            None => self.pass_body(&name, &kind, size).map(|()| kind)?,
        };
        let modified = extended.modified.or(self.modified).unwrap_or(Time { seconds: header.seconds, nanos: 0 });
        let modified = Time { seconds: modified.seconds.clamp(-LATEST, LATEST), ..modified };
        Ok(Member { name, kind, mode: header.mode, modified })
    }

    fn pass_body(&mut self, name: &[u8], kind: &MemberKind, size: u64) -> Result<(), ArchiveError> {
        if size > 0 && !matches!(kind, MemberKind::File { .. }) {
            return Err(ArchiveError::entry(name, "it has a body, though it is no file"));
        }
        self.bound_object(name, size)?;
        let Some(padded) = size.checked_next_multiple_of(BLOCK as u64).filter(|padded| *padded <= self.left()) else {
            self.cut = Some((name.to_vec(), size));
            return Err(ArchiveError::Truncated(format!("it ends within the body of {:?}", String::from_utf8_lossy(name))));
        };
        self.skip(padded);
        Ok(())
    }

    fn bound_object(&self, name: &[u8], size: u64) -> Result<(), ArchiveError> {
        let most = self.options.limits.object_bytes;
        if size > most {
            return Err(ArchiveError::entry(name, format!("it has more than the limit {OBJECT_BYTES} of {most} bytes")));
        }
        Ok(())
    }

    /// What the headers say of a sparse file, if it is one.
    fn layout(&mut self, header: &Header<'_>, block: &[u8; BLOCK], records: Records) -> Result<Option<Layout>, Fault> {
        match (header.kind, records.layout()?) {
            (b'S', None) if block[257..263] == *b"ustar " => sparse::old_gnu(block, || self.block()).map(Some),
            (b'S', None) => Err(Fault::Rule("its sparse file is not in GNU's own format")),
            (b'0' | b'7', layout) => Ok(layout),
            (_, None) => Ok(None),
            (_, Some(_)) => Err(Fault::Rule("its headers describe a sparse file twice, or one that is no file")),
        }
    }

    /// Lays a sparse file out behind the tar.
    fn sparse(&mut self, name: &[u8], kind: &MemberKind, layout: Layout, stored: u64) -> Result<MemberKind, Fault> {
        let (map, head) = match layout.map {
            Some(map) => (map, 0),
            None => sparse::in_body(|| self.block())?,
        };
        let stored = stored.checked_sub(head).filter(|_| matches!(kind, MemberKind::File { .. })).ok_or(Fault::Rule(sparse::NO_MAP))?;
        sparse::check(&map, layout.size, stored)?;
        self.bound_object(name, layout.size)?;
        let from = self.position();
        self.pass_body(name, kind, stored)?;
        let (at, size) = (self.end, layout.size);
        // For the daemon it is as large as if it had been stored whole.
        bound(at.saturating_add(size), self.came, self.options)?;
        let spool = self.spool;
        sparse::expand(spool, Stretch::new(spool, from, stored), &map, at, size)
            .map_err(|cause| ArchiveError::workspace(&self.options.workspace, cause))?;
        self.end += size;
        Ok(MemberKind::File { at, size })
    }

    /// A whole block; an archive that ends before its end mark is incomplete (GNU tar takes one block of zeros for the mark).
    fn block(&mut self) -> Result<[u8; BLOCK], ArchiveError> {
        let mut block = [0; BLOCK];
        if self.left() < BLOCK as u64 {
            return Err(ArchiveError::Truncated(format!(
                "it ends after {} bytes of tar, without an end mark",
                self.position() + self.left()
            )));
        }
        self.fill(&mut block)?;
        Ok(block)
    }

    /// The bytes of an extension, padding passed.
    fn body(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        let padded = size.next_multiple_of(BLOCK as u64);
        if padded > self.left() {
            return Err(ArchiveError::Truncated("it ends within an extended header".into()));
        }
        let mut body = vec![0; usize::try_from(size).unwrap_or_default()];
        self.fill(&mut body)?;
        self.skip(padded - size);
        Ok(body)
    }

    /// After the end mark come zeros, as many as the writer's blocking made.
    fn finish(&mut self) -> Result<(), ArchiveError> {
        let mut chunk = vec![0; AHEAD];
        while self.left() > 0 {
            let count = usize::try_from(self.left()).unwrap_or(usize::MAX).min(chunk.len());
            self.fill(&mut chunk[..count])?;
            if chunk[..count].iter().any(|byte| *byte != 0) {
                return Err(ArchiveError::Format("something follows its end mark".into()));
            }
        }
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        self.input.read_exact(buffer).map_err(|cause| ArchiveError::Spool { cause })
    }

    fn skip(&mut self, bytes: u64) {
        let ahead = self.input.buffer().len();
        match usize::try_from(bytes) {
            Ok(bytes) if bytes <= ahead => self.input.consume(bytes),
            _ => {
                self.input.consume(ahead);
                self.input.get_mut().skip(bytes - ahead as u64);
            }
        }
    }

    fn left(&self) -> u64 {
        self.input.get_ref().left() + self.input.buffer().len() as u64
    }

    fn position(&self) -> u64 {
        self.input.get_ref().position() - self.input.buffer().len() as u64
    }
}

impl Pending {
    fn expect_nothing(&self, before: &'static str) -> Result<(), &'static str> {
        match (self, before) {
            (Self { extended: None, name: None, link: None }, _) => Ok(()),
            (_, "its end") => Err("an extended header has no entry"),
            _ => Err("a global extended header stands between an entry and its own"),
        }
    }
}

fn format_at(rule: &str, at: u64) -> ArchiveError {
    ArchiveError::Format(format!("{rule} (at byte {at} of the tar)"))
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err("an entry has the same extension twice"),
    }
}

/// GNU's long names end in a NUL, and hold none.
fn long_name(mut body: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    let end = body.iter().position(|byte| *byte == 0).unwrap_or(body.len());
    if body[end..].iter().any(|byte| *byte != 0) {
        return Err("a long name holds a NUL byte");
    }
    body.truncate(end);
    Ok(body)
}

/// The name that counts, and whether the two extensions agree on it.
fn choose(extended: Option<Vec<u8>>, long: Option<Vec<u8>>, own: Vec<u8>) -> (Vec<u8>, bool) {
    match (extended.filter(|name| !name.is_empty()), long) {
        (Some(extended), Some(long)) => (extended.clone(), extended == long),
        (Some(name), None) | (None, Some(name)) => (name, true),
        (None, None) => (own, true),
    }
}

fn refused_type(kind: u8) -> String {
    match kind {
        b'3' | b'4' => "it is a device".into(),
        b'6' => "it is a named pipe".into(),
        other => format!("its type {:?} is none that is read", char::from(other)),
    }
}
