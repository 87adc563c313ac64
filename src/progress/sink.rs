//! The descriptor that lines go out on. It is never opened again, and its loss is no error of the run.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

/// Between two tries on a descriptor that somebody made non-blocking: a pipe shares that flag with all who hold it.
const NON_BLOCKING_PAUSE: Duration = Duration::from_millis(5);

pub enum Sink {
    Stdout,
    #[cfg(test)]
    Owned(std::os::fd::OwnedFd),
}

impl Sink {
    /// Writes all of it: in one `write(2)` unless the kernel takes less. An error means that nobody reads any more, or that the
    /// disk behind the descriptor is full.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Stdout => write_all(io::stdout().as_fd(), bytes),
            #[cfg(test)]
            Self::Owned(descriptor) => write_all(descriptor.as_fd(), bytes),
        }
    }
}

fn write_all(descriptor: BorrowedFd<'_>, mut rest: &[u8]) -> Result<(), Errno> {
    while !rest.is_empty() {
        match rustix::io::write(descriptor, rest) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => rest = &rest[written.min(rest.len())..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => thread::sleep(NON_BLOCKING_PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
