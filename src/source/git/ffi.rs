//! The one module with `unsafe`: process-wide settings of libgit2 that its Rust binding marks so, its memory, and one `Send`.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::io::{self, Read};
use std::marker::PhantomData;
use std::sync::{Mutex, OnceLock, PoisonError};

use git2::transport::Transport;
use git2::{ConfigLevel, Error, ErrorClass, ErrorCode, ObjectType, OdbObject, Remote, opts, transport};

use super::transport as own_transport;

/// Bytes of a pack that one mapping covers, and that all mappings cover together. libgit2's own are 1 GiB and 8 GiB, which
/// lets the resident size grow with the pack.
const WINDOW: usize = 1 << 20;
const WINDOWS: usize = 8 << 20;

/// Bytes of trees and commits kept inflated, for all repositories together.
const CACHE: isize = 16 << 20;

/// Schemes that our own transport serves.
const OURS: [&str; 4] = ["http", "https", "ssh", "git"];

/// Schemes that libgit2 would serve itself, or run something for. Ours come first, so these never get there (G3).
const REFUSED: [&str; 3] = ["file", "ssh+git", "git+ssh"];

static SET_UP: OnceLock<Result<(), String>> = OnceLock::new();

/// Once for a process: no configuration from files, our transports, our bound on memory, small caches.
pub(super) fn set_up() -> Result<(), Error> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let done = SET_UP.get_or_init(|| configure().map_err(|error| error.message().to_owned()));
    done.clone().map_err(|message| Error::new(ErrorCode::GenericError, ErrorClass::Net, message))
}

fn configure() -> Result<(), Error> {
    // SAFETY: all of these write globals of libgit2. `set_up` holds a lock and runs before this module's callers hold any
    // repository, and nothing else in this program uses libgit2.
    unsafe {
        for level in [ConfigLevel::ProgramData, ConfigLevel::System, ConfigLevel::XDG, ConfigLevel::Global] {
            opts::set_search_path(level, "")?;
        }
        opts::set_mwindow_size(WINDOW)?;
        opts::set_mwindow_mapped_limit(WINDOWS)?;
        opts::set_cache_max_size(CACHE)?;
        libgit2_sys::git_libgit2_opts(libgit2_sys::GIT_OPT_SET_ALLOCATOR.cast_signed(), &raw const ALLOCATOR);
        for scheme in OURS {
            transport::register(scheme, own_transport::for_this_thread)?;
        }
        for scheme in REFUSED {
            transport::register(scheme, refuse)?;
        }
    }
    // The indexer named every object by its own hash as it came in; hashing again at every read would find nothing new.
    opts::strict_hash_verification(false);
    Ok(())
}

/// `git_allocator` (git2/sys/alloc.h of libgit2 1.9). libgit2 copies it.
#[repr(C)]
struct Allocator {
    malloc: extern "C" fn(usize, *const c_char, c_int) -> *mut c_void,
    realloc: extern "C" fn(*mut c_void, usize, *const c_char, c_int) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void),
}

/// libgit2's own allocator (stdalloc.c) with one addition: what is larger than this thread's bound is refused, as when memory
/// has run out. A pack says in a few bytes how large the base of a delta is, and libgit2 believes it (pack.c,
/// `packfile_unpack_compressed`); its own bound is for what a delta makes alone.
static ALLOCATOR: Allocator = Allocator { malloc: bounded_malloc, realloc: bounded_realloc, free };

// The C library's, which stdalloc.c calls: what was taken before the change may be given back after it.
unsafe extern "C" {
    fn malloc(size: usize) -> *mut c_void;
    fn realloc(old: *mut c_void, size: usize) -> *mut c_void;
    fn free(old: *mut c_void);
}

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(usize::MAX) };
    static MET: Cell<bool> = const { Cell::new(false) };
}

fn is_refused(size: usize) -> bool {
    let refused = size > LARGEST.get();
    if refused {
        MET.set(true);
    }
    refused
}

extern "C" fn bounded_malloc(size: usize, _: *const c_char, _: c_int) -> *mut c_void {
    // SAFETY: any size may be asked for.
    if is_refused(size) { std::ptr::null_mut() } else { unsafe { malloc(size) } }
}

extern "C" fn bounded_realloc(old: *mut c_void, size: usize, _: *const c_char, _: c_int) -> *mut c_void {
    // SAFETY: libgit2 hands in only what this allocator gave it. After a refusal the old piece is still its own.
    if is_refused(size) { std::ptr::null_mut() } else { unsafe { realloc(old, size) } }
}

/// While it lives, libgit2 gets no larger piece of memory on this thread.
pub(super) struct Bounded(PhantomData<*const ()>);

/// Bounds one piece of libgit2's memory on this thread: what it holds of a pack as that comes in, delta by delta.
pub(super) fn bound(largest: u64) -> Bounded {
    // With the NUL that libgit2 keeps behind every object.
    LARGEST.set(usize::try_from(largest).unwrap_or(usize::MAX).saturating_add(1));
    MET.set(false);
    Bounded(PhantomData)
}

impl Drop for Bounded {
    fn drop(&mut self) {
        LARGEST.set(usize::MAX);
    }
}

/// Whether the last bound on this thread was met; asking forgets it.
pub(super) fn refused() -> bool {
    MET.replace(false)
}

/// libgit2 keeps no message of a factory that fails, so it is given one.
fn refuse(_: &Remote<'_>) -> Result<Transport, Error> {
    // SAFETY: the text is a C string that lives for ever, and libgit2 copies it into a place of this thread's own.
    unsafe { libgit2_sys::git_error_set_str(ErrorClass::Net as c_int, c"this scheme is not served".as_ptr()) };
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
        set_up().unwrap();
        let directory = tempfile::TempDir::new().unwrap();
        let repository = git2::Repository::init_bare(directory.path()).unwrap();
        let local = format!("file://{}", directory.path().display());
        let asked = |url: &str| {
            let mut remote = repository.remote_anonymous(url).unwrap();
            remote.connect(git2::Direction::Fetch).unwrap_err().message().to_owned()
        };
        for url in [&local, "FILE:///etc", "git+ssh://127.0.0.1:1/x"] {
            assert!(asked(url).contains("this scheme is not served"), "{url}: {}", asked(url));
        }
        for url in ["https://127.0.0.1:1/x", "git://127.0.0.1:1/x", "ssh://127.0.0.1:1/x", "u@127.0.0.1:x"] {
            // No fetch is under way on this thread; a connection would be refused in other words.
            assert_eq!(asked(url), "no error", "{url}");
        }
        for level in [ConfigLevel::System, ConfigLevel::XDG, ConfigLevel::Global] {
            // SAFETY: the settings are written once, above.
            assert_eq!(unsafe { opts::get_search_path(level) }.unwrap().to_bytes(), b"");
        }
    }

    #[test]
    fn g11_libgit2_is_given_no_piece_of_memory_over_the_bound() {
        set_up().unwrap();
        let directory = tempfile::TempDir::new().unwrap();
        let repository = git2::Repository::init_bare(directory.path()).unwrap();
        let id = repository.blob(&vec![7; 2 << 20]).unwrap();
        let read = || repository.odb().unwrap().read(id).map(|object| object.len());
        let bounded = bound(1 << 20);
        assert!(read().is_err() && refused() && !refused());
        drop(bounded);
        assert_eq!(read().unwrap(), 2 << 20);
        let bounded = bound(4 << 20);
        assert_eq!(read().unwrap(), 2 << 20);
        drop(bounded);
        assert!(!refused());
    }

    #[test]
    fn the_linked_libgit2_has_the_known_holes_closed() {
        assert!(git2::Version::get().libgit2_version() >= (1, 9, 7), "{:?}", git2::Version::get());
    }
}
