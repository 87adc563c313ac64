//! `Content-Digest` and `Repr-Digest` (RFC 9530): what a sender says its bytes hash to. No content coding is asked for or taken, so
//! that both are about the same bytes. Of the algorithms two are safe; the others say nothing here (section 5).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;

use crate::model::Digest;

/// Members of all fields of one message that are looked at.
const MOST: usize = 16;

/// A member that is none, or one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Every digest of both fields, as they stand. Whoever only listens leaves out what is malformed, as the RFC has it.
pub fn stated(headers: &HeaderMap) -> impl Iterator<Item = Result<Digest, Malformed>> {
    let fields = headers.get_all("content-digest").iter().chain(headers.get_all("repr-digest"));
    let members = fields.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    members.enumerate().filter_map(|(index, text)| if index < MOST { member(text.trim()).transpose() } else { Some(Err(Malformed)) })
}

/// One member of the dictionary (RFC 8941, section 3.2), its parameters left out; `None` of another algorithm.
fn member(text: &str) -> Result<Option<Digest>, Malformed> {
    let (algorithm, value) = text.split_once('=').ok_or(Malformed)?;
    let (make, length): (fn(Vec<u8>) -> Digest, usize) = match algorithm {
        "sha-256" => (Digest::sha256, 32),
        "sha-512" => (Digest::sha512, 64),
        _ => return Ok(None),
    };
    let value = value.split(';').next().unwrap_or_default();
    let encoded = value.strip_prefix(':').and_then(|text| text.strip_suffix(':')).ok_or(Malformed)?;
    let bytes = STANDARD.decode(encoded).ok().filter(|bytes| bytes.len() == length);
    bytes.map(|bytes| Some(make(bytes))).ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a8_what_is_stated_is_read_or_malformed() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("repr-digest", text.parse().unwrap());
            stated(&headers).map(|each| each.map_or("malformed".to_owned(), |digest| digest.to_string())).collect::<Vec<_>>()
        };
        let short = "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of(short), [abc]);
        assert_eq!(of(&format!("{short};p=1")), [abc]);
        let long = format!("sha-512=:{}:", STANDARD.encode([7; 64]));
        assert_eq!(of(&format!("unixsum=:AA==:, {short} , {long}")), [abc.to_owned(), format!("sha512:{}", "07".repeat(64))]);
        for nothing in ["", "sha-256", "sha-256=ungW", "sha-256=:ungW:", "sha-256=:!:", "sha-512=:AA==:"] {
            assert_eq!(of(nothing), ["malformed"], "{nothing}");
        }
        assert!(of("sha-1=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:").is_empty());
        assert_eq!(of(&"x=1,".repeat(40)).len(), 40 + 1 - MOST, "more members than are looked at");
    }

    #[test]
    fn both_fields_count_and_more_than_once() {
        let mut headers = HeaderMap::new();
        for (name, byte) in [("content-digest", 1), ("repr-digest", 2), ("repr-digest", 3)] {
            headers.append(name, format!("sha-256=:{}:", STANDARD.encode([byte; 32])).parse().unwrap());
        }
        let wanted = [1, 2, 3].map(|byte| Ok(Digest::sha256([byte; 32])));
        assert_eq!(stated(&headers).collect::<Vec<_>>(), wanted);
    }
}
