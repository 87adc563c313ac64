//! Real ssh: OpenSSH's server, its keys and its lists of hosts, made by its own programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::engine::{Engine, succeeded};
use super::process::{Peer, new_port};

/// A pair of keys.
#[derive(Debug)]
pub struct Key {
    path: PathBuf,
}

impl Key {
    /// By `ssh-keygen -t`, with these arguments more.
    pub fn new_in(dir: &Path, name: &str, kind: &str, more: &[&str]) -> Self {
        let path = dir.join(name);
        let passphrase = if more.contains(&"-N") { &[][..] } else { &["-N", ""][..] };
        succeeded(Command::new("ssh-keygen").args(["-q", "-t", kind, "-f"]).arg(&path).args(passphrase).args(more));
        Self { path }
    }

    pub fn private(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }

    /// `ssh-ed25519 AAAA…`.
    pub fn public(&self) -> String {
        fs::read_to_string(self.path.with_extension("pub")).unwrap().trim().to_owned()
    }

    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        let line = succeeded(Command::new("ssh-keygen").arg("-l").arg("-f").arg(&self.path));
        line.split_whitespace().nth(1).unwrap().to_owned()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A server of ssh that lets root in by the keys it was told of, and runs what it is asked to.
#[derive(Debug)]
pub struct SshServer {
    peer: Peer,
    pub key: Key,
}

impl SshServer {
    /// `more`: lines of sshd_config(5).
    pub fn start(authorized: &[&Key], more: &str) -> Self {
        let dir = Engine::shared().new_dir("ssh");
        let key = Key::new_in(&dir, "host", "ed25519", &[]);
        Self::start_in(&dir, key, authorized, more)
    }

    pub fn start_in(dir: &Path, key: Key, authorized: &[&Key], more: &str) -> Self {
        let port = new_port();
        let lines: String = authorized.iter().map(|key| key.public() + "\n").collect();
        fs::write(dir.join("authorized"), lines).unwrap();
        fs::create_dir_all("/run/sshd").unwrap();
        let own = dir.display();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nAuthorizedKeysFile {own}/authorized\nPidFile none\nUsePAM no\nStrictModes no\n\
             PermitRootLogin prohibit-password\nLogLevel VERBOSE\nSetEnv GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=*\n\
             {more}\nHostKey {}\n",
            key.path().display()
        );
        fs::write(dir.join("config"), config).unwrap();
        let peer = Peer::start(Command::new("/usr/sbin/sshd").args(["-D", "-e", "-f"]).arg(dir.join("config")), port, dir);
        Self { peer, key }
    }

    pub fn port(&self) -> u16 {
        self.peer.port
    }

    /// What it says of its clients.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.peer.log()).into_owned()
    }

    /// Its line for known_hosts.
    pub fn known(&self) -> String {
        format!("[127.0.0.1]:{} {}\n", self.port(), self.key.public())
    }

    pub fn url(&self, path: &Path) -> String {
        format!("ssh://root@127.0.0.1:{}{}", self.port(), path.display())
    }
}

/// git's own daemon, for every repository below `root`.
pub fn git_daemon(root: &Path, dir: &Path) -> Peer {
    let port = new_port();
    let mut command = Command::new("git");
    command.args(["daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1"]).arg(format!("--port={port}"));
    command.arg(format!("--base-path={}", root.display())).arg(root);
    command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "safe.directory").env("GIT_CONFIG_VALUE_0", "*");
    Peer::start(&mut command, port, dir)
}
