//! `Content-Digest` and `Repr-Digest` (RFC 9530): what the sender says its bytes hash to. No content coding is taken, so that
//! the two mean the same. Algorithms that are unknown here say nothing; the two that are safe are held to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use sha2::{Digest as _, Sha256, Sha512};

/// Fields of one request, and algorithms of one field.
const MOST: usize = 16;

/// What was promised, and the hashes on their way.
#[derive(Default)]
pub struct Promised {
    sha256: Option<(Vec<u8>, Sha256)>,
    sha512: Option<(Vec<u8>, Sha512)>,
}

impl Promised {
    /// From both fields. The error is a rule for people.
    pub fn of(headers: &HeaderMap) -> Result<Self, &'static str> {
        const MALFORMED: &str = "a digest field is malformed (RFC 9530: sha-256=:BASE64:)";
        const DIFFER: &str = "its digest fields promise two different things";
        let mut promised = Self::default();
        let fields = headers.get_all("content-digest").iter().chain(headers.get_all("repr-digest"));
        let texts = fields.map(|value| value.to_str().map_err(|_| MALFORMED)).collect::<Result<Vec<_>, _>>()?;
        let members: Vec<&str> = texts.iter().flat_map(|text| text.split(',')).map(str::trim).collect();
        if members.len() > MOST {
            return Err(MALFORMED);
        }
        for member in members {
            let (name, value) = member.split_once('=').ok_or(MALFORMED)?;
            let wanted = match name {
                "sha-256" => 32,
                "sha-512" => 64,
                _ => continue,
            };
            let text = value.strip_prefix(':').and_then(|text| text.strip_suffix(':')).ok_or(MALFORMED)?;
            let bytes = STANDARD.decode(text).ok().filter(|bytes| bytes.len() == wanted).ok_or(MALFORMED)?;
            if wanted == 32 {
                let before = promised.sha256.replace((bytes.clone(), Sha256::new()));
                before.is_none_or(|(before, _)| before == bytes).then_some(()).ok_or(DIFFER)?;
            } else {
                let before = promised.sha512.replace((bytes.clone(), Sha512::new()));
                before.is_none_or(|(before, _)| before == bytes).then_some(()).ok_or(DIFFER)?;
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
        self.sha256.is_none_or(|(wanted, hash)| hash.finalize().as_slice() == wanted)
            && self.sha512.is_none_or(|(wanted, hash)| hash.finalize().as_slice() == wanted)
    }
}

#[cfg(test)]
mod tests {
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
