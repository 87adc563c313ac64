//! A zip, read by one strict reader (APPNOTE.TXT 6.3.10, by its section numbers below), and laid out as the spool of a tree.
//!
//! A zip says everything twice, in its central directory and before each body, and readers differ in which of them they believe.
//! Here both must say the same, and the archive is all entries and nothing else: the first begins at its first byte, each ends
//! where the next begins, the last where the directory does, and the end record ends the file. So there is nothing that another
//! reader could find and this one would not: no overlapping bodies, no bytes before, between or behind.
//!
//! Bodies are inflated once, into a spool of their own, and their sums compared; the zip itself is gone then.

mod body;
mod end;
mod local;
mod record;

use std::fs::File;
use std::io::{BufReader, Read};

use super::error::ArchiveError;
use super::index::Collector;
use super::intake::{Received, bound};
use super::members::{Member, MemberKind};
use super::spool::{self, Stretch};
use super::{ArchiveOptions, TARGET_BYTES};
use crate::model::tree::Time;
use crate::support::limits::{OBJECT_BYTES, SOURCE_ENTRIES};
use end::End;
use record::{Kind, Record};

/// Bytes of the directory read at once.
const AHEAD: usize = 64 << 10;

/// Why an entry is none: a broken rule, or something of ours.
enum Fault {
    Rule(String),
    Archive(ArchiveError),
}

impl Fault {
    fn about(self, name: &[u8]) -> ArchiveError {
        match self {
            Self::Rule(rule) => ArchiveError::entry(name, rule),
            Self::Archive(error) => error,
        }
    }
}

impl From<&str> for Fault {
    fn from(rule: &str) -> Self {
        Self::Rule(rule.to_owned())
    }
}

impl From<String> for Fault {
    fn from(rule: String) -> Self {
        Self::Rule(rule)
    }
}

impl From<ArchiveError> for Fault {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

/// Gives every entry to the collector, and puts the bodies in the place of the zip.
pub fn read(received: &mut Received, options: &ArchiveOptions, collector: &mut Collector<'_>) -> Result<(), ArchiveError> {
    let end = End::find(&received.spool, received.bytes)?;
    if end.entries > options.limits.source_entries {
        return Err(ArchiveError::limit(SOURCE_ENTRIES, options.limits.source_entries, "entries"));
    }
    let starts = starts(&received.spool, &end)?;
    let out = spool::create(&options.workspace)?;
    let mut bodies = Bodies { zip: &received.spool, size: received.size, out, written: 0, options, collector };
    let mut directory = directory(&received.spool, &end);
    for _ in 0..end.entries {
        let record = Record::read(&mut directory)?;
        let after = starts.partition_point(|start| *start <= record.offset);
        let next = starts.get(after).copied().unwrap_or(end.at);
        let member = bodies.member(&record, next).map_err(|fault| fault.about(&record.name))?;
        bodies.collector.add(&member)?;
    }
    let Bodies { out, written, .. } = bodies;
    (received.spool, received.bytes) = (out, written);
    Ok(())
}

fn directory<'a>(zip: &'a File, end: &End) -> BufReader<Stretch<'a>> {
    BufReader::with_capacity(AHEAD, Stretch::new(zip, end.at, end.bytes))
}

/// Where the entries begin, sorted: eight bytes of memory for each. Also the whole directory is read here, to its end.
fn starts(zip: &File, end: &End) -> Result<Vec<u64>, ArchiveError> {
    let mut directory = directory(zip, end);
    let mut starts = Vec::new();
    for _ in 0..end.entries {
        starts.push(Record::read(&mut directory)?.offset);
    }
    if directory.read(&mut [0]).map_err(|cause| ArchiveError::Spool { cause })? > 0 {
        return Err(ArchiveError::Format("its directory holds more than its entries".into()));
    }
    starts.sort_unstable();
    if starts.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(ArchiveError::Format("two entries of it share one body".into()));
    }
    match starts.first() {
        Some(0) => Ok(starts),
        None if end.at == 0 => Ok(starts),
        _ => Err(ArchiveError::Format("something stands before its first entry".into())),
    }
}

/// Takes the bodies out of a zip.
struct Bodies<'a, 'b> {
    zip: &'a File,
    /// Bytes of the zip.
    size: u64,
    out: File,
    written: u64,
    options: &'a ArchiveOptions,
    collector: &'a mut Collector<'b>,
}

impl Bodies<'_, '_> {
    /// The entry, which has to end at `next`.
    fn member(&mut self, record: &Record, next: u64) -> Result<Member, Fault> {
        let kind = record.kind()?;
        let stored = local::body(self.zip, record, next)?;
        let most = self.options.limits.object_bytes;
        if record.size > most {
            return Err(Fault::Rule(format!("it has more than the limit {OBJECT_BYTES} of {most} bytes")));
        }
        let kind = match kind {
            Kind::Directory if record.size > 0 => return Err("it is named a directory and has a body".into()),
            Kind::Symlink if record.size > TARGET_BYTES as u64 => {
                return Err(Fault::Rule(format!("it links to a name of more than {TARGET_BYTES} bytes")));
            }
            Kind::Symlink => MemberKind::Symlink(self.target(record, stored)?),
            Kind::Directory => {
                // Nothing, and that must be what its sum and its compressed bytes say.
                self.copy(record, stored, |_, _| Ok(()))?;
                MemberKind::Directory
            }
            Kind::File => self.file(record, stored)?,
        };
        Ok(Member { name: record.name.clone(), kind, mode: record.mode(), modified: Time { seconds: record.seconds, nanos: 0 } })
    }

    fn file(&mut self, record: &Record, stored: Stretch<'_>) -> Result<MemberKind, Fault> {
        let at = self.written;
        bound(at.saturating_add(record.size), self.size, self.options)?;
        self.copy(record, stored, |out, bytes| spool::append(&out.out, bytes, &out.options.workspace))?;
        self.written += record.size;
        Ok(MemberKind::File { at, size: record.size })
    }

    fn target(&mut self, record: &Record, stored: Stretch<'_>) -> Result<Vec<u8>, Fault> {
        let mut target = Vec::new();
        self.copy(record, stored, |_, bytes| {
            target.extend_from_slice(bytes);
            Ok(())
        })?;
        if target.contains(&0) { Err("the name it links to holds a NUL byte".into()) } else { Ok(target) }
    }

    fn copy(
        &mut self,
        record: &Record,
        stored: Stretch<'_>,
        mut sink: impl FnMut(&mut Self, &[u8]) -> Result<(), ArchiveError>,
    ) -> Result<(), Fault> {
        let mut body = body::Body::new(record, stored);
        while let Some(bytes) = body.next()? {
            self.collector.beat()?;
            sink(self, bytes)?;
        }
        Ok(())
    }
}
