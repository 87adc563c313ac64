//! Real proxies: squid, tinyproxy and microsocks, each in a mount namespace of its own in which [`HOST`] is a name of this machine.
//!
//! The agent's pod does not know the name, unless a test tells it: what the agent gets from there came through the proxy.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::engine::{Engine, succeeded};
use super::process::{Peer, new_port};
use super::tls::Tls;

/// A name for 127.0.0.1 that is in the certificates of the tests' servers. By its address no proxy would ever be asked.
pub const HOST: &str = "source.test";

/// The same place, as the proxies call it.
pub fn behind(url: &str) -> String {
    url.replace("127.0.0.1", HOST)
}

/// `/etc/hosts` for whoever is to know the name.
pub fn hosts() -> PathBuf {
    let path = Engine::shared().new_dir("hosts").join("hosts");
    fs::write(&path, format!("127.0.0.1 localhost {HOST}\n")).unwrap();
    path
}

/// A proxy; it ends with this.
#[derive(Debug)]
pub struct Proxy {
    peer: Peer,
    log: PathBuf,
    scheme: &'static str,
    pub tls: Option<Tls>,
}

impl Proxy {
    /// Speaks http, or http within TLS; where there is a login, to nobody without it.
    pub fn squid(tls: bool, login: Option<(&str, &str)>) -> Self {
        let (dir, port) = (new_dir(), new_port());
        let tls = tls.then(|| Tls::new_in(&dir));
        let own = dir.display();
        let mut config = format!(
            "cache deny all\naccess_log stdio:{own}/access\ncache_log {own}/cache\npid_filename none\n\
             coredump_dir {own}\npinger_enable off\nshutdown_lifetime 0 seconds\nvisible_hostname proxy.test\n"
        );
        let _ = match &tls {
            Some(tls) => {
                writeln!(config, "https_port 127.0.0.1:{port} tls-cert={} tls-key={}", tls.certificate.display(), tls.key.display())
            }
            None => writeln!(config, "http_port 127.0.0.1:{port}"),
        };
        match login {
            Some((user, password)) => {
                let file = dir.join("passwords");
                succeeded(Command::new("htpasswd").args(["-bcm"]).arg(&file).args([user, password]));
                let _ = writeln!(config, "auth_param basic program /usr/lib/squid/basic_ncsa_auth {}", file.display());
                config += "acl known proxy_auth REQUIRED\nhttp_access allow known\nhttp_access deny all\n";
            }
            None => config += "http_access allow all\n",
        }
        fs::write(dir.join("config"), config).unwrap();
        let peer = start(&["squid", "-N", "-f", &format!("{own}/config")], port, &dir);
        Self { peer, log: dir.join("access"), scheme: if tls.is_some() { "https" } else { "http" }, tls }
    }

    /// Wants a user and a password.
    pub fn tinyproxy(user: &str, password: &str) -> Self {
        let (dir, port) = (new_dir(), new_port());
        let own = dir.display();
        let config = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nLogLevel Info\nLogFile \"{own}/access\"\nBasicAuth {user} {password}\n"
        );
        fs::write(dir.join("config"), config).unwrap();
        let peer = start(&["tinyproxy", "-d", "-c", &format!("{own}/config")], port, &dir);
        Self { peer, log: dir.join("access"), scheme: "http", tls: None }
    }

    /// SOCKS 5 (RFC 1928), with a user and a password where they are given (RFC 1929).
    pub fn socks(login: Option<(&str, &str)>) -> Self {
        let (dir, port) = (new_dir(), new_port());
        let text = port.to_string();
        let mut line = vec!["microsocks", "-i", "127.0.0.1", "-p", &text];
        if let Some((user, password)) = login {
            line.extend(["-u", user, "-P", password]);
        }
        let peer = start(&line, port, &dir);
        Self { peer, log: dir.join("log"), scheme: "socks5h", tls: None }
    }

    /// As it stands in a variable.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.peer.port)
    }

    /// What it wrote of whom it let through, and where to.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

/// squid gives up root, and writes its logs as somebody else.
fn new_dir() -> PathBuf {
    let dir = Engine::shared().new_dir("proxy");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    dir
}

fn start(line: &[&str], port: u16, dir: &Path) -> Peer {
    const SCRIPT: &str = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "bash", "-c", SCRIPT]).arg(hosts()).args(line);
    Peer::start(&mut command, port, dir)
}
