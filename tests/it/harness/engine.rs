//! The private Docker engine that `tests/env/engine` brought up, as the tests see it: its socket, its own CLI, its log.
//!
//! The test binary runs inside the engine's network namespace (`tests/env/engine exec`), so 127.0.0.1 is shared by the
//! daemon, the registries and servers that tests start, and the agent.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use serde_json::Value;

use super::http::{self, Answer};
use super::registry::base;
use super::running::UnderWay;

/// The builders that the engine has, by the names of the request: a test of what all of them promise goes through these.
pub fn builders() -> Vec<&'static str> {
    if Engine::shared().podman { vec!["classic"] } else { vec!["classic", "buildkit"] }
}

/// The one that the agent chooses when nobody does: for tests that say which, and are about no builder.
pub fn builder() -> &'static str {
    if Engine::shared().podman { "classic" } else { "buildkit" }
}

/// Where the engine script is.
pub const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/env/engine");

/// A running engine of our own.
#[derive(Debug)]
pub struct Engine {
    pub dir: PathBuf,
    /// As it says itself: `20.10.24+dfsg1`.
    pub version: String,
    /// `graph` or `containerd`.
    pub store: &'static str,
    /// Whether it is Podman's service, which has one builder, no BuildKit and ways of its own. A test that promises what Podman cannot
    /// do asks this, and holds Podman to the refusal.
    pub podman: bool,
}

impl Engine {
    /// The one that the tests run beside.
    pub fn shared() -> &'static Self {
        static ENGINE: OnceLock<Engine> = OnceLock::new();
        ENGINE.get_or_init(|| {
            let dir = std::env::var("PODWRIGHT_ENGINE").unwrap_or_else(|_| {
                panic!(
                    "no engine: run tests/run.sh, or `tests/env/engine up 20.10 DIR` and `tests/env/engine exec DIR cargo test --test it`"
                )
            });
            Self::at(Path::new(&dir))
        })
    }

    fn at(dir: &Path) -> Self {
        let asked = Self { dir: dir.to_owned(), version: String::new(), store: "", podman: false };
        let said = asked.get("/version");
        let version = said["Version"].as_str().unwrap().to_owned();
        let podman = said["Components"].to_string().contains("Podman Engine");
        let status = asked.get("/info")["DriverStatus"].to_string();
        Self { version, podman, store: if status.contains("io.containerd.snapshotter") { "containerd" } else { "graph" }, ..asked }
    }

    /// `20.10 graph`: what the ledger calls it.
    pub fn name(&self) -> String {
        let short: Vec<&str> = self.version.split('.').take(2).collect();
        let maker = if self.podman { "podman " } else { "" };
        format!("{maker}{} {}", short.join("."), self.store)
    }

    /// Whether it is a Docker of this version or a newer one.
    pub fn is_docker_from(&self, version: u32) -> bool {
        !self.podman && self.version.split('.').next().unwrap().parse::<u32>().unwrap() >= version
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join("docker.sock")
    }

    /// A new directory that the engine, its CLI and this process all see at one path.
    pub fn new_dir(&self, name: &str) -> PathBuf {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        loop {
            // Short, because sockets are made in it.
            let dir = self.dir.join("w").join(format!("{name}{}", NEXT.fetch_add(1, Ordering::Relaxed)));
            fs::create_dir_all(dir.parent().unwrap()).unwrap();
            match fs::create_dir(&dir) {
                Ok(()) => return dir,
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => panic!("{}: {e}", dir.display()),
            }
        }
    }

    /// Whether there is anybody to ask; only an engine of a test's own may be gone.
    pub fn lives(&self) -> bool {
        self.dir == Self::shared().dir || UnixStream::connect(self.socket()).is_ok()
    }

    pub fn call(&self, method: &str, target: &str) -> Answer {
        let stream = UnixStream::connect(self.socket()).unwrap_or_else(|e| panic!("{}: {e}", self.socket().display()));
        http::ask(stream, method, target, &[]).unwrap_or_else(|e| panic!("{method} {target}: {e}"))
    }

    pub fn get(&self, target: &str) -> Value {
        let answer = self.call("GET", target);
        assert_eq!(answer.head.status(), 200, "{target}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// The engine's own release of the docker CLI.
    pub fn docker(&self, arguments: &[&str]) -> Command {
        self.docker_at(&self.socket(), arguments)
    }

    /// The same, through another socket below the engine's directory.
    pub fn docker_at(&self, socket: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(SCRIPT);
        command.arg("docker").arg(&self.dir).args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", &self.dir).env("DOCKER_HOST", format!("unix://{}", socket.display())).stdin(Stdio::null());
        if let Some(roots) = std::env::var_os("PODWRIGHT_ENGINES") {
            command.env("PODWRIGHT_ENGINES", roots);
        }
        command
    }

    /// Runs the CLI, which must succeed; what it printed.
    pub fn docker_ok(&self, arguments: &[&str]) -> String {
        succeeded(&mut self.docker(arguments))
    }

    /// The real CLI's `docker build`, with nothing of the cache: the reference for what an image should hold.
    pub fn reference_build(&self, context: &Path, tag: &str, builder: &str, more: &[&str]) {
        let context = context.to_str().unwrap();
        let mut command = self.docker(&[&["build", "--no-cache", "-t", tag], more, &[context]].concat());
        succeeded(command.env("DOCKER_BUILDKIT", if builder == "buildkit" { "1" } else { "0" }));
    }

    /// Every name an image has here.
    pub fn tags(&self) -> Vec<String> {
        self.listed("/images/json?all=1")
    }

    /// The names that runs of the agent give: a list of all costs the containerd store a second.
    pub fn own_tags(&self) -> Vec<String> {
        self.listed("/images/json?filters=%7B%22reference%22%3A%5B%22podwright-tmp%2F*%22%5D%7D")
    }

    fn listed(&self, target: &str) -> Vec<String> {
        let mut answer = self.call("GET", target);
        // The containerd store fails the whole list when an image goes away while it is made.
        for _ in 0..50 {
            if answer.head.status() == 200 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
            answer = self.call("GET", target);
        }
        assert_eq!(answer.head.status(), 200, "{}", String::from_utf8_lossy(&answer.body));
        let images = answer.json();
        // Podman writes the host where Docker leaves it out.
        let bare = |name: &str| name.trim_start_matches("docker.io/").to_owned();
        let names = |image: &Value| image["RepoTags"].as_array().cloned().unwrap_or_default();
        images.as_array().unwrap().iter().flat_map(names).filter_map(|name| name.as_str().map(bare)).collect()
    }

    /// The id of the image with this name.
    pub fn image_id(&self, reference: &str) -> Option<String> {
        let answer = self.call("GET", &format!("/images/{reference}/json"));
        (answer.head.status() == 200).then(|| answer.json()["Id"].as_str().unwrap().to_owned())
    }

    /// Whether its BuildKit takes names that are no UTF-8: 26.1 does, 28.5 does not.
    pub fn takes_any_bytes(&self) -> bool {
        !self.is_docker_from(28)
    }

    /// The node's end of the network that steps have.
    pub fn bridge(&self) -> &'static str {
        if self.podman { "cni-podman0" } else { "docker0" }
    }

    /// How this engine sends a layer to a registry: dockerd in chunks, containerd in one piece.
    pub fn upload(&self) -> &'static str {
        if self.store == "containerd" { "PUT" } else { "PATCH" }
    }

    /// One line for each container there is, running or not.
    pub fn containers(&self) -> Vec<String> {
        let containers = self.get("/containers/json?all=1");
        let line = |c: &Value| format!("{} {} {} {}", c["Id"], c["State"], c["Image"], c["Command"]);
        containers.as_array().unwrap().iter().map(line).collect()
    }

    /// The command line of every process in it: the daemon's, and those of containers and steps of builds.
    pub fn processes(&self) -> Vec<String> {
        // An engine of a test's own runs below this process and is seen in its own /proc.
        let proc = Some(self.dir.join("proc")).filter(|proc| proc.join("1").exists()).unwrap_or_else(|| "/proc".into());
        let entries = fs::read_dir(proc).unwrap().map_while(Result::ok);
        let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| !line.is_empty()).collect()
    }

    /// Whether a process in it has just this command line.
    pub fn runs(&self, line: &str) -> bool {
        self.processes().iter().any(|process| process.trim() == line)
    }

    /// Ends the processes with just this command line: what Podman has no call for.
    pub fn end(&self, line: &str) {
        let container = UnderWay::enter();
        let script = r#"for d in /proc/[0-9]*; do [ "$(busybox tr '\0' ' ' < $d/cmdline)" = "$1 " ] && kill -9 ${d#/proc/}; done; true"#;
        self.docker_ok(&["run", "--rm", "--pid", "host", "--privileged", base(), "sh", "-c", script, "sh", line]);
        drop(container);
    }

    /// Gives the CLI a login. Podman's own wants TLS of every registry, whatever its configuration says.
    pub fn login(&self, host: &str, user: &str, password: &str) {
        if !self.podman {
            self.docker_ok(&["login", "-u", user, "-p", password, host]);
            return;
        }
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        fs::create_dir_all(self.dir.join(".docker")).unwrap();
        fs::write(self.dir.join(".docker/config.json"), serde_json::json!({"auths": {host: {"auth": auth}}}).to_string()).unwrap();
    }

    /// How often it sends what a registry finds invalid, before it tells of it.
    pub fn push_attempts(&self) -> usize {
        if self.podman { 4 } else { 1 }
    }

    /// The target of a link that leads out of a context, where the engine takes one.
    pub fn outside(&self) -> &'static str {
        if self.podman { "no/where" } else { "../nowhere" }
    }

    pub fn log(&self) -> Vec<u8> {
        fs::read(self.dir.join("dockerd.log")).unwrap()
    }
}

/// An engine for one test alone, to be killed or filled; it ends with this.
#[derive(Debug)]
pub struct OwnEngine(pub &'static Engine, Vec<String>);

impl OwnEngine {
    /// Of the shared engine's version and store. `more` are options of the engine script.
    pub fn up(more: &[&str]) -> Self {
        let shared = Engine::shared();
        let dir = shared.new_dir("e");
        let version = fs::read_to_string(shared.dir.join("version")).unwrap();
        let mut line = vec!["up".to_owned(), version.trim().to_owned(), dir.to_str().unwrap().to_owned()];
        line.extend(more.iter().map(|&option| option.to_owned()));
        if shared.store == "containerd" {
            line.push("--containerd-store".to_owned());
        }
        succeeded(Command::new(SCRIPT).args(&line));
        // There are few of them, and agents hold on to their engine.
        Self(Box::leak(Box::new(Engine::at(&dir))), line)
    }

    /// Brings it up again after it was killed, with the images that it had.
    pub fn restart(&self) {
        let outer = fs::read_to_string(self.0.dir.join("outer.pid")).unwrap();
        super::run::eventually("the engine outlived its kill", || !Path::new("/proc").join(outer.trim()).exists());
        // The pids in there are of namespaces that are gone.
        let _ = fs::remove_dir_all(self.0.dir.join("exec"));
        succeeded(Command::new(SCRIPT).args(&self.1));
    }

    /// Kills everything in it, without a warning.
    pub fn kill(&self) {
        let outer = fs::read_to_string(self.0.dir.join("outer.pid")).unwrap();
        super::process::signal(outer.trim().parse().unwrap(), rustix::process::Signal::KILL);
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        let _ = Command::new(SCRIPT).arg("down").arg(&self.0.dir).stderr(Stdio::null()).status();
        let _ = fs::remove_dir_all(self.0.dir.join("data"));
    }
}

/// Runs a command of the tests' own, which must succeed; its standard output.
pub fn succeeded(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(status.success(), "{command:?}: {status}\n{}\n{}", text(&stdout), text(&stderr));
    text(&stdout)
}
