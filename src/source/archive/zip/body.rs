//! A body: stored or deflated, with exactly the bytes and the sum that its headers give.

use std::io::BufReader;

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::super::error::ArchiveError;
use super::super::spool::Stretch;
use super::Fault;
use super::record::{Record, STORED};
use crate::source::body::read_some;

/// Bytes read at once.
const CHUNK: usize = 128 << 10;
const AHEAD: usize = 32 << 10;

enum Stored<'a> {
    Plain(Stretch<'a>),
    Deflated(DeflateDecoder<BufReader<Stretch<'a>>>),
}

pub struct Body<'a> {
    stored: Stored<'a>,
    record: &'a Record,
    crc: Crc,
    given: u64,
    buffer: Vec<u8>,
}

impl<'a> Body<'a> {
    pub fn new(record: &'a Record, stored: Stretch<'a>) -> Self {
        let most = usize::try_from(record.size.saturating_add(1)).unwrap_or(usize::MAX).min(CHUNK);
        let stored = match record.method {
            STORED => Stored::Plain(stored),
            _ => Stored::Deflated(DeflateDecoder::new(BufReader::with_capacity(AHEAD, stored))),
        };
        Self { stored, record, crc: Crc::new(), given: 0, buffer: vec![0; most] }
    }

    /// The next bytes; `None` once there are no more and all were right. Never one more than the headers say.
    pub fn next(&mut self) -> Result<Option<&[u8]>, Fault> {
        let count = match &mut self.stored {
            Stored::Plain(stretch) => read_some(stretch, &mut self.buffer).map_err(|cause| ArchiveError::Spool { cause })?,
            Stored::Deflated(decoder) => match read_some(decoder, &mut self.buffer) {
                Ok(count) => count,
                Err(error) => return Err(self.damaged(&format!("its deflate stream is damaged: {error}"))),
            },
        };
        self.given += count as u64;
        if self.given > self.record.size {
            return Err("it has more bytes than its headers say".into());
        }
        if count == 0 {
            return self.check().map(|()| None);
        }
        self.crc.update(&self.buffer[..count]);
        Ok(Some(&self.buffer[..count]))
    }

    fn check(&self) -> Result<(), Fault> {
        if self.given < self.record.size {
            return Err("it has fewer bytes than its headers say".into());
        }
        if let Stored::Deflated(decoder) = &self.stored
            && decoder.total_in() != self.record.stored
        {
            return Err("something follows its deflate stream".into());
        }
        if self.crc.sum() != self.record.crc {
            return Err(self.damaged("its sum is wrong"));
        }
        Ok(())
    }

    fn damaged(&self, what: &str) -> Fault {
        let name = String::from_utf8_lossy(&self.record.name).into_owned();
        ArchiveError::Damaged(format!("entry {name:?}: {what}")).into()
    }
}
