//! What this daemon is and can do: asked once, decided here.

use super::client::{self, Client, from_bollard};
use super::options::Facts;
use crate::engine::EngineError;
use crate::model::result::EngineInfo;

/// The newest API this agent was written against, and the oldest it can work with: 1.40 brought `outputs` and a stable session.
const NEWEST: Version = Version(1, 51);
const OLDEST: Version = Version(1, 40);

/// Which of the daemon's two builders does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builder {
    BuildKit,
    Classic,
}

impl Builder {
    pub fn name(self) -> &'static str {
        match self {
            Self::BuildKit => "buildkit",
            Self::Classic => "classic",
        }
    }
}

/// A version of the API: major, minor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// What `/_ping` says in its headers.
pub struct Ping {
    api: Version,
    /// The newest that the daemon speaks.
    theirs: Version,
    os: String,
    /// Its own choice, where it has one (`features.buildkit` of its configuration).
    builder: Option<Builder>,
    experimental: bool,
}

/// Agrees on a version: the older of ours and the daemon's, or the one the operator set.
pub async fn negotiate(client: Client, wanted: Option<&str>) -> Result<(Client, Ping), EngineError> {
    let (head, body) = client.ping().await?;
    let endpoint = client.endpoint();
    let incompatible = |why: String| EngineError::Incompatible { endpoint: endpoint.clone(), why };
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    if !head.status.is_success() {
        let message = client::message(&body);
        // What stands before the socket says so while the daemon behind it is not there, and a daemon while it begins.
        return Err(match head.status.as_u16() {
            status @ 500.. => EngineError::Broken { doing: "answer a ping", status, message },
            status => incompatible(format!("its ping answers {status}: {message}")),
        });
    }
    let theirs = Version::parse(&header("api-version")).ok_or_else(|| incompatible("its ping names no API version".into()))?;
    let api = match wanted {
        Some(text) => Version::parse(text).ok_or_else(|| incompatible(format!("DOCKER_API_VERSION is {text:?}, not like 1.41")))?,
        None => theirs.min(NEWEST),
    };
    if api > theirs {
        return Err(incompatible(format!("it knows the API up to {theirs}, and DOCKER_API_VERSION asks for {api}")));
    }
    if api < OLDEST {
        return Err(incompatible(format!("API {api} is older than {OLDEST}, the oldest this agent can work with")));
    }
    // moby, api/server/router/system/system_routes.go: 2 is BuildKit, 1 is the builder before it; 20.10 says neither by itself.
    let builder = match &*header("builder-version") {
        "1" => Some(Builder::Classic),
        "2" => Some(Builder::BuildKit),
        _ => None,
    };
    Ok((
        client.at_version(&api.to_string()),
        Ping { api, theirs, os: header("ostype"), builder, experimental: header("docker-experimental") == "true" },
    ))
}

/// Asks for version and storage, and chooses the builder.
pub async fn ask(api: &bollard::Docker, client: &Client, ping: &Ping, wish: Option<Builder>) -> Result<(EngineInfo, Facts), EngineError> {
    // Each takes the daemon some milliseconds, which a build from the cache would notice.
    let (version, info) = tokio::join!(api.version(), api.info());
    let version = version.map_err(|error| from_bollard("say its version", error))?;
    let info = info.map_err(|error| from_bollard("describe itself", error))?;
    let components = version.components.unwrap_or_default();
    let podman = components.iter().any(|component| component.name.to_lowercase().contains("podman"));
    if ping.os == "windows" {
        return Err(EngineError::Incompatible { endpoint: client.endpoint(), why: "it builds Windows images".into() });
    }
    let containerd =
        info.driver_status.unwrap_or_default().iter().any(|row| row.iter().any(|cell| cell.starts_with("io.containerd.snapshotter")));
    let mut capabilities = vec!["classic"];
    if !podman {
        capabilities.splice(..0, ["buildkit", "session"]);
    }
    if ping.experimental {
        capabilities.push("experimental");
    }
    let builder = choose(wish, podman, ping.builder)?;
    let driver = info.cgroup_driver.map_or_else(|| "none".to_owned(), |driver| driver.to_string());
    let groups = matches!(&*driver, "cgroupfs" | "systemd");
    let facts = Facts {
        podman,
        builder,
        api: ping.theirs,
        memory: groups && info.memory_limit.unwrap_or_default(),
        cpus: groups && info.cpu_cfs_quota.unwrap_or_default(),
        groups,
    };
    let mut info = EngineInfo {
        engine: if podman { "podman".into() } else { "docker".into() },
        version: version.version.unwrap_or_default(),
        api: ping.api.to_string(),
        store: if containerd { "containerd".into() } else { "graph".into() },
        os: version.os.unwrap_or_default(),
        arch: version.arch.unwrap_or_default(),
        cgroup_driver: driver,
        swap_limit: info.swap_limit.unwrap_or_default(),
        capabilities: capabilities.into_iter().map(str::to_owned).collect(),
        ..EngineInfo::default()
    };
    info.is_built_by(builder.name());
    Ok((info, facts))
}

/// The request's wish comes before the daemon's own choice; without either it is BuildKit, as for Docker's own command today. That a
/// daemon with another choice can still do with BuildKit is what `docker buildx` relies on.
fn choose(wish: Option<Builder>, podman: bool, theirs: Option<Builder>) -> Result<Builder, EngineError> {
    match wish.or(theirs) {
        _ if podman && wish == Some(Builder::BuildKit) => {
            Err(EngineError::Unsupported("this engine has no BuildKit; use builder: classic".into()))
        }
        _ if podman => Ok(Builder::Classic),
        chosen => Ok(chosen.unwrap_or(Builder::BuildKit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_chooses_the_builder_and_then_the_daemon() {
        use Builder::{BuildKit, Classic};
        for (wish, theirs, want) in [
            (None, None, BuildKit),
            (None, Some(BuildKit), BuildKit),
            (None, Some(Classic), Classic),
            (Some(BuildKit), Some(Classic), BuildKit),
            (Some(Classic), Some(BuildKit), Classic),
        ] {
            assert_eq!(choose(wish, false, theirs).unwrap(), want, "{wish:?} {theirs:?}");
            assert!(choose(wish, true, theirs).map_or(wish == Some(BuildKit), |podman| podman == Classic));
        }
    }
}
