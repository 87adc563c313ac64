//! Pulling from registries that change their mind, send elsewhere, or describe what cannot be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use secrecy::SecretString;
use serde_json::{Value, json};

use super::fake::{Fake, respond};
use crate::model::artifact::Stored;
use crate::model::keychain::Credential;
use crate::model::{Digest, Reference};
use crate::net::Settings;
use crate::registry::{Client, Options, RegistryError};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn digest(letter: &str) -> String {
    format!("sha256:{}", letter.repeat(64))
}

fn entry(letter: &str, size: i64, annotations: &Value) -> Value {
    json!({"mediaType": "application/x-tar", "digest": digest(letter), "size": size, "annotations": annotations})
}

fn manifest(layers: &[Value]) -> String {
    json!({"schemaVersion": 2, "mediaType": OCI, "config": entry("c", 2, &json!({})), "layers": layers}).to_string()
}

fn client() -> Client {
    client_led(true)
}

/// `near`: registries may lead to this machine, where all of them are.
fn client_led(near: bool) -> Client {
    let net = Settings { loopback: near, ..Settings::default() };
    Client::new(&Options { net, ..Options::default() }, Arc::default()).unwrap()
}

fn reference(fake: &Fake) -> Reference {
    Reference::parse(&format!("{}/team/src:1", fake.host)).unwrap()
}

async fn stored(media_type: &'static str, document: String) -> Result<Stored, RegistryError> {
    let fake = Fake::start(move |_, stream| respond(stream, "200 OK", &[("Content-Type", media_type)], document.as_bytes()));
    let (client, reference) = (client(), reference(&fake));
    client.pull(&reference, None).await.map(|(_, pulled)| pulled.stored)
}

#[tokio::test]
async fn a_manifest_and_an_index_are_told_apart_and_attestations_left_out() {
    let Stored::Artifact(artifact) = stored(OCI, manifest(&[entry("a", 7, &json!({"k": "v"}))])).await.unwrap() else { panic!() };
    assert_eq!((artifact.size(), artifact.layers[0].digest.to_string()), (7, digest("a")));
    assert_eq!(artifact.layers[0].annotations["k"], "v");
    let attests = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry("a", 1, &json!({})), entry("b", 1, &attests)]});
    let Stored::Index(named) = stored(INDEX, index.to_string()).await.unwrap() else { panic!() };
    assert_eq!(named, [Digest::parse(&digest("a")).unwrap()]);
}

#[tokio::test]
async fn a8_a_layer_of_less_than_nothing_or_without_a_digest_is_not_believed() {
    let mut bad = entry("a", 1, &json!({}));
    bad["digest"] = json!("sha256:../../../etc/passwd");
    let mut sizeless = entry("a", 1, &json!({}));
    sizeless["size"] = json!("1");
    for layer in [entry("a", -1, &json!({})), bad, sizeless] {
        assert!(matches!(stored(OCI, manifest(&[layer])).await, Err(RegistryError::Protocol { .. })));
    }
}

#[tokio::test]
async fn a_token_that_ended_is_fetched_anew_once() {
    let tokens = AtomicUsize::new(0);
    let fake = Fake::start(move |asked, stream| {
        let shown = asked.header("authorization").unwrap_or_default();
        if asked.line.contains("/token") {
            let token = format!(r#"{{"token":"t0ken-{}"}}"#, tokens.fetch_add(1, Ordering::SeqCst));
            return respond(stream, "200 OK", &[], token.as_bytes());
        }
        match (asked.line.contains("/manifests/"), shown) {
            (true, "Bearer t0ken-0") => respond(stream, "200 OK", &[("Content-Type", OCI)], manifest(&[]).as_bytes()),
            // The first blob's token ended; for the second one none is good.
            (false, "Bearer t0ken-1") if asked.line.contains(&digest("a")) => respond(stream, "200 OK", &[], b"blob"),
            _ => {
                let challenge = format!("Bearer realm=\"http://{}/token\"", asked.header("host").unwrap());
                respond(stream, "401 Unauthorized", &[("WWW-Authenticate", &challenge)], b"{}");
            }
        }
    });
    let (client, reference) = (client(), reference(&fake));
    let credential = Credential::Basic { username: "user".into(), password: SecretString::from("pass-word-1") };
    let (mut pull, _) = client.pull(&reference, Some(&credential)).await.unwrap();
    let blob = pull.blob(&Digest::parse(&digest("a")).unwrap()).await.unwrap();
    assert_eq!(&blob.bytes(9).await.unwrap()[..], b"blob");
    let error = pull.blob(&Digest::parse(&digest("b")).unwrap()).await.err().unwrap();
    assert!(matches!(error, RegistryError::Auth { .. }), "{error}");
    assert_eq!(fake.asked().iter().filter(|asked| asked.line.contains(&digest("b"))).count(), 2);
}

#[tokio::test]
async fn a_blob_is_fetched_elsewhere_without_a_credential_and_never_from_this_node_alone() {
    let elsewhere = Fake::start(|_, stream| respond(stream, "200 OK", &[], b"blob"));
    let there = format!("http://{}/bucket/blob?sig=1", elsewhere.host);
    let fake = Fake::start(move |asked, stream| {
        if asked.header("authorization").is_none() {
            return respond(stream, "401 Unauthorized", &[("WWW-Authenticate", "Basic realm=\"r\"")], b"{}");
        }
        match asked.line.as_str() {
            line if line.contains("/manifests/") => respond(stream, "200 OK", &[("Content-Type", OCI)], manifest(&[]).as_bytes()),
            line if line.contains(&digest("a")) => respond(stream, "307 Temporary Redirect", &[("Location", &there)], b""),
            _ => respond(stream, "307 Temporary Redirect", &[("Location", "http://169.254.169.254/latest/meta-data")], b""),
        }
    });
    let (client, reference) = (client(), reference(&fake));
    let credential = Credential::Basic { username: "user".into(), password: SecretString::from("pass-word-1") };
    let (mut pull, _) = client.pull(&reference, Some(&credential)).await.unwrap();
    let blob = pull.blob(&Digest::parse(&digest("a")).unwrap()).await.unwrap();
    assert_eq!(&blob.bytes(9).await.unwrap()[..], b"blob");
    let asked = elsewhere.asked();
    assert!(asked.len() == 1 && asked[0].header("authorization").is_none(), "{asked:?}");
    let error = pull.blob(&Digest::parse(&digest("b")).unwrap()).await.err().unwrap();
    assert!(matches!(&error, RegistryError::CannotVerify { problem, .. } if problem.contains("refused")), "{error}");
    let far = client_led(false);
    let (mut pull, _) = far.pull(&reference, Some(&credential)).await.unwrap();
    let error = pull.blob(&Digest::parse(&digest("a")).unwrap()).await.err().unwrap();
    assert!(matches!(&error, RegistryError::CannotVerify { problem, .. } if problem.contains("this pod itself")), "{error}");
    assert_eq!(elsewhere.asked().len(), 1);
}

#[tokio::test]
async fn a_missing_blob_is_named() {
    let fake = Fake::start(|asked, stream| {
        let there = asked.line.contains("/manifests/");
        let (status, body) = if there { ("200 OK", manifest(&[])) } else { ("404 Not Found", "{}".to_owned()) };
        respond(stream, status, &[("Content-Type", OCI)], body.as_bytes());
    });
    let (client, reference) = (client(), reference(&fake));
    let (mut pull, _) = client.pull(&reference, None).await.unwrap();
    let error = pull.blob(&Digest::parse(&digest("a")).unwrap()).await.err().unwrap();
    assert!(error.to_string().contains(&digest("a")), "{error}");
}
