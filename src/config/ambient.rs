//! The usual variables of the pod, those that are not ours: what Docker, curl and Go programs read.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::env::{Environment, text};
use super::error::{ConfigError, shown};
use crate::engine::docker::Endpoint;

/// What the usual variables say. Nothing of it is part of the request.
#[derive(Clone, Debug, Default)]
pub struct Ambient {
    /// `DOCKER_HOST`: where the daemon is to be found.
    pub docker_host: Endpoint,
    /// `DOCKER_API_VERSION`, such as `1.41`; checked.
    pub docker_api_version: Option<String>,
    /// `DOCKER_CONFIG`: the directory of `config.json`.
    pub docker_config: Option<PathBuf>,
    /// `DOCKER_AUTH_CONFIG`: what a `config.json` would hold.
    pub docker_auth_config: Option<SecretString>,
    pub proxies: Proxies,
    /// `SSL_CERT_FILE`: PEM.
    pub ssl_cert_file: Option<PathBuf>,
    /// `SSL_CERT_DIR`: directories, separated by colons.
    pub ssl_cert_dirs: Vec<PathBuf>,
    /// `TRACEPARENT`, where it is well formed (W3C Trace Context, "traceparent"); a malformed one counts as none.
    pub traceparent: Option<String>,
    /// `SSH_AUTH_SOCK`: the socket of an agent that holds keys for ssh.
    pub ssh_auth_sock: Option<PathBuf>,
    pub tmpdir: Option<PathBuf>,
    pub home: Option<PathBuf>,
}

/// The proxies as Go's `httpproxy.FromEnvironment` reads them: upper case before lower, empty as unset.
/// A proxy's URL may hold a password.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    pub http: Option<SecretString>,
    pub https: Option<SecretString>,
    /// Hosts, domains, addresses and networks, separated by commas.
    pub no_proxy: Option<String>,
}

impl Ambient {
    pub fn read(env: &dyn Environment) -> Result<Self, ConfigError> {
        let path = |name: &str| env.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let secret = |name: &str| text(env, name).map(|value| value.map(SecretString::from));
        Ok(Self {
            docker_host: docker_host(env)?,
            docker_api_version: text(env, "DOCKER_API_VERSION")?.map(checked_api_version).transpose()?,
            docker_config: path("DOCKER_CONFIG"),
            docker_auth_config: secret("DOCKER_AUTH_CONFIG")?,
            proxies: Proxies::read(env)?,
            ssl_cert_file: path("SSL_CERT_FILE"),
            ssl_cert_dirs: env
                .get("SSL_CERT_DIR")
                .map(|dirs| std::env::split_paths(&dirs).filter(|d| !d.as_os_str().is_empty()).collect())
                .unwrap_or_default(),
            traceparent: text(env, "TRACEPARENT").ok().flatten().filter(|value| is_traceparent(value)),
            ssh_auth_sock: path("SSH_AUTH_SOCK"),
            tmpdir: path("TMPDIR"),
            home: path("HOME"),
        })
    }

    /// The secrets among them: passwords of proxies, and every `auth` and token of `DOCKER_AUTH_CONFIG`.
    pub fn secrets(&self) -> Vec<SecretString> {
        let proxies = [&self.proxies.http, &self.proxies.https].into_iter().flatten();
        let passwords = proxies.filter_map(|proxy| password(proxy.expose_secret()));
        let config = self.docker_auth_config.as_ref().map(ExposeSecret::expose_secret);
        let config = config.and_then(|text| serde_json::from_str::<Value>(text).ok()).map(|config| secrets_of(&config)).unwrap_or_default();
        passwords.chain(config).map(SecretString::from).collect()
    }
}

impl Proxies {
    fn read(env: &dyn Environment) -> Result<Self, ConfigError> {
        let either = |upper: &str, lower: &str| text(env, upper)?.map_or_else(|| text(env, lower), |value| Ok(Some(value)));
        // In a CGI program HTTP_PROXY may be a client's `Proxy:` header (CVE-2016-5385): Go refuses it there, and so do we.
        let cgi = text(env, "REQUEST_METHOD")?.is_some();
        let http = if cgi { text(env, "http_proxy")? } else { either("HTTP_PROXY", "http_proxy")? };
        Ok(Self {
            http: http.map(SecretString::from),
            https: either("HTTPS_PROXY", "https_proxy")?.map(SecretString::from),
            no_proxy: either("NO_PROXY", "no_proxy")?,
        })
    }
}

/// The password of a proxy, whose scheme may be left out.
fn password(proxy: &str) -> Option<String> {
    let whole = if proxy.contains("://") { proxy.to_owned() } else { format!("http://{proxy}") };
    let password = url::Url::parse(&whole).ok()?.password()?.to_owned();
    percent_encoding::percent_decode_str(&password).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// The values of a Docker configuration that are secrets, and the passwords inside of `auth`.
fn secrets_of(config: &Value) -> Vec<String> {
    let entries = config.get("auths").and_then(Value::as_object).into_iter().flat_map(serde_json::Map::values);
    let mut secrets = Vec::new();
    for entry in entries {
        let named =
            ["auth", "password", "identitytoken", "registrytoken"].into_iter().filter_map(|key| entry.get(key).and_then(Value::as_str));
        secrets.extend(named.map(str::to_owned));
        let pair = entry
            .get("auth")
            .and_then(Value::as_str)
            .and_then(|auth| STANDARD.decode(auth).ok())
            .and_then(|pair| String::from_utf8(pair).ok());
        secrets.extend(pair.and_then(|pair| pair.split_once(':').map(|(_, password)| password.trim_end_matches('\0').to_owned())));
    }
    secrets
}

/// `SOURCE_DATE_EPOCH`, in seconds since the epoch: for builds that are to be reproducible, and for no others.
pub fn source_date_epoch(env: &dyn Environment) -> Result<Option<i64>, ConfigError> {
    let Some(text) = text(env, "SOURCE_DATE_EPOCH")? else { return Ok(None) };
    let fix = "set it to seconds since the epoch, or unset it";
    let seconds = text.parse().ok().filter(|seconds| *seconds >= 0);
    seconds.map(Some).ok_or_else(|| ConfigError::invalid("SOURCE_DATE_EPOCH", "is no time", fix))
}

fn docker_host(env: &dyn Environment) -> Result<Endpoint, ConfigError> {
    let Some(host) = text(env, "DOCKER_HOST")? else { return Ok(Endpoint::default()) };
    let fix = "set it to unix:///var/run/docker.sock or tcp://host:port";
    let certificates = docker_certificates(env);
    Endpoint::parse(&host, certificates.as_deref()).map_err(|what| ConfigError::invalid("DOCKER_HOST", what, fix))
}

/// Where the certificates are for a daemon that is spoken to by TLS; `None` where none of the Docker client's variables asks for that.
/// Such a daemon is verified whichever of them it is: the client and its libraries do not agree on which of them means that.
fn docker_certificates(env: &dyn Environment) -> Option<PathBuf> {
    let set = |name: &str| env.get(name).filter(|value| !value.is_empty());
    let usual = || set("DOCKER_CONFIG").map(PathBuf::from).or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".docker")));
    match set("DOCKER_CERT_PATH") {
        Some(path) => Some(path.into()),
        None if set("DOCKER_TLS_VERIFY").is_some() || set("DOCKER_TLS").is_some() => Some(usual().unwrap_or_else(|| "/.docker".into())),
        None => None,
    }
}

fn checked_api_version(version: String) -> Result<String, ConfigError> {
    let number = |part: &str| !part.is_empty() && part.len() < 4 && part.bytes().all(|b| b.is_ascii_digit());
    if version.split_once('.').is_some_and(|(major, minor)| number(major) && number(minor)) {
        return Ok(version);
    }
    Err(ConfigError::invalid(
        "DOCKER_API_VERSION",
        format!("{} is no API version", shown(&version)),
        "set it to one such as 1.41, or unset it",
    ))
}

fn is_traceparent(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    let hex = |part: &str, length: usize| part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let zeros = |part: &str| part.bytes().all(|b| b == b'0');
    matches!(parts[..], [version, trace, span, flags]
        if hex(version, 2) && version != "ff" && hex(trace, 32) && !zeros(trace) && hex(span, 16) && !zeros(span) && hex(flags, 2))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Ambient, ConfigError> {
        let env: BTreeMap<String, String> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ambient::read(&env)
    }

    #[test]
    fn proxies_are_chosen_as_go_does() {
        let http = |pairs: &[(&str, &str)]| read(pairs).unwrap().proxies.http.map(|proxy| proxy.expose_secret().to_owned());
        assert_eq!(http(&[("HTTP_PROXY", "u"), ("http_proxy", "l")]).as_deref(), Some("u"));
        assert_eq!(http(&[("HTTP_PROXY", ""), ("http_proxy", "l")]).as_deref(), Some("l"));
        assert_eq!(http(&[("HTTP_PROXY", "u"), ("REQUEST_METHOD", "GET")]), None);
        assert_eq!(http(&[("ALL_PROXY", "a")]), None);
        assert_eq!(read(&[("no_proxy", ".svc,10.0.0.0/8")]).unwrap().proxies.no_proxy.as_deref(), Some(".svc,10.0.0.0/8"));
    }

    #[test]
    fn docker_host_is_a_socket_or_plain_tcp() {
        for good in ["unix:///run/docker.sock", "tcp://127.0.0.1:2375", "tcp://[::1]:2375"] {
            assert_eq!(read(&[("DOCKER_HOST", good)]).unwrap().docker_host.to_string(), good);
        }
        let error = read(&[("DOCKER_HOST", "tcp://me:hush@docker:2375")]).unwrap_err();
        assert!(error.to_string().contains("password") && !format!("{error:?}").contains("hush"), "{error:?}");
        let tls = |pairs: &[(&str, &str)]| match read(&[&[("DOCKER_HOST", "tcp://a")], pairs].concat()).unwrap().docker_host {
            Endpoint::Tls(_, certificates) => Some(certificates),
            _ => None,
        };
        assert_eq!(tls(&[("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/certs")]), Some("/certs".into()));
        assert_eq!(tls(&[("DOCKER_CERT_PATH", "/certs")]), Some("/certs".into()), "never plain where there are certificates");
        assert_eq!(tls(&[("DOCKER_TLS_VERIFY", "1"), ("HOME", "/home/me")]), Some("/home/me/.docker".into()));
        assert_eq!(tls(&[("DOCKER_TLS", "1"), ("DOCKER_CONFIG", "/config")]), Some("/config".into()));
        assert_eq!(tls(&[("DOCKER_TLS_VERIFY", ""), ("HOME", "/home/me")]), None);
        assert_eq!(read(&[]).unwrap().docker_host.to_string(), "unix:///var/run/docker.sock");
    }

    #[test]
    fn numbers_and_traces_are_checked() {
        for value in ["latest", "v1.41"] {
            assert!(read(&[("DOCKER_API_VERSION", value)]).is_err(), "{value}");
        }
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(read(&[("TRACEPARENT", trace)]).unwrap().traceparent.as_deref(), Some(trace));
        for bad in
            ["x", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]
        {
            assert_eq!(read(&[("TRACEPARENT", bad)]).unwrap().traceparent, None, "{bad}");
        }
    }

    #[test]
    fn secrets_of_the_environment_are_not_printed() {
        let ambient = read(&[("DOCKER_AUTH_CONFIG", "{\"hush\":1}"), ("https_proxy", "http://me:hush@p:3128")]).unwrap();
        assert!(!format!("{ambient:?}").contains("hush"));
        let config = r#"{"auths": {"a.b": {"auth": "bWU6aHVzaDE="}, "c.d": {"identitytoken": "hush2"}}}"#;
        let ambient = read(&[("DOCKER_AUTH_CONFIG", config), ("HTTPS_PROXY", "me:hu%40sh3@p:3128")]).unwrap();
        let secrets: Vec<String> = ambient.secrets().iter().map(|secret| secret.expose_secret().to_owned()).collect();
        for want in ["hush1", "hush2", "hu@sh3", "bWU6aHVzaDE="] {
            assert!(secrets.iter().any(|secret| secret == want), "{want}");
        }
    }
}
