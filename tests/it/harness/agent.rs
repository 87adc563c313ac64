//! Runs the shipped program the hard way, which is the only way: uid 65532, the socket's group and no other, no
//! capabilities, no_new_privs, a read-only root with nothing in it, no HOME, an empty environment, as process 1.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::canary::{self, Canary};
use super::closed_list::CLOSED_LIST;
use super::engine::Engine;
use super::relay::Relay;
use super::running::Running;

/// The user that the agent is.
pub const UID: u32 = 65532;

/// What stands at /workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Workspace {
    #[default]
    Writable,
    /// Writable, and no bigger than this (`64k`).
    Small(&'static str),
    ReadOnly,
    Missing,
}

/// What is read of the agent's standard output while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    #[default]
    All,
    /// So many lines; then the pipe's other end is closed.
    Lines(usize),
    /// Nothing, with the pipe left open: it fills up, and the agent's writes block.
    Nothing,
}

/// A run that is being prepared.
pub struct Agent {
    pub engine: &'static Engine,
    /// Between the agent and the engine; rules set here apply to this run alone.
    pub relay: Relay,
    /// This run's directory; the agent sees `workspace` and `out` of it.
    pub dir: PathBuf,
    pub(super) binary: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    mounts: Vec<(&'static str, PathBuf, String)>,
    pub(super) stdin: Option<PathBuf>,
    workspace: Workspace,
    socket: Option<&'static str>,
    group: u32,
    pub(super) canaries: Vec<Canary>,
    pub(super) trace: bool,
    pub(super) reading: Reading,
    closed: &'static str,
    /// Directories of the control groups that it is in, one of each hierarchy.
    groups: Vec<PathBuf>,
    /// Another network namespace than the tests'.
    network: Option<PathBuf>,
}

impl Agent {
    /// `podwright build` with JSON events, a result file and a termination message in the workspace.
    pub fn build() -> Self {
        Self::build_on(Engine::shared())
    }

    /// The same, on an engine of the test's own.
    pub fn build_on(engine: &'static Engine) -> Self {
        let mut agent = Self::command_on(engine, &["build", "--progress", "json", "--workspace", "/workspace"]);
        agent.arguments.extend(["--result-file", "/out/result.json", "--termination-message", "/out/termination"].map(str::to_owned));
        agent
    }

    /// What is run: the program as this package builds it, or the one that is given.
    pub fn program() -> PathBuf {
        std::env::var_os("PODWRIGHT_TEST_BINARY").map_or(env!("CARGO_BIN_EXE_podwright").into(), PathBuf::from)
    }

    /// The program with these arguments alone.
    pub fn command(arguments: &[&str]) -> Self {
        Self::command_on(Engine::shared(), arguments)
    }

    pub fn command_on(engine: &'static Engine, arguments: &[&str]) -> Self {
        let dir = engine.new_dir("a");
        let real = fs::metadata(engine.socket()).unwrap();
        let relay = Relay::unix(&dir.join("sock"), &engine.socket(), Some(CLOSED_LIST));
        chown(dir.join("sock"), Some(0), Some(real.gid())).unwrap();
        fs::set_permissions(dir.join("sock"), fs::Permissions::from_mode(0o660)).unwrap();
        for name in ["workspace", "out"] {
            fs::create_dir(dir.join(name)).unwrap();
            chown(dir.join(name), Some(UID), Some(UID)).unwrap();
        }
        Self {
            engine,
            relay,
            dir,
            binary: Self::program(),
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
            environment: Vec::new(),
            mounts: Vec::new(),
            stdin: None,
            workspace: Workspace::default(),
            socket: Some("/var/run/docker.sock"),
            group: real.gid(),
            canaries: Vec::new(),
            trace: false,
            reading: Reading::default(),
            closed: "",
            groups: Vec::new(),
            network: None,
        }
    }

    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&text| text.to_owned()));
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Builds a directory of this machine, seen read-only at /src.
    pub fn directory(self, source: &Path) -> Self {
        self.readable(source, "/src").args(&["--directory", "/src"])
    }

    /// Shows a file or directory at a path of the agent's, read-only.
    pub fn readable(mut self, source: &Path, target: &str) -> Self {
        self.mounts.push(("ro", source.to_owned(), target.to_owned()));
        self
    }

    /// A secret directory as Kubernetes mounts it, readable by the agent alone. Every secret in it is watched for leaks.
    pub fn secret_dir(self, flag: &str, target: &str, files: &[(&str, &str)]) -> Self {
        self.args(&[flag, target]).secret_files(target, files)
    }

    /// The same, named by nobody.
    pub fn secret_files(mut self, target: &str, files: &[(&str, &str)]) -> Self {
        let dir = self.dir.join(target.trim_start_matches('/').replace('/', "-"));
        fs::create_dir(&dir).unwrap();
        for (name, content) in files {
            self.canaries.extend(canary::in_secret_file(name, content));
            let path = dir.join(name);
            fs::write(&path, content).unwrap();
            chown(&path, Some(UID), Some(UID)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        }
        self.readable(&dir, target)
    }

    /// Nothing this run leaves behind may hold the secret.
    pub fn canary(mut self, canary: &Canary) -> Self {
        self.canaries.push(canary.clone());
        self
    }

    pub fn stdin(mut self, content: &[u8]) -> Self {
        let path = self.dir.join("stdin");
        fs::write(&path, content).unwrap();
        self.stdin = Some(path);
        self
    }

    pub fn workspace(mut self, workspace: Workspace) -> Self {
        self.workspace = workspace;
        self
    }

    /// No socket in the pod.
    pub fn without_socket(mut self) -> Self {
        self.socket = None;
        self
    }

    /// In the pod, but the agent is not of its group.
    pub fn without_group(mut self) -> Self {
        self.group = 0;
        self
    }

    /// Records every system call about processes, for `Run::assert_no_children`.
    pub fn traced(mut self) -> Self {
        self.trace = true;
        self
    }

    /// Reads less of its standard output than all; what the run said is then known from the result file alone.
    pub fn reading(mut self, reading: Reading) -> Self {
        self.reading = reading;
        self
    }

    /// Starts it in the network of its engine, which is one of the test's own.
    pub fn beside_its_engine(mut self) -> Self {
        let outer = fs::read_to_string(self.engine.dir.join("outer.pid")).unwrap();
        self.network = Some(format!("/proc/{}/ns/net", outer.trim()).into());
        self
    }

    /// Starts it in these control groups, which it sees as a pod does.
    pub fn in_groups(mut self, groups: &[PathBuf], hierarchies: &[PathBuf]) -> Self {
        self.groups.extend_from_slice(groups);
        hierarchies.iter().fold(self, |agent, hierarchy| agent.readable(hierarchy, hierarchy.to_str().unwrap()))
    }

    /// Starts it without these descriptors (`"012"`), as some supervisors do.
    pub fn without_descriptors(mut self, closed: &'static str) -> Self {
        self.closed = closed;
        self
    }

    /// Whether it was told to leave a result file and a termination message where the harness looks for them.
    pub(super) fn reports(&self) -> bool {
        let told = |flag, path| self.arguments.windows(2).any(|pair| pair == [flag, path]);
        told("--result-file", "/out/result.json") && told("--termination-message", "/out/termination")
    }

    /// Whether the operator of this run gives this permission.
    pub(super) fn allows(&self, permission: &str) -> bool {
        self.arguments.windows(2).any(|pair| pair == ["--allow", permission])
    }

    /// Whether it waits for an upload over HTTP.
    pub fn listens(&self) -> bool {
        self.arguments.iter().any(|argument| argument == "--upload-listen")
    }

    /// Whether its events can be had whole.
    pub(super) fn tells_events(&self) -> bool {
        let json = self.arguments.windows(2).any(|pair| pair == ["--progress", "json"]);
        json && self.reading == Reading::All && !self.closed.contains('1')
    }

    fn all_mounts(&self) -> Vec<(&'static str, PathBuf, String)> {
        let mut mounts = self.mounts.clone();
        mounts.push(("rw", self.dir.join("out"), "/out".to_owned()));
        if let Some(target) = self.socket {
            mounts.push(("rw", self.dir.join("sock"), target.to_owned()));
        }
        let workspace = self.dir.join("workspace");
        match &self.workspace {
            Workspace::Writable => mounts.push(("rw", workspace, "/workspace".to_owned())),
            Workspace::Small(size) => mounts.push(("tmpfs", size.into(), "/workspace".to_owned())),
            Workspace::ReadOnly => mounts.push(("ro", workspace, "/workspace".to_owned())),
            Workspace::Missing => {}
        }
        mounts
    }

    /// The command that puts the agent into its pod.
    fn caged(&self) -> Command {
        let root = self.dir.join("root");
        fs::create_dir(&root).unwrap();
        let mut line: Vec<OsString> = Vec::new();
        if let Some(network) = &self.network {
            line.extend(["nsenter".into(), format!("--net={}", network.display()).into(), "--".into()]);
        }
        if !self.groups.is_empty() {
            let join = r#"while [[ $1 != -- ]]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@""#;
            line.extend(["bash", "-ec", join, "join"].map(OsString::from));
            line.extend(self.groups.iter().map(|group| group.clone().into_os_string()));
            line.push("--".into());
        }
        if self.trace {
            line.extend(["strace", "-f", "-qq", "-e", "trace=execve,fork,vfork,clone,clone3", "-o"].map(OsString::from));
            line.push(self.dir.join("trace").into());
        }
        line.extend(["/usr/bin/time", "-q", "-f", "%M", "-o"].map(OsString::from));
        line.push(self.dir.join("rss").into());
        line.extend(["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=KILL"].map(OsString::from));
        line.extend(["bash", "-c", include_str!("cage.sh"), "cage"].map(OsString::from));
        line.extend([root.into_os_string(), self.group.to_string().into(), self.closed.into(), self.binary.clone().into()]);
        for (kind, source, target) in self.all_mounts() {
            line.extend([kind.into(), source.into_os_string(), target.into()]);
        }
        line.push("--".into());
        line.extend(self.environment.iter().map(|(name, value)| OsString::from(format!("{name}={value}"))));
        line.push("--".into());
        line.extend(self.arguments.iter().map(OsString::from));
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// Starts it and returns at once.
    pub fn start(self) -> Running {
        let mut command = self.caged();
        match &self.stdin {
            Some(path) => command.stdin(fs::File::open(path).unwrap()),
            None => command.stdin(Stdio::null()),
        };
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running::new(self, &mut command)
    }

    /// Runs it to its end.
    pub fn run(self) -> super::run::Run {
        self.start().finish()
    }
}
