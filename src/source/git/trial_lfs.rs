//! For tests only: an LFS server (git-lfs, docs/api) beside a repository's own. The real client pushes to it and clones from it,
//! so that it is as faithful as it has to be; a test may change what it says.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::trial::{Repo, backend, git};
use crate::net::trial::{Asked, Server, answer};

const JSON: (&str, &str) = ("Content-Type", "application/vnd.git-lfs+json");

/// A repository, and its objects by their ids.
#[derive(Clone)]
pub struct LfsHost {
    pub repo: Repo,
    pub objects: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    scheme: &'static str,
}

pub fn is_batch(asked: &Asked) -> bool {
    asked.method == "POST" && asked.path().ends_with("/info/lfs/objects/batch")
}

pub fn is_object(asked: &Asked) -> bool {
    asked.method == "GET" && asked.path().starts_with("/objects/")
}

/// The ids that a batch request asks for.
pub fn ids(asked: &Asked) -> Vec<String> {
    let question: Value = serde_json::from_slice(&asked.body).unwrap();
    question["objects"].as_array().unwrap().iter().map(|object| object["oid"].as_str().unwrap().to_owned()).collect()
}

impl LfsHost {
    pub fn new(repo: &Repo) -> Self {
        Self { repo: repo.clone(), objects: Arc::default(), scheme: "http" }
    }

    pub fn over_tls(self) -> Self {
        Self { scheme: "https", ..self }
    }

    pub fn serve(&self) -> Server {
        let host = self.clone();
        Server::plain(move |asked, out| host.answer(asked, out))
    }

    /// Serves with other answers to batch requests than the right ones.
    pub fn serve_changed(&self, change: impl Fn(&Asked, &mut Value) + Send + Sync + 'static) -> Server {
        let host = self.clone();
        Server::plain(move |asked, out| {
            if !is_batch(asked) {
                return host.answer(asked, out);
            }
            let mut said = host.batch(asked);
            change(asked, &mut said);
            say(out, 200, &said)
        })
    }

    /// The repository, the batch API, and the objects, which are got and put below `/objects/`.
    pub fn answer(&self, asked: &Asked, out: &mut dyn Write) -> io::Result<()> {
        if is_batch(asked) {
            return say(out, 200, &self.batch(asked));
        }
        let Some(id) = asked.path().strip_prefix("/objects/") else {
            return if asked.path().contains("/info/lfs/") { answer(out, 404, &[], b"") } else { backend(&self.repo, asked, out) };
        };
        if asked.method == "PUT" {
            self.objects.lock().unwrap().insert(id.to_owned(), asked.body.clone());
            return answer(out, 200, &[], b"");
        }
        let object = self.objects.lock().unwrap().get(id).cloned();
        match object {
            Some(object) => answer(out, 200, &[("Content-Type", "application/octet-stream")], &object),
            None => answer(out, 404, &[], b""),
        }
    }

    pub fn batch(&self, asked: &Asked) -> Value {
        let question: Value = serde_json::from_slice(&asked.body).unwrap();
        assert_eq!(asked.header("accept").map(|accept| accept.split(';').next().unwrap()), Some(JSON.1));
        let upload = question["operation"] == "upload";
        let have = self.objects.lock().unwrap();
        let one = |object: &Value| {
            let (oid, size) = (object["oid"].as_str().unwrap(), &object["size"]);
            let href = format!("{}://{}/objects/{oid}", self.scheme, asked.header("host").unwrap());
            let action = json!({"href": href, "expires_in": 3600});
            match (upload, have.contains_key(oid)) {
                (true, true) => json!({"oid": oid, "size": size}),
                (true, false) => json!({"oid": oid, "size": size, "actions": {"upload": action}}),
                (false, true) => json!({"oid": oid, "size": size, "authenticated": true, "actions": {"download": action}}),
                (false, false) => json!({"oid": oid, "size": size, "error": {"code": 404, "message": "Object does not exist"}}),
            }
        };
        let objects: Vec<Value> = question["objects"].as_array().unwrap().iter().map(one).collect();
        json!({"transfer": "basic", "objects": objects, "hash_algo": "sha256"})
    }
}

pub fn say(out: &mut dyn Write, status: u16, said: &Value) -> io::Result<()> {
    answer(out, status, &[JSON], said.to_string().as_bytes())
}

/// The files become pointers, and the objects go to the server, by git-lfs itself.
pub fn track(repo: &Repo, pattern: &str) {
    repo.git(&["lfs", "install", "--local", "--skip-repo"]);
    repo.git(&["config", "lfs.locksverify", "false"]);
    repo.git(&["lfs", "track", pattern]);
}

pub fn push(repo: &Repo, server: &Server) {
    repo.git(&["lfs", "push", "--all", server.at("/repo.git").as_str(), "main"]);
}

/// A clone with git-lfs at work.
pub fn clone(server: &Server) -> tempfile::TempDir {
    let dir = tempfile::TempDir::new().unwrap();
    let filter = ["filter.lfs.process=git-lfs filter-process", "filter.lfs.smudge=git-lfs smudge -- %f", "filter.lfs.required=true"];
    let mut command = git(dir.path());
    for setting in filter {
        command.args(["-c", setting]);
    }
    let output = command.args(["clone", "-q", server.at("/repo.git").as_str(), "clone"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    dir
}
