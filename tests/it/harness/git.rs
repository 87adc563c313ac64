//! Real git repositories behind a real smart HTTP server: git's own http-backend as a CGI program of lighttpd.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::engine::{Engine, succeeded};
use super::process::{Peer, new_port};
use super::tls::Tls;

/// A git command that knows nothing of this machine's configuration, with a fixed author and clock.
pub fn git(dir: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(dir).args(arguments).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Ada Tester").env(format!("GIT_{role}_EMAIL"), "ada@example.com");
        command.env(format!("GIT_{role}_DATE"), "2024-02-29T12:00:00Z");
    }
    succeeded(&mut command).trim().to_owned()
}

/// A repository to write to; what is committed is served at once.
#[derive(Debug)]
pub struct Repository {
    pub dir: PathBuf,
    pub name: String,
}

impl Repository {
    fn new_in(root: &Path, name: &str) -> Self {
        let dir = root.join(name);
        fs::create_dir_all(&dir).unwrap();
        git(&dir, &["init", "-q", "-b", "main", "."]);
        git(&dir, &["config", "commit.gpgsign", "false"]);
        Self { dir, name: name.to_owned() }
    }

    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> &Self {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Commits everything; the commit's id.
    pub fn commit(&self, message: &str) -> String {
        git(&self.dir, &["add", "-A", "-f"]);
        git(&self.dir, &["commit", "-q", "--allow-empty", "-m", message]);
        git(&self.dir, &["rev-parse", "HEAD"])
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        git(&self.dir, arguments)
    }

    /// Adds a submodule as a commit records it: its id, and nothing of it. To be committed by `commit_submodules`.
    pub fn submodule(&self, path: &str, url: &str, commit: &str) -> &Self {
        let file = self.dir.join(".gitmodules");
        let before = fs::read_to_string(&file).unwrap_or_default();
        self.write(".gitmodules", format!("{before}[submodule \"{path}\"]\n\tpath = {path}\n\turl = {url}\n"));
        self.git(&["add", ".gitmodules"]);
        self.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},{path}")]);
        self
    }

    /// Commits what is in the index as it stands.
    pub fn commit_submodules(&self, message: &str) -> String {
        self.git(&["commit", "-q", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }
}

/// What a git server asks of its clients.
#[derive(Debug, Default)]
pub struct GitDemands<'a> {
    pub login: Option<(&'a str, &'a str)>,
    pub tls: bool,
    /// Whoever gets in is sent on to the same path of this server.
    pub sends_on_to: Option<&'a GitServer>,
    /// Lines of lighttpd's own configuration.
    pub more: String,
}

/// A server of repositories and of plain files; it ends with this.
#[derive(Debug)]
pub struct GitServer {
    peer: Peer,
    dir: PathBuf,
    pub tls: Option<Tls>,
}

impl GitServer {
    pub fn start(demands: &GitDemands) -> Self {
        let dir = Engine::shared().new_dir("g");
        let port = new_port();
        let tls = demands.tls.then(|| Tls::new_in(&dir));
        fs::create_dir(dir.join("repositories")).unwrap();
        fs::create_dir(dir.join("files")).unwrap();
        fs::write(dir.join("config"), configuration(&dir, port, demands, tls.as_ref())).unwrap();
        let peer = Peer::start(Command::new("lighttpd").arg("-D").arg("-f").arg(dir.join("config")), port, &dir);
        Self { peer, dir, tls }
    }

    pub fn port(&self) -> u16 {
        self.peer.port
    }

    /// The certificate of its authority, of a server that speaks TLS.
    pub fn ca(&self) -> String {
        fs::read_to_string(&self.tls.as_ref().expect("a server with TLS").ca).unwrap()
    }

    fn origin(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.tls.is_some() { "https" } else { "http" }, self.peer.port)
    }

    pub fn repository(&self, name: &str) -> Repository {
        Repository::new_in(&self.dir.join("repositories"), name)
    }

    /// Where the repository is cloned from.
    pub fn url(&self, repository: &Repository) -> String {
        format!("{}/git/{}/.git", self.origin(), repository.name)
    }

    /// Serves a file as it is; its URL.
    pub fn file(&self, name: &str, content: &[u8]) -> String {
        fs::write(self.files().join(name), content).unwrap();
        format!("{}/files/{name}", self.origin())
    }

    /// Where the files lie that it serves.
    pub fn files(&self) -> PathBuf {
        self.dir.join("files")
    }

    /// Ends it; the requests it answered, one a line: `METHOD target status user authorization`, with `-` for what there is not.
    pub fn requests(mut self) -> Vec<String> {
        // The log is written in blocks, and to its end when the server is told to go.
        self.peer.stop();
        let log = fs::read_to_string(self.dir.join("access")).unwrap();
        log.lines().map(str::to_owned).collect()
    }
}

fn configuration(dir: &Path, port: u16, demands: &GitDemands, tls: Option<&Tls>) -> String {
    let backend = ["/usr/lib/git-core/git-http-backend", "/usr/libexec/git-core/git-http-backend"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("git-http-backend comes with Debian's git");
    let dir_text = dir.display();
    let mut config = format!(
        r#"server.modules = ("mod_access", "mod_setenv", "mod_alias", "mod_auth", "mod_authn_file", "mod_redirect", "mod_cgi", "mod_accesslog", "mod_openssl")
# Without a type for a file, it gets no tag.
mimetype.assign = ("" => "application/octet-stream")
server.document-root = "{dir_text}/files"
server.bind = "127.0.0.1"
server.port = {port}
server.stream-request-body = 1
server.stream-response-body = 1
accesslog.filename = "{dir_text}/access"
accesslog.format = "%m %U%q %s %u %{{Authorization}}i"
$HTTP["url"] =~ "^/files/" {{ alias.url = ("/files/" => "{dir_text}/files/") }}
$HTTP["url"] =~ "^/git/" {{
  alias.url = ("/git" => "{backend}")
  cgi.assign = ("" => "")
  setenv.set-environment = ("GIT_PROJECT_ROOT" => "{dir_text}/repositories", "GIT_HTTP_EXPORT_ALL" => "1",
    "GIT_CONFIG_NOSYSTEM" => "1", "GIT_CONFIG_GLOBAL" => "/dev/null")
}}
"#
    );
    if let Some((user, password)) = demands.login {
        fs::write(dir.join("passwords"), format!("{user}:{password}\n")).unwrap();
        let _ = write!(
            config,
            "auth.backend = \"plain\"\nauth.backend.plain.userfile = \"{dir_text}/passwords\"\nauth.require = (\"\" => (\"method\" => \"basic\", \"realm\" => \"tests\", \"require\" => \"valid-user\"))\n"
        );
    }
    if let Some(next) = demands.sends_on_to {
        let _ = writeln!(config, "url.redirect = (\"^/(git|files)/\" => \"{}${{url.path}}${{qsa}}\")", next.origin());
    }
    if let Some(tls) = tls {
        let _ = write!(config, "ssl.engine = \"enable\"\nssl.pemfile = \"{}\"\n", tls.both.display());
    }
    config + &demands.more
}
