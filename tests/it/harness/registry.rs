//! Real registries (docker-registry 2.8), and what they really hold: read from their own storage, past every client.

use std::fmt::Write as _;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::engine::{Engine, succeeded};
use super::process::{Peer, new_port};
use super::tls::Tls;

/// A registry with a storage of its own; it ends with this.
#[derive(Debug)]
pub struct Registry {
    peer: Peer,
    storage: Storage,
    tls: Option<Tls>,
    dir: PathBuf,
}

/// What a registry holds, as it lies on the disk.
#[derive(Debug)]
pub struct Storage(PathBuf);

impl Deref for Registry {
    type Target = Storage;

    fn deref(&self) -> &Storage {
        &self.storage
    }
}

/// What a registry asks of its clients.
#[derive(Debug, Default)]
pub struct Demands<'a> {
    pub login: Option<(&'a str, &'a str)>,
    /// TLS by an authority of its own, which the engine is told of.
    pub tls: bool,
}

impl Registry {
    /// The one without demands, for every test that does not care.
    pub fn shared() -> &'static Self {
        static REGISTRY: OnceLock<Registry> = OnceLock::new();
        REGISTRY.get_or_init(|| Self::start(&Demands::default()))
    }

    pub fn start(demands: &Demands) -> Self {
        let dir = Engine::shared().new_dir("r");
        let port = new_port();
        let tls = demands.tls.then(|| Tls::new_in(&dir));
        let mut config = format!(
            "version: 0.1\nlog: {{accesslog: {{disabled: false}}}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}, delete: {{enabled: true}}}}\nhttp:\n  addr: '127.0.0.1:{port}'\n",
            dir.join("data").display()
        );
        if let Some(tls) = &tls {
            let _ = writeln!(config, "  tls: {{certificate: '{}', key: '{}'}}", tls.certificate.display(), tls.key.display());
            trusted_by_engine(port, &tls.ca);
        }
        if let Some((user, password)) = demands.login {
            write_login(&dir, user, password);
            let _ = writeln!(config, "auth: {{htpasswd: {{realm: tests, path: '{}'}}}}", dir.join(LOGIN).display());
        }
        fs::write(dir.join("config.yml"), config).unwrap();
        let peer = Peer::start(Command::new("docker-registry").arg("serve").arg(dir.join("config.yml")).env_clear(), port, &dir);
        Self { peer, storage: Storage::below(&dir), tls, dir }
    }

    /// Lets in nobody but this user from now on: it reads the file again when that has changed.
    pub fn replace_login(&self, user: &str, password: &str) {
        write_login(&self.dir, user, password);
    }

    pub fn port(&self) -> u16 {
        self.peer.port
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.peer.port)
    }

    /// The authority's certificate, of a registry that speaks TLS.
    pub fn ca(&self) -> String {
        fs::read_to_string(&self.tls.as_ref().expect("a registry with TLS").ca).unwrap()
    }
}

impl Storage {
    fn below(dir: &Path) -> Self {
        Self(dir.join("data/docker/registry/v2"))
    }

    /// Of the registries of this test run, one that holds this digest.
    pub fn holding(digest: &str) -> Option<Self> {
        let dirs = fs::read_dir(Engine::shared().dir.join("w")).unwrap();
        let mut storages = dirs.map_while(Result::ok).map(|dir| Self::below(&dir.path()));
        storages.find(|storage| storage.path(digest).exists())
    }

    pub fn path(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap_or_else(|| panic!("not a digest: {digest}"));
        self.0.join("blobs/sha256").join(&hex[..2]).join(hex).join("data")
    }

    /// The digest that a tag points to; `None` where there is no such tag.
    pub fn tag(&self, repository: &str, tag: &str) -> Option<String> {
        let link = self.0.join("repositories").join(repository).join("_manifests/tags").join(tag).join("current/link");
        fs::read_to_string(link).ok().map(|digest| digest.trim().to_owned())
    }

    /// Every tag of a repository.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let tags = self.0.join("repositories").join(repository).join("_manifests/tags");
        let Ok(entries) = fs::read_dir(tags) else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A blob or manifest, proved to be what its digest says.
    pub fn blob(&self, digest: &str) -> Vec<u8> {
        let bytes = fs::read(self.path(digest)).unwrap_or_else(|e| panic!("the registry does not hold {digest}: {e}"));
        assert_eq!(format!("sha256:{:x}", Sha256::digest(&bytes)), digest, "the registry holds something else under that digest");
        bytes
    }

    pub fn json(&self, digest: &str) -> Value {
        serde_json::from_slice(&self.blob(digest)).unwrap()
    }

    /// The image manifest behind a digest: itself, or an index's one image.
    pub fn manifest(&self, digest: &str) -> Value {
        let document = self.json(digest);
        let Some(children) = document["manifests"].as_array() else { return document };
        let images: Vec<&Value> = children.iter().filter(|child| child["platform"]["os"] != "unknown").collect();
        assert_eq!(images.len(), 1, "an index with other than one image: {document}");
        self.json(images[0]["digest"].as_str().unwrap())
    }
}

/// Who is let in, in a registry's directory.
const LOGIN: &str = "htpasswd";

fn write_login(dir: &Path, user: &str, password: &str) {
    succeeded(Command::new("htpasswd").args(["-Bbc", "-C", "5"]).arg(dir.join(LOGIN)).args([user, password]));
}

/// The engine reads its certificates at each connection, from its own /etc/docker.
fn trusted_by_engine(port: u16, ca: &Path) {
    let dir = Engine::shared().dir.join(format!("etc-docker/certs.d/127.0.0.1:{port}"));
    fs::create_dir_all(&dir).unwrap();
    fs::copy(ca, dir.join("ca.crt")).unwrap();
}

/// A base image with a static busybox, in the shared registry and on the engine; its full reference.
pub fn base() -> &'static str {
    static BASE: OnceLock<String> = OnceLock::new();
    BASE.get_or_init(|| {
        let engine = Engine::shared();
        let reference = format!("{}/base/busybox:1", Registry::shared().host());
        let dir = engine.new_dir("b");
        fs::create_dir(dir.join("bin")).unwrap();
        fs::copy("/bin/busybox", dir.join("bin/busybox")).unwrap();
        for name in ["sh", "cat", "echo", "sleep", "ls", "true", "false", "id", "dd", "mkdir", "rm", "env", "seq", "touch", "chmod"] {
            std::os::unix::fs::symlink("busybox", dir.join("bin").join(name)).unwrap();
        }
        fs::create_dir(dir.join("tmp")).unwrap();
        let tar = dir.with_extension("tar");
        succeeded(Command::new("tar").args(["--owner=0", "--group=0", "--numeric-owner", "-cf"]).arg(&tar).arg("-C").arg(&dir).arg("."));
        engine.docker_ok(&["import", "--change", "ENV PATH=/bin", tar.to_str().unwrap(), &reference]);
        engine.docker_ok(&["push", &reference]);
        reference
    })
}
