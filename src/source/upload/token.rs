//! The bearer token of an upload: read from its file for each use, compared in constant time, and wrong ones slowed down.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

use super::UploadError;
use crate::support::guard::Guard;
use crate::support::redact::Redactor;
use crate::support::secretdir::{SecretError, file};

/// What 128 bits need at least, however they are written.
const SHORTEST: usize = 16;

/// Wrong tokens that are answered at once; people mistype.
const TRIES: u32 = 5;

/// What every further one waits for its answer. It holds its connection meanwhile, and there are few of these.
const PENALTY: Duration = Duration::from_secs(2);

/// Knows the token by its file.
pub struct Token {
    path: PathBuf,
    guard: Guard,
    redactor: Arc<Redactor>,
    wrong: AtomicU32,
}

impl Token {
    /// One that can be used now.
    pub fn new(path: &Path, guard: &Guard, redactor: &Arc<Redactor>) -> Result<Self, UploadError> {
        let token = Self { path: path.to_owned(), guard: guard.clone(), redactor: Arc::clone(redactor), wrong: AtomicU32::new(0) };
        token.read().map(|_| token)
    }

    fn read(&self) -> Result<SecretString, UploadError> {
        let bad = |rule| UploadError::Token { path: self.path.clone(), rule };
        let bytes = file::read(&self.path, &self.guard)?.ok_or_else(|| SecretError::Missing { path: self.path.clone() })?;
        let text = String::from_utf8(bytes).map_err(|_| bad("is not UTF-8"))?;
        let text = text.trim();
        if text.len() < SHORTEST {
            return Err(bad("is shorter than 16 bytes"));
        }
        // What RFC 6750 lets stand in the header, section 2.1.
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b)) {
            return Err(bad("holds a character that no bearer token has (RFC 6750: A-Z a-z 0-9 - . _ ~ + / =)"));
        }
        let secret = SecretString::from(text.to_owned());
        self.redactor.add(&secret);
        Ok(secret)
    }

    /// Whether this is it. A wrong one is known only after a while, once there were some.
    pub async fn is(&self, shown: Option<&str>) -> bool {
        let right = self.read().ok().zip(shown).is_some_and(|(token, shown)| same(token.expose_secret(), shown));
        if !right && self.wrong.fetch_add(1, Ordering::Relaxed) >= TRIES {
            tokio::time::sleep(PENALTY).await;
        }
        right
    }
}

/// In a time that tells nothing of where they differ: digests have one length, and every byte of them is looked at.
fn same(token: &str, shown: &str) -> bool {
    let (token, shown) = (Sha256::digest(token), Sha256::digest(shown));
    black_box(token.iter().zip(shown).fold(0, |differs, (a, b)| black_box(differs | (a ^ b)))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Classified, Reason};

    /// A9: at least 128 bits, and only the very same bytes.
    #[tokio::test(start_paused = true)]
    async fn a9_only_the_token_is_the_token_and_guessing_is_slow() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let open = || Token::new(&path, &Guard::default(), &Arc::default());
        assert_eq!(open().err().unwrap().reason(), Reason::SecretInvalid);
        for bad in ["short", "                 \n", "a token with blanks", "0123456789abcde"] {
            std::fs::write(&path, bad).unwrap();
            assert_eq!(open().err().unwrap().reason(), Reason::SecretInvalid, "{bad:?}");
        }
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        let token = open().unwrap();
        let begun = tokio::time::Instant::now();
        for wrong in [None, Some(""), Some("0123456789abcde"), Some("0123456789abcdef0"), Some("0123456789abcdeF")] {
            assert!(!token.is(wrong).await, "{wrong:?}");
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(!token.is(Some("x")).await);
        assert_eq!(begun.elapsed(), PENALTY);
        assert!(token.is(Some("0123456789abcdef")).await, "the right one never waits");
        assert_eq!(begun.elapsed(), PENALTY);
        // It is read anew: a secret may be rotated under a waiting pod.
        std::fs::write(&path, "fedcba9876543210").unwrap();
        assert!(token.is(Some("fedcba9876543210")).await && !token.is(Some("0123456789abcdef")).await);
    }
}
