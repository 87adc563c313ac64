//! For tests only: repositories made by git itself, served by git's own `http-backend` behind a scriptable server.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use secrecy::SecretString;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{Door, Fetched, GitError, GitTree, Lfs, Options, fetch};
use crate::event::SourceProgress;
use crate::model::{Address, CommitId, GitRef, TreePath};
use crate::net::trial::{Asked, Pki, Server, answer};
use crate::net::{BlockingClient, Client, Credential, Origin, Settings, Timeouts, Trust};
use crate::support::limits::Limits;

pub const PASSWORD: &str = "canary-51c7e9d0";

/// A repository with a worktree, made by the git CLI under nobody's configuration.
#[derive(Clone)]
pub struct Repo {
    pub dir: Arc<TempDir>,
}

impl Repo {
    pub fn new() -> Self {
        Self::init(&[])
    }

    pub fn init(arguments: &[&str]) -> Self {
        let repo = Self { dir: Arc::new(TempDir::new().unwrap()) };
        repo.git(&[&["init", "-q", "-b", "main"], arguments].concat());
        repo
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_in(arguments, b"")
    }

    pub fn git_in(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut child =
            git(self.path()).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "git {arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub fn write(&self, path: impl AsRef<Path>, body: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, body).unwrap();
    }

    pub fn commit(&self, subject: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", subject]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// A commit of a tree that git itself would not write.
    pub fn commit_tree(&self, tree: &[u8]) -> String {
        let tree = self.git_in(&["hash-object", "-t", "tree", "-w", "--stdin", "--literally"], tree);
        let commit = self.git(&["commit-tree", "-m", "hostile", &tree]);
        self.git(&["update-ref", "refs/heads/main", &commit]);
        commit
    }
}

pub fn git(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(dir).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    for (name, value) in [
        ("HOME", "/nonexistent"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_AUTHOR_NAME", "Ada"),
        ("GIT_AUTHOR_EMAIL", "ada@example.org"),
        ("GIT_AUTHOR_DATE", "1700000000 +0100"),
        ("GIT_COMMITTER_NAME", "Bob"),
        ("GIT_COMMITTER_EMAIL", "bob@example.org"),
        ("GIT_COMMITTER_DATE", "1700000100 -0500"),
    ] {
        command.env(name, value);
    }
    command
}

/// Answers as git's own CGI program would, for the repository below `/repo.git`.
pub fn backend(repo: &Repo, asked: &Asked, out: &mut dyn Write) -> io::Result<()> {
    let Some(path) = asked.path().strip_prefix("/repo.git") else { return answer(out, 404, &[], b"") };
    let mut child = git(repo.path())
        .arg("http-backend")
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_PROJECT_ROOT", repo.path())
        .env("PATH_INFO", format!("/.git{path}"))
        .env("QUERY_STRING", asked.query())
        .env("REQUEST_METHOD", &asked.method)
        .env("CONTENT_TYPE", asked.header("content-type").unwrap_or_default())
        .env("HTTP_GIT_PROTOCOL", asked.header("git-protocol").unwrap_or_default())
        .env("CONTENT_LENGTH", asked.body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    child.stdin.take().unwrap().write_all(&asked.body)?;
    let mut reader = BufReader::with_capacity(64 << 10, child.stdout.take().unwrap());
    let (mut status, mut headers) = ("200 OK".to_owned(), String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some(("Status", value)) => value.clone_into(&mut status),
            Some(_) => headers.push_str(&line),
            None => break,
        }
    }
    write!(out, "HTTP/1.1 {status}\r\n{headers}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let sent = pour(&mut reader, out);
    // Where the client has gone, git must not wait for somebody to read.
    drop(reader);
    child.wait()?;
    sent
}

fn pour(reader: &mut impl Read, out: &mut dyn Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = reader.read(&mut buffer)?;
        write!(out, "{count:x}\r\n")?;
        out.write_all(&buffer[..count])?;
        out.write_all(b"\r\n")?;
        if count == 0 {
            return Ok(());
        }
    }
}

/// Passes on so many bytes, then fails: what is behind it sees its connection break.
pub struct Cut<'a> {
    pub out: &'a mut dyn Write,
    pub left: usize,
}

impl Write for Cut<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(&bytes[..bytes.len().min(self.left)])?;
        self.left -= count;
        if count == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(count) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Serves the repository over plain http.
pub fn serve(repo: &Repo) -> Server {
    let repo = repo.clone();
    Server::plain(move |asked, out| backend(&repo, asked, out))
}

/// Serves it as a server of old does, or one behind a proxy that drops what it does not know: in version 0.
pub fn serve_old(repo: &Repo) -> Server {
    let repo = repo.clone();
    Server::plain(move |asked, out| backend(&repo, &asked.without("git-protocol"), out))
}

/// Serves it over TLS to whoever knows the password.
pub fn serve_private(pki: &Pki, repo: &Repo) -> Server {
    let repo = repo.clone();
    Server::tls(pki, move |asked, out| if knows(asked) { backend(&repo, asked, out) } else { challenge(out) })
}

pub fn knows(asked: &Asked) -> bool {
    use base64::Engine as _;
    let want = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("me:{PASSWORD}")));
    asked.header("authorization") == Some(&want)
}

pub fn challenge(out: &mut dyn Write) -> io::Result<()> {
    answer(out, 401, &[("WWW-Authenticate", "Basic realm=\"git\""), ("Content-Type", "text/plain")], b"who are you?\n")
}

/// Bytes that do not compress, the same ones every time.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(length)
    .collect()
}

/// A fetch with everything a test may want to change.
#[derive(Clone)]
pub struct Trial {
    pub options: Options,
    pub trust: Vec<Vec<u8>>,
    /// Hosts may name this machine, where all of them are.
    pub loopback: bool,
    pub cancel: CancellationToken,
    pub workspace: Arc<TempDir>,
}

impl Trial {
    pub fn new(server: &Server) -> Self {
        let workspace = Arc::new(TempDir::new().unwrap());
        let options = Options {
            address: Address::of_git(server.at("/repo.git").as_str()).unwrap().0,
            reference: None,
            commit: None,
            subdir: TreePath::root(),
            history: 1,
            keep_git_dir: false,
            submodules: false,
            foreign: false,
            door: Door::Http(None),
            workspace: workspace.path().to_owned(),
            limits: Limits::default(),
            lfs: Lfs::default(),
            plain_http: true,
            redactor: Arc::default(),
        };
        Self { options, trust: Vec::new(), loopback: true, cancel: CancellationToken::new(), workspace }
    }

    pub fn reference(mut self, name: &str) -> Self {
        self.options.reference = Some(GitRef::parse(name).unwrap());
        self
    }

    pub fn commit(mut self, id: &str) -> Self {
        self.options.commit = Some(CommitId::parse(id).unwrap());
        self
    }

    pub fn subdir(mut self, path: &str) -> Self {
        self.options.subdir = TreePath::parse(path.as_bytes()).unwrap();
        self
    }

    pub fn trusting(mut self, pki: &Pki) -> Self {
        self.trust.push(pki.ca_pem.clone());
        self
    }

    pub fn knowing(mut self, password: &str) -> Self {
        let origin = Origin::of(self.options.address.url()).unwrap();
        self.options.door = Door::Http(Some(Credential::basic(origin, "me", SecretString::from(password)).unwrap()));
        self
    }

    pub fn run(&self) -> Result<GitTree, GitError> {
        self.run_telling(&mut |_| true)
    }

    pub fn run_telling(&self, progress: &mut dyn FnMut(SourceProgress) -> bool) -> Result<GitTree, GitError> {
        self.fetch_telling(progress).map(|fetched| fetched.tree)
    }

    pub fn fetch(&self) -> Result<Fetched, GitError> {
        self.fetch_telling(&mut |_| true)
    }

    fn fetch_telling(&self, progress: &mut dyn FnMut(SourceProgress) -> bool) -> Result<Fetched, GitError> {
        static RUNTIME: OnceLock<Runtime> = OnceLock::new();
        let runtime = RUNTIME.get_or_init(|| Runtime::new().unwrap());
        let timeouts = Timeouts { connect: Duration::from_secs(5), first_byte: Duration::from_secs(20), idle: Duration::from_millis(1500) };
        let settings = Settings { trust: Trust { extra: self.trust.clone() }, timeouts, loopback: self.loopback, ..Settings::default() };
        let client = Client::new(&settings).unwrap();
        fetch(&self.options, &BlockingClient::new(client, runtime.handle().clone(), self.cancel.clone()), progress)
    }

    /// What a fetch left in the workspace.
    pub fn left(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.workspace.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}
