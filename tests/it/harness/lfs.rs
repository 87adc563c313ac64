//! An LFS server (git-lfs, docs/api: the batch API and basic transfers): Debian has none. The real client pushes to it.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use super::engine::{Engine, succeeded};
use super::http::{Framing, Head, Messages, dechunked};
use super::process::new_listener;
use super::relay::lock;

/// Serves as long as the tests run. Objects are files, by their ids.
pub struct LfsServer {
    pub dir: PathBuf,
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    demands: Arc<Mutex<Demands>>,
}

#[derive(Default)]
struct Demands {
    /// What batch requests have to say in `Authorization`.
    authorization: Option<String>,
    /// The status and headers of the next batch requests.
    refusals: VecDeque<String>,
}

impl LfsServer {
    pub fn start() -> Self {
        let dir = Engine::shared().new_dir("lfs");
        let (listener, port) = new_listener();
        let (requests, demands) = (Arc::default(), Arc::default());
        let (objects, log, wanted) = (dir.clone(), Arc::clone(&requests), Arc::clone(&demands));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (objects, log, wanted) = (objects.clone(), Arc::clone(&log), Arc::clone(&wanted));
                thread::spawn(move || serve(stream, &objects, &log, &wanted));
            }
        });
        Self { dir, port, requests, demands }
    }

    /// From now on batch requests have to say this in `Authorization`.
    pub fn demand(&self, authorization: &str) {
        lock(&self.demands).authorization = Some(authorization.to_owned());
    }

    /// The next batch request gets this status, with headers behind it.
    pub fn refuse(&self, status: &str) {
        lock(&self.demands).refusals.push_back(status.to_owned());
    }

    /// What `lfs.url` is to be.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/lfs", self.port)
    }

    /// Every request so far: `METHOD target authorization`, with `-` for none.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.requests).clone()
    }

    /// The file becomes an object; the pointer to it.
    pub fn take(&self, file: &Path) -> String {
        let (size, id) = (fs::metadata(file).unwrap().len(), succeeded(Command::new("sha256sum").arg(file))[..64].to_owned());
        fs::rename(file, self.dir.join(&id)).unwrap();
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{id}\nsize {size}\n")
    }
}

fn serve(stream: TcpStream, objects: &Path, log: &Mutex<Vec<String>>, demands: &Mutex<Demands>) -> io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut messages = Messages::new(stream);
    while let Some(head) = messages.head()? {
        let (mut body, framing) = (Vec::new(), head.request_framing());
        messages.body(framing, &mut |part| {
            body.extend_from_slice(part);
            Ok(())
        })?;
        let body = if framing == Framing::Chunked { dechunked(&body) } else { body };
        let shown = head.header("authorization").unwrap_or("-");
        lock(log).push(format!("{} {} {shown}", head.word(0), head.word(1)));
        if let Some(status) = refusal(&head, shown, &mut lock(demands)) {
            send(&mut out, &status, 0)?;
            continue;
        }
        answer(&head, &body, objects, &mut out)?;
    }
    Ok(())
}

fn refusal(head: &Head, shown: &str, demands: &mut Demands) -> Option<String> {
    if head.word(1) != "/lfs/objects/batch" {
        return None;
    }
    let refused = demands.authorization.as_ref().is_some_and(|wanted| wanted != shown);
    demands.refusals.pop_front().or_else(|| refused.then(|| "401 Unauthorized".to_owned()))
}

fn answer(head: &Head, body: &[u8], objects: &Path, out: &mut TcpStream) -> io::Result<()> {
    let object = head.word(1).strip_prefix("/objects/").map(|id| objects.join(id));
    match (head.word(0), object) {
        ("POST", None) if head.word(1) == "/lfs/objects/batch" => {
            let text = batch(head, body, objects).to_string();
            send(out, "200 OK", text.len() as u64)?;
            out.write_all(text.as_bytes())
        }
        ("PUT", Some(object)) => {
            fs::write(object, body)?;
            send(out, "200 OK", 0)
        }
        ("GET", Some(object)) if object.exists() => {
            let mut file = File::open(object)?;
            send(out, "200 OK", file.metadata()?.len())?;
            io::copy(&mut file, out).map(|_| ())
        }
        _ => send(out, "404 Not Found", 0),
    }
}

fn send(out: &mut TcpStream, status: &str, length: u64) -> io::Result<()> {
    write!(out, "HTTP/1.1 {status}\r\nContent-Type: application/vnd.git-lfs+json\r\nContent-Length: {length}\r\n\r\n")
}

fn batch(head: &Head, body: &[u8], objects: &Path) -> Value {
    let question: Value = serde_json::from_slice(body).unwrap_or_default();
    let operation = question["operation"].as_str().unwrap_or_default();
    let one = |object: &Value| {
        let (oid, size) = (object["oid"].as_str().unwrap_or_default(), &object["size"]);
        let action = json!({operation: {"href": format!("http://{}/objects/{oid}", head.header("host").unwrap_or_default())}});
        match (operation, objects.join(oid).exists()) {
            ("upload", true) => json!({"oid": oid, "size": size}),
            ("download", false) => json!({"oid": oid, "size": size, "error": {"code": 404, "message": "Object does not exist"}}),
            _ => json!({"oid": oid, "size": size, "actions": action}),
        }
    };
    let objects: Vec<Value> = question["objects"].as_array().into_iter().flatten().map(one).collect();
    json!({"transfer": "basic", "objects": objects})
}
