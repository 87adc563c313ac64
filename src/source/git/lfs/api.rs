//! The batch API (git-lfs, docs/api/batch.md): which objects are asked for, and what may stand in the answer. Whoever wrote the
//! answer may be hostile: it decides nothing but where an object comes from, and that within the rules of this file.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;

use super::{LfsError, LfsId};
use crate::model::Address;
use crate::model::address::Scheme;
use crate::model::digest::hex;
use crate::net::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use crate::net::{Origin, RedactedUrl};
use crate::source::git::remote::readable;

/// Objects of one request; servers take as many as git-lfs asks for at once.
pub(super) const BATCH: usize = 100;

/// Headers of one action, and bytes of them together.
const MOST_HEADERS: usize = 32;
const HEADER_BYTES: usize = 16 << 10;

/// An action that ends so soon is asked for anew. One that never was good for longer than twice that is used at once, or fails.
const SOON: Duration = Duration::from_secs(5);

/// An object that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub oid: LfsId,
    pub size: u64,
    /// The first file that points to it.
    pub path: String,
    /// Where it goes in the store.
    pub offset: u64,
}

/// Where an object comes from.
#[derive(Clone, Debug)]
pub(super) struct Action {
    pub href: Url,
    pub headers: HeaderMap,
    /// It is of no use after this.
    pub until: Option<Instant>,
}

impl Action {
    pub fn is_over(&self) -> bool {
        is_over(self.until)
    }

    pub fn is_authorized(&self) -> bool {
        self.headers.contains_key(AUTHORIZATION)
    }
}

#[derive(Serialize)]
struct Question<'a> {
    operation: &'static str,
    transfers: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    r#ref: Option<Ref<'a>>,
    objects: Vec<Asked>,
    hash_algo: &'static str,
}

#[derive(Serialize)]
struct Ref<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Asked {
    oid: String,
    size: u64,
}

/// The body of a request for these objects.
pub(super) fn question(wanted: &[Wanted], reference: Option<&str>) -> Vec<u8> {
    let objects = wanted.iter().map(|wanted| Asked { oid: hex(&wanted.oid), size: wanted.size }).collect();
    let r#ref = reference.map(|name| Ref { name });
    let question = Question { operation: "download", transfers: ["basic"], r#ref, objects, hash_algo: "sha256" };
    // Nothing in it can fail.
    serde_json::to_vec(&question).unwrap_or_default()
}

#[derive(Deserialize)]
struct Answer {
    transfer: Option<String>,
    hash_algo: Option<String>,
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    size: Option<u64>,
    actions: Option<Actions>,
    error: Option<Problem>,
}

#[derive(Deserialize)]
struct Actions {
    download: Option<Download>,
}

#[derive(Deserialize)]
struct Download {
    href: String,
    header: Option<HashMap<String, String>>,
    #[serde(flatten)]
    end: End,
}

/// When something ends, as servers say it.
#[derive(Deserialize)]
pub(super) struct End {
    expires_in: Option<i64>,
    expires_at: Option<String>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    code: u16,
    message: Option<String>,
}

/// The rules of one conversation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub batch: &'a Url,
    pub plain_http: bool,
}

impl Rules<'_> {
    /// What the answer says of every object that was asked for, in their order.
    pub fn read(&self, answer: &[u8], wanted: &[Wanted]) -> Result<Vec<Result<Action, LfsError>>, LfsError> {
        let broken = |problem: String| LfsError::Answer { url: RedactedUrl::new(self.batch.clone()), problem };
        let answer: Answer = serde_json::from_slice(answer).map_err(|why| broken(format!("its answer is not understood: {why}")))?;
        if let Some(other) = answer.transfer.filter(|transfer| transfer != "basic") {
            return Err(broken(format!("it wants the transfer {:?}, which was not offered", short(&other))));
        }
        if let Some(other) = answer.hash_algo.filter(|hash| hash != "sha256") {
            return Err(broken(format!("it names objects by {:?}", short(&other))));
        }
        if answer.objects.len() > wanted.len() {
            return Err(broken(format!("it answers for {} objects, and was asked for {}", answer.objects.len(), wanted.len())));
        }
        let mut objects: HashMap<String, Object> = answer.objects.into_iter().map(|object| (object.oid.clone(), object)).collect();
        let one = |wanted: &Wanted| match objects.remove(&hex(&wanted.oid)) {
            Some(object) => self.action(object, wanted),
            None => Err(broken(format!("it does not answer for the object of {:?}", wanted.path))),
        };
        Ok(wanted.iter().map(one).collect())
    }

    fn action(&self, object: Object, wanted: &Wanted) -> Result<Action, LfsError> {
        let path = || wanted.path.clone();
        if let Some(Problem { code, message }) = object.error {
            let (oid, said) = (object.oid, message.and_then(|text| readable(text.as_bytes())));
            return Err(match code {
                404 | 410 | 422 => LfsError::Missing { path: path(), oid, code, said },
                _ => LfsError::Refused { path: path(), oid, code, said },
            });
        }
        if let Some(other) = object.size.filter(|size| *size != wanted.size) {
            let problem = format!("its server says that it has {other} bytes, the pointer {}", wanted.size);
            return Err(LfsError::Integrity { path: path(), problem });
        }
        let Some(download) = object.actions.and_then(|actions| actions.download) else {
            let problem = format!("it neither sends the object of {:?} nor says why", wanted.path);
            return Err(LfsError::Answer { url: RedactedUrl::new(self.batch.clone()), problem });
        };
        let refused = |rule: String| LfsError::Href { path: path(), rule };
        let until = download.end.at();
        let href = self.href(&download.href).map_err(refused)?;
        let headers = headers(download.header.unwrap_or_default()).map_err(refused)?;
        Ok(Action { href, headers, until })
    }

    /// A place that objects may come from (G3, G4): http only where it is allowed, and never where the server itself has more.
    fn href(&self, text: &str) -> Result<Url, String> {
        let url = href(text, self.plain_http)?;
        let secure = Origin::of(self.batch).is_some_and(|origin| origin.is_tls());
        if secure && url.scheme() == "http" {
            return Err("its href leads from https to plain http".to_owned());
        }
        Ok(url)
    }
}

/// A place that a host names, with no credential in it, and plain http only where the operator allows it.
pub(super) fn href(text: &str, plain_http: bool) -> Result<Url, String> {
    let (address, credential) = Address::of_web(text).map_err(|bad| format!("its href {}", bad.what))?;
    match address.scheme() {
        _ if credential.is_some() => Err("its href carries a user name or password".to_owned()),
        Scheme::Http if !plain_http => Err("its href is plain http, which the operator does not allow".to_owned()),
        _ => Ok(address.url().clone()),
    }
}

impl End {
    /// Something that is over as it comes was made by another clock, and says nothing.
    pub fn at(&self) -> Option<Instant> {
        let seconds = match (self.expires_in, &self.expires_at) {
            (Some(seconds), _) if seconds != 0 => seconds,
            (_, Some(at)) => (OffsetDateTime::parse(at, &Rfc3339).ok()? - OffsetDateTime::now_utc()).whole_seconds(),
            _ => return None,
        };
        // A day is as good as any more.
        let seconds = u64::try_from(seconds).ok().map(Duration::from_secs)?;
        (seconds > 2 * SOON).then(|| Instant::now() + seconds.min(Duration::from_hours(24)))
    }
}

/// Whether what ends then is of no use any more.
pub(super) fn is_over(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() + SOON >= until)
}

/// The headers that an action may set: none that decide where a request ends, or whom it is for.
pub(super) fn headers(said: HashMap<String, String>) -> Result<HeaderMap, String> {
    const REFUSED: [&str; 9] =
        ["host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect", "accept-encoding"];
    let bytes: usize = said.iter().map(|(name, value)| name.len() + value.len()).sum();
    if said.len() > MOST_HEADERS || bytes > HEADER_BYTES {
        return Err(format!("it comes with {} headers of {bytes} bytes", said.len()));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in said {
        let bad = || format!("it comes with a header that nobody may set: {:?}", short(&name));
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        if REFUSED.contains(&key.as_str()) || key.as_str().starts_with("proxy-") {
            return Err(bad());
        }
        let mut value = HeaderValue::from_str(&value).map_err(|_| bad())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}
