//! Where `podwright fetch` leaves a source for the container that builds: `context.tar`, then `source.json`, each whole or not
//! there, and the second only for the first. Both are as readable as the umask lets them be: the container that builds may run as
//! another user.

mod unfinished;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::unfinished::Unfinished;
use super::Services;
use crate::context;
use crate::event::ContextSent;
use crate::model::tree::{SourceTree, TreeError};
use crate::model::{Classified, Reason};
use crate::source::prepared::{CONTEXT, Prepared, PreparedContext, SCHEMA, SOURCE};
use crate::support::limits::SOURCE_BYTES;
use crate::support::{atomic, json};

/// Bytes that are gathered for one write.
const GATHERED: usize = 256 << 10;

#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error("this pod (uid {uid}) cannot write to the output directory {dir:?}")]
    NotWritable {
        dir: PathBuf,
        uid: u32,
        #[source]
        cause: io::Error,
    },
    #[error("the output directory {dir:?} is full")]
    Full {
        dir: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("the source is refused: as a tar it has more than the limit {SOURCE_BYTES} of {bytes} bytes")]
    Limit { bytes: u64 },
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error("somebody took away what was written to the output directory {dir:?}, before it was whole")]
    Replaced { dir: PathBuf },
    /// Never the reason of a run.
    #[error("the source is not written: the run was stopped")]
    Stopped,
    #[error("the thread that wrote the source ended without an answer")]
    Thread,
}

impl Classified for OutboxError {
    fn reason(&self) -> Reason {
        match self {
            Self::NotWritable { .. } | Self::Replaced { .. } => Reason::RequestInvalid,
            Self::Full { .. } => Reason::WorkspaceFull,
            Self::Limit { .. } => Reason::SourceRefused,
            Self::Tree(error) => error.reason(),
            Self::Stopped | Self::Thread => Reason::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotWritable { .. } => Some("mount a volume there, such as an emptyDir, that uid and group of the agent may write".into()),
            Self::Full { .. } => Some("the whole source is kept there as one tar: give the volume more room".into()),
            Self::Limit { .. } => Some("raise the limit if the source can be trusted".into()),
            Self::Tree(error) => error.hint(),
            Self::Replaced { .. } => Some("give the agents a volume that nobody else writes to, and each run one of its own".into()),
            Self::Stopped | Self::Thread => None,
        }
    }
}

/// The directory, with a file in it that is not yet what it will be.
#[derive(Clone, Debug)]
pub struct Outbox {
    dir: PathBuf,
    unfinished: Arc<Unfinished>,
}

impl Outbox {
    /// Makes sure of the place before anything is fetched for it. The directory is made where only it is missing.
    pub fn claim(dir: &Path, run: &str) -> Result<Self, OutboxError> {
        let made = match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        };
        let unfinished = made.and_then(|()| Unfinished::create(dir, run)).map_err(|cause| failed(dir, cause))?;
        Ok(Self { dir: dir.to_owned(), unfinished: Arc::new(unfinished) })
    }

    /// Takes away what was not finished.
    pub fn discard(&self) {
        self.unfinished.remove();
    }

    /// Writes all of the source, in a thread of its own.
    pub async fn fill(&self, source: Arc<dyn SourceTree>, bytes: u64, services: &Services) -> Result<(), OutboxError> {
        let (outbox, services) = (self.clone(), services.clone());
        let writing = tokio::task::spawn_blocking(move || {
            let sent = outbox.write(source.as_ref(), bytes, &services)?;
            outbox.publish(source.as_ref(), &sent, &services)
        });
        writing.await.unwrap_or(Err(OutboxError::Thread))
    }

    fn write(&self, source: &dyn SourceTree, bytes: u64, services: &Services) -> Result<(ContextSent, u64), OutboxError> {
        let mut sink =
            Sink { file: BufWriter::with_capacity(GATHERED, self.unfinished.file()), written: 0, most: bytes, failure: None, services };
        let sent = context::whole(source, &mut sink);
        match (sent, sink.failure.take()) {
            (_, Some(Stop::Limit)) => Err(OutboxError::Limit { bytes }),
            (_, Some(Stop::Io(cause))) => Err(failed(&self.dir, cause)),
            (Err(error), None) => Err(error.into()),
            (Ok(sent), None) => {
                let file = sink.file.into_inner().map_err(|error| failed(&self.dir, error.into_error()))?;
                file.sync_all().map_err(|cause| failed(&self.dir, cause))?;
                Ok((sent, sink.written))
            }
        }
    }

    fn publish(&self, source: &dyn SourceTree, sent: &(ContextSent, u64), services: &Services) -> Result<(), OutboxError> {
        let described = describe(source, sent, services).map_err(|cause| failed(&self.dir, cause.into()))?;
        // The run may be over while this thread still is not.
        if services.cancel.is_cancelled() {
            return Err(OutboxError::Stopped);
        }
        if !self.unfinished.has_its_name() {
            return Err(OutboxError::Replaced { dir: self.dir.clone() });
        }
        self.replace(&described).map_err(|cause| failed(&self.dir, cause))
    }

    /// Whoever looks meanwhile sees the old source, none, or the whole new one.
    fn replace(&self, described: &[u8]) -> io::Result<()> {
        match fs::remove_file(self.dir.join(SOURCE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => self.unfinished.rename(&self.dir.join(CONTEXT))?,
        }
        atomic::write(&self.dir.join(SOURCE), described)
    }
}

/// What `source.json` says.
fn describe(source: &dyn SourceTree, (sent, size): &(ContextSent, u64), services: &Services) -> serde_json::Result<Vec<u8>> {
    let sha256 = sent.digest.as_ref().map(|digest| digest.hex().to_owned()).unwrap_or_default();
    let known = Prepared {
        schema: SCHEMA.to_owned(),
        revision: source.revision().clone(),
        identity: source.identity(),
        context: PreparedContext { sha256, size: *size, entries: sent.entries },
    };
    // As in the result: what says where a source comes from may hold what nobody should read.
    let mut value = serde_json::to_value(&known)?;
    json::scrub(&mut value, &services.redactor);
    let mut bytes = serde_json::to_vec_pretty(&value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn failed(dir: &Path, cause: io::Error) -> OutboxError {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OutboxError::Full { dir: dir.to_owned(), cause },
        _ => OutboxError::NotWritable { dir: dir.to_owned(), uid: rustix::process::geteuid().as_raw(), cause },
    }
}

/// Why a write was refused: the writer of a tar only knows that it was.
enum Stop {
    Limit,
    Io(io::Error),
}

/// The file, up to a bound, and only while the run goes on.
struct Sink<'a> {
    file: BufWriter<&'a File>,
    written: u64,
    most: u64,
    failure: Option<Stop>,
    services: &'a Services,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let refused = || io::Error::other("refused");
        if self.services.cancel.is_cancelled() {
            return Err(refused());
        }
        if self.written + bytes.len() as u64 > self.most {
            self.failure = Some(Stop::Limit);
            return Err(refused());
        }
        match self.file.write(bytes) {
            Ok(count) => {
                self.written += count as u64;
                Ok(count)
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => Err(cause),
            Err(cause) => {
                self.failure = Some(Stop::Io(cause));
                Err(refused())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests;
