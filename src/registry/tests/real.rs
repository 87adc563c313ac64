//! Against Debian's docker-registry, with passwords and with TLS.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use oci_distribution::client::{ClientConfig, ClientProtocol};
use oci_distribution::secrets::RegistryAuth;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::model::keychain::{Credential, Keychain};
use crate::model::{Classified, Digest, Reason, Reference};
use crate::net::{self, SystemRoots, Trust};
use crate::registry::{Client, DockerKeychain, Options, RegistryError, Source};
use crate::support::guard::Guard;
use crate::support::redact::Redactor;
use crate::support::secretdir::SecretDir;

const PASSWORD: &str = "p@ss: wörd/1";

/// A registry of its own, gone with the test.
struct Registry {
    host: String,
    directory: TempDir,
    child: Child,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Registry {
    fn start(tls: Option<&rcgen::CertifiedKey<rcgen::KeyPair>>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let passwords = Command::new("htpasswd").args(["-Bbn", "user", PASSWORD]).output().unwrap();
        assert!(passwords.status.success());
        fs::write(root.join("htpasswd"), passwords.stdout).unwrap();
        let tls = tls.map_or_else(String::new, |key| {
            fs::write(root.join("cert.pem"), key.cert.pem()).unwrap();
            fs::write(root.join("key.pem"), key.signing_key.serialize_pem()).unwrap();
            format!("  tls: {{certificate: {0}/cert.pem, key: {0}/key.pem}}\n", root.display())
        });
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {0}/data}}}}\n\
             http:\n  addr: {host}\n{tls}auth: {{htpasswd: {{realm: test, path: {0}/htpasswd}}}}\n",
            root.display()
        );
        fs::write(root.join("config.yml"), config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(root.join("config.yml")).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self { child: command.spawn().expect("docker-registry is installed"), host, directory };
        let before = Instant::now();
        while TcpStream::connect(&registry.host).is_err() {
            assert!(before.elapsed() < Duration::from_secs(20), "the registry does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    fn name(&self, repository: &str) -> Reference {
        Reference::parse(&format!("{}/{repository}", self.host)).unwrap()
    }

    /// Pushes an image without layers worth speaking of. Its manifest and its config's digest.
    async fn push(&self, repository: &str, tag: &str) -> (Vec<u8>, Digest) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() };
        let client = oci_distribution::Client::try_from(config).unwrap();
        let name = oci_distribution::Reference::with_tag(self.host.clone(), repository.to_owned(), tag.to_owned());
        let auth = RegistryAuth::Basic("user".into(), PASSWORD.into());
        client.auth(&name, &auth, oci_distribution::RegistryOperation::Push).await.unwrap();
        let blob = br#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}"#;
        let digest = Digest::sha256(Sha256::digest(blob));
        client.push_blob(&name, &blob[..], digest.as_str()).await.unwrap();
        let media_type = "application/vnd.docker.distribution.manifest.v2+json";
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","size":{},"digest":"{digest}"}},"layers":[]}}"#,
            blob.len()
        );
        client.push_manifest_raw(&name, manifest.clone(), media_type.parse().unwrap()).await.unwrap();
        (manifest.into_bytes(), digest)
    }
}

fn password(value: &str) -> Credential {
    Credential::Basic { username: "user".into(), password: SecretString::from(value) }
}

fn client(options: &Options) -> Client {
    Client::new(options, Arc::default()).unwrap()
}

fn trusting(bundle: &[u8]) -> Options {
    let trust = Trust { extra: vec![bundle.to_vec()] };
    Options { net: net::Settings { trust, ..net::Settings::default() }, ..Options::default() }
}

#[tokio::test]
async fn a_pushed_tag_is_read_back_as_it_is() {
    let registry = Registry::start(None);
    let (manifest, config) = registry.push("team/web", "1.2").await;
    let secret = registry.directory.path().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("username"), "user\n").unwrap();
    fs::write(secret.join("password"), PASSWORD).unwrap();
    let source = Source::Directory { secret: SecretDir::new(secret, Guard::default()), hosts: vec![registry.host.clone()] };
    let redactor = Arc::new(Redactor::default());
    let keychain = DockerKeychain::new(vec![source], Arc::clone(&redactor));
    let credential = keychain.resolve(&registry.name("team/web:1.2")).unwrap().unwrap();
    assert_eq!(redactor.scrub(PASSWORD), "[redacted]");

    let client = client(&Options::default());
    let found = client.read_back(&registry.name("team/web:1.2"), Some(&credential)).await.unwrap();
    let digest = Digest::sha256(Sha256::digest(&manifest));
    assert_eq!((found.digest.clone(), found.size, found.config_digest), (digest.clone(), manifest.len() as u64, Some(config)));
    assert_eq!(found.media_type, "application/vnd.docker.distribution.manifest.v2+json");
    let pinned = registry.name(&format!("team/web@{digest}"));
    assert_eq!(client.read_back(&pinned, Some(&credential)).await.unwrap().digest, digest);
}

#[tokio::test]
async fn a_real_registry_refuses_in_these_words() {
    let registry = Registry::start(None);
    registry.push("team/web", "1").await;
    let client = client(&Options::default());
    let read =
        async |name: &str, credential: Option<Credential>| client.read_back(&registry.name(name), credential.as_ref()).await.unwrap_err();
    assert_eq!(read("team/web:1", Some(password("wrong-password"))).await.reason(), Reason::PushAuth);
    assert_eq!(read("team/web:1", None).await.reason(), Reason::PushAuth);
    assert!(matches!(read("team/web:2", Some(password(PASSWORD))).await, RegistryError::NotFound { .. }));
    assert!(matches!(read("team/other:1", Some(password(PASSWORD))).await, RegistryError::NotFound { .. }));
}

#[tokio::test]
async fn a_private_ca_has_to_be_given() {
    let key = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let registry = Registry::start(Some(&key));
    let name = registry.name("team/web:1");
    let credential = password(PASSWORD);
    let error = client(&Options::default()).read_back(&name, Some(&credential)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Tls { .. }) && error.may_ask_the_engine(), "{error}");

    let trusting = trusting(key.cert.pem().as_bytes());
    let error = client(&trusting).read_back(&name, Some(&credential)).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { .. }), "let in over TLS: {error}");

    let other = rcgen::generate_simple_self_signed(vec!["registry.example.com".into()]).unwrap();
    let elsewhere = Registry::start(Some(&other));
    let trusting = Options { plain_http: vec![elsewhere.host.clone()], ..self::trusting(other.cert.pem().as_bytes()) };
    let error = client(&trusting).read_back(&elsewhere.name("team/web:1"), Some(&credential)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Tls { .. }), "a wrong name is no reason for plain http: {error}");
}

#[test]
fn a_ca_bundle_that_is_none_is_refused() {
    let options = trusting(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert_eq!(Client::new(&options, Arc::default()).err().unwrap().reason(), Reason::SecretInvalid);
}

#[tokio::test]
async fn a_pod_without_any_ca_reads_over_plain_http_and_says_what_is_missing() {
    let roots = SystemRoots::At { file: None, directories: Vec::new() };
    let client = client(&Options { net: net::Settings { roots, ..net::Settings::default() }, ..Options::default() });
    let plain = Registry::start(None);
    plain.push("team/web", "1").await;
    assert!(client.read_back(&plain.name("team/web:1"), Some(&password(PASSWORD))).await.is_ok());
    let key = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let secure = Registry::start(Some(&key));
    let error = client.read_back(&secure.name("team/web:1"), None).await.unwrap_err();
    assert!(matches!(&error, RegistryError::Tls { problem, .. } if problem.contains("no CA certificates at all")), "{error}");
}
