//! The one module with `unsafe`: process-wide settings of libgit2 that its Rust binding marks so, and one `Send`.
#![allow(unsafe_code)]

use std::io::{self, Read};
use std::sync::{Mutex, OnceLock, PoisonError};

use git2::transport::Transport;
use git2::{ConfigLevel, Error, ErrorClass, ErrorCode, ObjectType, OdbObject, Remote, opts, transport};

use super::transport_http;

/// Bytes of a pack that one mapping covers, and that all mappings cover together. libgit2's own are 1 GiB and 8 GiB, which
/// lets the resident size grow with the pack.
const WINDOW: usize = 1 << 20;
const WINDOWS: usize = 8 << 20;

/// Bytes of trees and commits kept inflated, for all repositories together.
const CACHE: isize = 16 << 20;

/// Schemes that libgit2 would serve itself, or run something for. Ours come first, so these never get there (G3).
const REFUSED: [&str; 5] = ["file", "git", "ssh", "ssh+git", "git+ssh"];

static SET_UP: OnceLock<Result<(), String>> = OnceLock::new();

/// Once for a process: no configuration from files, our transports, small caches. `largest_delta` bounds what a delta may
/// make (`GIT_OPT_SET_PACK_MAX_OBJECT_SIZE`, for CVE-2026-53585); the first caller's value holds.
pub(super) fn set_up(largest_delta: u64) -> Result<(), Error> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let done = SET_UP.get_or_init(|| configure(largest_delta).map_err(|error| error.message().to_owned()));
    done.clone().map_err(|message| Error::new(ErrorCode::GenericError, ErrorClass::Net, message))
}

fn configure(largest_delta: u64) -> Result<(), Error> {
    // SAFETY: all of these write globals of libgit2. `set_up` holds a lock and runs before this module's callers hold any
    // repository, and nothing else in this program uses libgit2.
    unsafe {
        for level in [ConfigLevel::ProgramData, ConfigLevel::System, ConfigLevel::XDG, ConfigLevel::Global] {
            opts::set_search_path(level, "")?;
        }
        opts::set_mwindow_size(WINDOW)?;
        opts::set_mwindow_mapped_limit(WINDOWS)?;
        opts::set_cache_max_size(CACHE)?;
        let size = usize::try_from(largest_delta).unwrap_or(usize::MAX);
        libgit2_sys::git_libgit2_opts(libgit2_sys::GIT_OPT_SET_PACK_MAX_OBJECT_SIZE.cast_signed(), size);
        for scheme in ["http", "https"] {
            transport::register(scheme, transport_http::for_this_thread)?;
        }
        for scheme in REFUSED {
            transport::register(scheme, refuse)?;
        }
    }
    // The indexer named every object by its own hash as it came in; hashing again at every read would find nothing new.
    opts::strict_hash_verification(false);
    Ok(())
}

/// libgit2 keeps no message of a factory that fails, so it is given one.
fn refuse(_: &Remote<'_>) -> Result<Transport, Error> {
    // SAFETY: the text is a C string that lives for ever, and libgit2 copies it into a place of this thread's own.
    unsafe { libgit2_sys::git_error_set_str(ErrorClass::Net as std::ffi::c_int, c"this scheme is not served".as_ptr()) };
    Err(Error::from_str("this scheme is not served"))
}

/// A blob as libgit2 holds it, read without a copy.
pub(super) struct Blob<'a> {
    object: OdbObject<'a>,
    at: usize,
}

// SAFETY: a `git_odb_object` does not change once it is read, and its reference count is atomic (libgit2, cache.h).
unsafe impl Send for Blob<'_> {}

impl<'a> Blob<'a> {
    /// `None` for what is no blob.
    pub(super) fn new(object: OdbObject<'a>) -> Option<Self> {
        (object.kind() == ObjectType::Blob).then_some(Self { object, at: 0 })
    }

    pub(super) fn data(&self) -> &[u8] {
        self.object.data()
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (&self.object.data()[self.at..]).read(buffer)?;
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g3_g12_libgit2_reaches_nothing_but_through_us() {
        set_up(1 << 30).unwrap();
        let directory = tempfile::TempDir::new().unwrap();
        let repository = git2::Repository::init_bare(directory.path()).unwrap();
        let local = format!("file://{}", directory.path().display());
        for url in [&local, "FILE:///etc", "git://127.0.0.1:1/x", "ssh://127.0.0.1:1/x", "git+ssh://127.0.0.1:1/x", "u@127.0.0.1:x"] {
            let mut remote = repository.remote_anonymous(url).unwrap();
            let error = remote.connect(git2::Direction::Fetch).unwrap_err();
            assert!(error.message().contains("this scheme is not served"), "{url}: {error}");
        }
        let mut remote = repository.remote_anonymous("https://127.0.0.1:1/x").unwrap();
        assert!(remote.connect(git2::Direction::Fetch).is_err(), "no fetch is under way");
        for level in [ConfigLevel::System, ConfigLevel::XDG, ConfigLevel::Global] {
            // SAFETY: the settings are written once, above.
            assert_eq!(unsafe { opts::get_search_path(level) }.unwrap().to_bytes(), b"");
        }
    }

    #[test]
    fn the_linked_libgit2_has_the_known_holes_closed() {
        assert!(git2::Version::get().libgit2_version() >= (1, 9, 7), "{:?}", git2::Version::get());
    }
}
