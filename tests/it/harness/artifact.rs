//! Artifacts in a real registry, put there as any client does (distribution-spec, "Pushing Blobs", "Pushing Manifests").

use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::http::{Answer, send};
use super::registry::Registry;

/// Media types, as they are in use.
pub const IMAGE_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const FLUX_LAYER: &str = "application/vnd.cncf.flux.content.v1.tar+gzip";
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A registry and a repository to put things into, with the login that it wants.
#[derive(Debug)]
pub struct Shelf<'a> {
    pub registry: &'a Registry,
    pub repository: &'a str,
    pub login: Option<(&'a str, &'a str)>,
}

impl Shelf<'_> {
    fn ask(&self, method: &str, target: &str, content_type: &str, body: &[u8]) -> Answer {
        let length = body.len().to_string();
        let login = self.login.map(|(user, password)| format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        let mut headers = vec![("content-length", length.as_str()), ("content-type", content_type)];
        headers.extend(login.as_deref().map(|login| ("authorization", login)));
        let answer = send(TcpStream::connect(("127.0.0.1", self.registry.port())).unwrap(), method, target, &headers, body).unwrap();
        assert!(
            matches!(answer.head.status(), 201 | 202),
            "{method} {target}: {} {}",
            answer.head.first,
            String::from_utf8_lossy(&answer.body)
        );
        answer
    }

    /// A blob; its digest.
    pub fn blob(&self, bytes: &[u8]) -> String {
        let digest = format!("sha256:{:x}", Sha256::digest(bytes));
        let begun = self.ask("POST", &format!("/v2/{}/blobs/uploads/", self.repository), "application/octet-stream", b"");
        let place = begun.head.header("location").expect("a place to upload to");
        let place = place.split_once("/v2/").map(|(_, rest)| format!("/v2/{rest}")).unwrap();
        let joint = if place.contains('?') { '&' } else { '?' };
        self.ask("PUT", &format!("{place}{joint}digest={digest}"), "application/octet-stream", bytes);
        digest
    }

    /// A blob as a manifest describes it.
    pub fn layer(&self, media_type: &str, annotations: &Value, bytes: &[u8]) -> Value {
        json!({"mediaType": media_type, "digest": self.blob(bytes), "size": bytes.len(), "annotations": annotations})
    }

    /// An artifact of these layers, under a tag; its digest.
    pub fn artifact(&self, tag: &str, layers: &[Value], annotations: &Value) -> String {
        let config = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": self.blob(b"{}"), "size": 2});
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers, "annotations": annotations});
        self.manifest(tag, MANIFEST, &manifest)
    }

    /// An index of these manifests, each once for every further set of annotations.
    pub fn index(&self, tag: &str, manifests: &[(&str, Value)]) -> String {
        let size = |digest: &str| self.registry.blob(digest).len();
        let entries: Vec<Value> = manifests
            .iter()
            .map(|(digest, annotations)| json!({"mediaType": MANIFEST, "digest": digest, "size": size(digest), "annotations": annotations}))
            .collect();
        self.manifest(tag, INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}))
    }

    fn manifest(&self, tag: &str, media_type: &str, manifest: &Value) -> String {
        let bytes = serde_json::to_vec(manifest).unwrap();
        self.ask("PUT", &format!("/v2/{}/manifests/{tag}", self.repository), media_type, &bytes);
        format!("sha256:{:x}", Sha256::digest(&bytes))
    }

    /// `host/repository@digest`.
    pub fn pinned(&self, digest: &str) -> String {
        format!("{}/{}@{digest}", self.registry.host(), self.repository)
    }
}
