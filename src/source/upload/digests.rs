//! What the sender of an upload promised in its digest fields, and whether it was kept. What is malformed or contradicts itself is
//! refused: whoever says such a thing is to know that it was not held to it.

use http::HeaderMap;
use sha2::{Digest as _, Sha256, Sha512};

use crate::model::Digest;
use crate::source::digest_fields;

/// What was promised, and the hashes on their way.
#[derive(Default)]
pub struct Promised {
    sha256: Option<(Digest, Sha256)>,
    sha512: Option<(Digest, Sha512)>,
}

impl Promised {
    /// From both fields. The error is a rule for people.
    pub fn of(headers: &HeaderMap) -> Result<Self, &'static str> {
        let mut promised = Self::default();
        for stated in digest_fields::stated(headers) {
            let digest = stated.map_err(|_| "a digest field is malformed (RFC 9530: sha-256=:BASE64:)")?;
            let before = if digest.as_str().starts_with("sha256:") {
                promised.sha256.replace((digest.clone(), Sha256::new())).map(|(before, _)| before)
            } else {
                promised.sha512.replace((digest.clone(), Sha512::new())).map(|(before, _)| before)
            };
            if before.is_some_and(|before| before != digest) {
                return Err("its digest fields promise two different things");
            }
        }
        Ok(promised)
    }

    pub fn update(&mut self, bytes: &[u8]) {
        if let Some((_, hash)) = &mut self.sha256 {
            hash.update(bytes);
        }
        if let Some((_, hash)) = &mut self.sha512 {
            hash.update(bytes);
        }
    }

    /// Whether what came is what was promised.
    pub fn kept(self) -> bool {
        self.sha256.is_none_or(|(wanted, hash)| Digest::sha256(hash.finalize()) == wanted)
            && self.sha512.is_none_or(|(wanted, hash)| Digest::sha512(hash.finalize()) == wanted)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn kept(fields: &[(&'static str, String)], bytes: &[u8]) -> Result<bool, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let mut promised = Promised::of(&headers)?;
        bytes.chunks(3).for_each(|piece| promised.update(piece));
        Ok(promised.kept())
    }

    #[test]
    fn a8_what_is_promised_is_kept_or_told() {
        let sha256 = |bytes: &[u8]| format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(bytes)));
        let sha512 = |bytes: &[u8]| format!("sha-512=:{}:", STANDARD.encode(Sha512::digest(bytes)));
        let (a, b) = ("content-digest", "repr-digest");
        assert_eq!(kept(&[], b"body"), Ok(true));
        assert_eq!(kept(&[(a, sha256(b"body"))], b"body"), Ok(true));
        assert_eq!(kept(&[(b, sha512(b"body"))], b"body"), Ok(true));
        assert_eq!(kept(&[(a, format!("{}, {}", sha256(b"body"), sha512(b"body"))), (b, sha256(b"body"))], b"body"), Ok(true));
        assert_eq!(kept(&[(a, format!("md5=:AA==:, {}", sha256(b"body")))], b"body"), Ok(true));
        assert_eq!(kept(&[(a, sha256(b"body"))], b"bodi"), Ok(false));
        assert_eq!(kept(&[(a, format!("{}, {}", sha256(b"body"), sha512(b"other")))], b"body"), Ok(false));
        for malformed in ["sha-256", "sha-256=abc", "sha-256=:!!:", "sha-256=:AA==:", "sha-512=:AA==:", "", ",", &"x=1,".repeat(40)] {
            assert!(kept(&[(a, malformed.to_owned())], b"").is_err(), "{malformed}");
        }
        assert!(kept(&[(a, sha256(b"one")), (b, sha256(b"other"))], b"one").is_err());
    }
}
