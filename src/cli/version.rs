//! What exactly this program is: itself, and the two libraries whose flaws would be its own.

use serde_json::{Value, json};

/// The TLS library and its cryptography. A test holds it against `Cargo.lock`.
const TLS: &str = "rustls 0.23, ring";

pub fn json() -> Value {
    json!({"version": env!("CARGO_PKG_VERSION"), "commit": commit(), "libgit2": libgit2(), "tls": TLS})
}

pub fn text() -> String {
    format!("podwright {} (commit {}, libgit2 {}, {TLS})\n", env!("CARGO_PKG_VERSION"), commit().unwrap_or("unknown"), libgit2())
}

/// The commit that was built, where the build said so.
fn commit() -> Option<&'static str> {
    option_env!("PODWRIGHT_COMMIT").filter(|commit| !commit.is_empty())
}

/// The version that is linked, not the one that was asked for.
fn libgit2() -> String {
    let (major, minor, revision) = git2::Version::get().libgit2_version();
    format!("{major}.{minor}.{revision}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linked_libgit2_has_the_fixes_of_2026() {
        // 1.9.7 is the first with the fix of CVE-2026-5917 and the five before it.
        assert!(git2::Version::get().libgit2_version() >= (1, 9, 7), "{}", libgit2());
        assert!(!git2::Version::get().https() && !git2::Version::get().ssh(), "no transport of libgit2's own");
    }

    #[test]
    fn tls_is_what_is_locked() {
        let lock = include_str!("../../Cargo.lock");
        assert!(
            lock.contains("name = \"rustls\"\nversion = \"0.23.")
                && lock.contains("name = \"ring\"")
                && !lock.contains("name = \"openssl-sys\"")
        );
    }
}
