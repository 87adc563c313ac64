//! What a credential is for: one host, or one path on it. Compared exactly, part by part; nothing ever matches by its end or
//! by the start of a word.

use crate::model::reference::HUB;

/// Names by which Docker's tools keep the credential for the Hub, or reach it.
const HUB_NAMES: [&str; 3] = [HUB, "index.docker.io", "registry-1.docker.io"];

/// Paths that old Docker versions wrote after a host, which mean the host alone.
const API_ROOTS: [&str; 2] = ["v1", "v2"];

/// `host[:port]`, and the path below which it holds; empty for all of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub host: String,
    pub path: String,
}

impl Scope {
    /// A key of Docker's configuration (`host`, `host:port`, `https://host/v1/`; docker/cli, `ConvertToHostname`) or of
    /// Podman's (`host/namespace/repository`; containers-auth.json(5)). A port counts, `:443` as well: `host` and `host:443`
    /// are two names in an image reference, too.
    pub fn parse(key: &str) -> Self {
        let key = key.trim();
        let rest = match key.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http") => rest,
            _ => key,
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = host.to_ascii_lowercase();
        let path = path.trim_end_matches('/');
        let path = if API_ROOTS.contains(&path) { "" } else { path };
        let host = if HUB_NAMES.contains(&host.as_str()) { HUB.to_owned() } else { host };
        Self { host, path: path.to_owned() }
    }

    /// What may hold a credential for a repository, the most specific first: its path, each path above it, the host.
    pub fn candidates(host: &str, repository: &str) -> Vec<Self> {
        let host = Self::parse(host).host;
        let mut paths = vec![repository];
        while let Some((parent, _)) = paths.last().and_then(|path| path.rsplit_once('/')) {
            paths.push(parent);
        }
        if !repository.is_empty() {
            paths.push("");
        }
        paths.into_iter().map(|path| Self { host: host.clone(), path: path.to_owned() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_normalised_as_docker_wrote_them() {
        for (key, host, path) in [
            ("registry.example.com", "registry.example.com", ""),
            ("Registry.Example.COM:5000", "registry.example.com:5000", ""),
            ("https://registry.example.com", "registry.example.com", ""),
            ("HTTPS://registry.example.com/v1/", "registry.example.com", ""),
            ("http://registry.example.com/v2", "registry.example.com", ""),
            ("https://index.docker.io/v1/", "docker.io", ""),
            ("index.docker.io", "docker.io", ""),
            ("registry-1.docker.io", "docker.io", ""),
            ("docker.io/team/app", "docker.io", "team/app"),
            ("registry.example.com/team/", "registry.example.com", "team"),
            ("registry.example.com/v1beta", "registry.example.com", "v1beta"),
            ("registry.example.com:443", "registry.example.com:443", ""),
            ("registry.example.com.", "registry.example.com.", ""),
            ("user@registry.example.com", "user@registry.example.com", ""),
            ("[::1]:5000", "[::1]:5000", ""),
            ("", "", ""),
        ] {
            assert_eq!(Scope::parse(key), Scope { host: host.into(), path: path.into() }, "{key}");
        }
    }

    #[test]
    fn the_most_specific_comes_first() {
        let names: Vec<String> = Scope::candidates("index.docker.io", "a/b/c").into_iter().map(|s| s.path).collect();
        assert_eq!(names, ["a/b/c", "a/b", "a", ""]);
        assert_eq!(Scope::candidates("h:1", ""), [Scope { host: "h:1".into(), path: String::new() }]);
    }
}
