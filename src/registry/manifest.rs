//! What a manifest says, once it is sure that it says one thing only.
//!
//! The digest is computed here from the bytes; what the server calls them is only compared with it.

use oci_distribution::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciImageIndex,
    OciImageManifest,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256, Sha512};

use crate::model::digest::hex;
use crate::model::{Digest, Reference};

/// The documents we ask for and understand: an image by itself, and an index of several.
pub const MEDIA_TYPES: [&str; 4] =
    [OCI_IMAGE_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE];

/// A tag as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteImage {
    /// SHA-256 of the manifest's bytes.
    pub digest: Digest,
    pub media_type: String,
    /// Bytes of the manifest.
    pub size: u64,
    /// The image's configuration; an index has none of its own.
    pub config_digest: Option<Digest>,
}

/// Reads a manifest. The error says what is wrong with it. `content_type` and `named` are the server's headers, `named` being
/// `Docker-Content-Digest`.
pub fn read(bytes: &[u8], content_type: Option<&str>, named: Option<&str>, reference: &Reference) -> Result<RemoteImage, String> {
    let digest = Digest::sha256(Sha256::digest(bytes));
    if let Some(named) = named {
        let named = Digest::parse(named).map_err(|_| "its Docker-Content-Digest is not a digest".to_owned())?;
        same(bytes, &digest, &named, "the server calls it")?;
    }
    if let Some(wanted) = reference.digest() {
        same(bytes, &digest, wanted, "it was asked for as")?;
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|_| "the manifest is not JSON".to_owned())?;
    let object = value.as_object().ok_or("the manifest is not a JSON object")?;
    let media_type = media_type(object, content_type)?;
    let index = [OCI_IMAGE_INDEX_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE].contains(&media_type);
    one_meaning(object, index)?;
    let config_digest = if index {
        let index: OciImageIndex = parse(bytes)?;
        index.manifests.iter().try_for_each(|entry| valid(&entry.digest).map(drop))?;
        None
    } else {
        let image: OciImageManifest = parse(bytes)?;
        image.layers.iter().try_for_each(|layer| valid(&layer.digest).map(drop))?;
        Some(valid(&image.config.digest)?)
    };
    Ok(RemoteImage { digest, media_type: media_type.to_owned(), size: bytes.len() as u64, config_digest })
}

fn same(bytes: &[u8], sha256: &Digest, other: &Digest, who: &str) -> Result<(), String> {
    let is = other == sha256 || other.as_str().starts_with("sha512:") && other.hex() == hex(&Sha512::digest(bytes));
    if is { Ok(()) } else { Err(format!("the manifest's digest is {sha256}, but {who} {other}")) }
}

/// The type on which the document and the header agree (image-spec, descriptor.md; GO-2022-0379).
fn media_type<'a>(object: &'a Map<String, Value>, content_type: Option<&'a str>) -> Result<&'a str, String> {
    let header = content_type.map(|text| text.split(';').next().unwrap_or_default().trim()).filter(|text| !text.is_empty());
    let own = match object.get("mediaType") {
        None => None,
        Some(Value::String(text)) => Some(text.as_str()),
        Some(_) => return Err("the manifest's mediaType is not a string".into()),
    };
    let name = match (own, header) {
        (Some(own), Some(header)) if !own.eq_ignore_ascii_case(header) => {
            return Err("the manifest's mediaType is not its Content-Type".into());
        }
        (own, header) => own.or(header).ok_or("the manifest has no media type")?,
    };
    MEDIA_TYPES.into_iter().find(|known| name.eq_ignore_ascii_case(known)).ok_or_else(|| "the manifest is of no kind we know".into())
}

/// No document may be read as an image by one and as an index by another (GHSA-77vh-xpmg-72qh).
fn one_meaning(object: &Map<String, Value>, index: bool) -> Result<(), String> {
    let has = |name: &str| object.contains_key(name);
    let image_parts = has("layers") || has("config");
    if object.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
        return Err("the manifest's schemaVersion is not 2".into());
    }
    if has("fsLayers") || has("manifests") && image_parts {
        return Err("the manifest can be read as two kinds of document".into());
    }
    if index == image_parts || index != has("manifests") {
        return Err("the manifest is not what its media type says".into());
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("the manifest is malformed (line {}, column {})", error.line(), error.column()))
}

fn valid(digest: &str) -> Result<Digest, String> {
    Digest::parse(digest).map_err(|_| "the manifest refers to something that is not a digest".to_owned())
}
