//! Which proxy a URL is reached through: the rules of Go's `golang.org/x/net/http/httpproxy`, which Docker, Kubernetes and
//! most of what runs in a pod follow. The values come from the caller; this module reads no environment.

use std::net::IpAddr;

use url::Url;

/// A proxy setting that names no proxy.
#[derive(Debug, thiserror::Error)]
#[error("{variable} names no proxy: it wants [http|https|socks5|socks5h://]host[:port]")]
pub struct BadProxy {
    pub variable: &'static str,
}

/// `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, parsed.
#[derive(Clone, Default)]
pub struct ProxySettings {
    http: Option<Url>,
    https: Option<Url>,
    exceptions: Vec<Exception>,
    nowhere: bool,
}

/// One entry of `NO_PROXY`.
#[derive(Clone, Debug)]
enum Exception {
    Address {
        address: IpAddr,
        port: Option<String>,
    },
    Network {
        address: IpAddr,
        bits: u32,
    },
    /// `suffix` begins with a dot; `itself` also excepts the name without it.
    Name {
        suffix: String,
        itself: bool,
        port: Option<String>,
    },
}

impl ProxySettings {
    /// From the values of the three variables; an empty value is none.
    pub fn new(http: Option<&str>, https: Option<&str>, no_proxy: Option<&str>) -> Result<Self, BadProxy> {
        let mut settings = Self { http: parse("HTTP_PROXY", http)?, https: parse("HTTPS_PROXY", https)?, ..Self::default() };
        for entry in no_proxy.unwrap_or_default().split(',') {
            let entry = entry.trim().to_lowercase();
            if entry == "*" {
                settings.nowhere = true;
            }
            settings.exceptions.extend(exception(&entry));
        }
        Ok(settings)
    }

    /// The proxy for this URL, with its user and password if it has them; `None` is a direct connection.
    pub fn for_url(&self, url: &Url) -> Option<&Url> {
        let proxy = match url.scheme() {
            "https" => self.https.as_ref()?,
            "http" => self.http.as_ref()?,
            _ => return None,
        };
        (!self.is_excepted(url)).then_some(proxy)
    }

    fn is_excepted(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return true };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_lowercase();
        let port = url.port_or_known_default().unwrap_or_default().to_string();
        let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        if self.nowhere || host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return true;
        }
        self.exceptions.iter().any(|exception| exception.covers(&host, &port, address))
    }
}

impl std::fmt::Debug for ProxySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |url: &Option<Url>| url.as_ref().map(super::redact_url);
        f.debug_struct("ProxySettings")
            .field("http", &shown(&self.http))
            .field("https", &shown(&self.https))
            .field("exceptions", &self.exceptions)
            .finish_non_exhaustive()
    }
}

impl Exception {
    fn covers(&self, host: &str, port: &str, address: Option<IpAddr>) -> bool {
        let at = |wanted: &Option<String>| wanted.as_deref().is_none_or(|wanted| wanted == port);
        match self {
            Self::Address { address: wanted, port } => address == Some(*wanted) && at(port),
            Self::Network { address: network, bits } => address.is_some_and(|address| in_network(address, *network, *bits)),
            Self::Name { suffix, itself, port } => (host.ends_with(suffix) || (*itself && host == &suffix[1..])) && at(port),
        }
    }
}

fn parse(variable: &'static str, value: Option<&str>) -> Result<Option<Url>, BadProxy> {
    let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let url = Url::parse(&text).map_err(|_| BadProxy { variable })?;
    let known = matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h");
    if known && url.host_str().is_some_and(|host| !host.is_empty()) { Ok(Some(url)) } else { Err(BadProxy { variable }) }
}

fn exception(entry: &str) -> Option<Exception> {
    if entry.is_empty() || entry == "*" {
        return None;
    }
    if let Some((address, bits)) = entry.split_once('/') {
        let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse::<u32>().ok()?);
        let most = if address.is_ipv4() { 32 } else { 128 };
        return (bits <= most).then_some(Exception::Network { address, bits });
    }
    let (host, port) = split_port(entry);
    if host.is_empty() {
        return None;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(Exception::Address { address: address.to_canonical(), port });
    }
    let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
    let itself = !host.starts_with('.');
    let name = ascii(host.trim_start_matches('.'))?;
    Some(Exception::Name { suffix: format!(".{name}"), itself, port })
}

/// `host:port`, `[v6]:port`, or a host alone; an address with more than one colon is a host.
fn split_port(entry: &str) -> (&str, Option<String>) {
    if let Some((host, rest)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':').map(str::to_owned));
    }
    match entry.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port.to_owned())),
        _ => (entry, None),
    }
}

/// The name as it stands in a URL (IDNA).
fn ascii(name: &str) -> Option<String> {
    Url::parse(&format!("http://{name}/")).ok()?.host_str().map(str::to_owned)
}

fn in_network(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => u32::from(a).checked_shr(32 - bits) == u32::from(n).checked_shr(32 - bits),
        (IpAddr::V6(a), IpAddr::V6(n)) => u128::from(a).checked_shr(128 - bits) == u128::from(n).checked_shr(128 - bits),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_PROXY: &str = "foobar.com, .barbaz.net, *.wildcard.io, 192.168.1.1, 192.168.1.2:81, 192.168.1.3:80, 10.0.0.0/30, \
         2001:db8::52:0:1, [2001:db8::52:0:2]:443, [2001:db8::52:0:3]:80, 2002:db8:a::45/64";

    /// The cases of httpproxy's own test.
    #[test]
    fn exceptions_are_go_s() {
        let settings = ProxySettings::new(Some("proxy"), None, Some(NO_PROXY)).unwrap();
        let everything = ProxySettings::new(Some("proxy"), None, Some("a.b,*")).unwrap();
        for (host, want) in [
            ("localhost", false),
            ("127.0.0.1", false),
            ("127.0.0.2", false),
            ("[::1]", false),
            ("[::2]", true),
            ("192.168.1.1", false),
            ("192.168.1.2", true),
            ("192.168.1.3", false),
            ("192.168.1.4", true),
            ("10.0.0.2", false),
            ("10.0.0.4", true),
            ("[2001:db8::52:0:1]", false),
            ("[2001:db8::52:0:2]", true),
            ("[2001:db8::52:0:3]", false),
            ("[2002:db8:a::123]", false),
            ("[fe80::424b:c8be:1643:a1b6]", true),
            ("barbaz.net", true),
            ("www.barbaz.net", false),
            ("foobar.com", false),
            ("www.foobar.com", false),
            ("foofoobar.com", true),
            ("baz.com", true),
            ("localhost.net", true),
            ("local.localhost", true),
            ("barbarbaz.net", true),
            ("wildcard.io", true),
            ("nested.wildcard.io", false),
            ("awildcard.io", true),
        ] {
            let url = Url::parse(&format!("http://{host}:80/")).unwrap();
            assert_eq!(settings.for_url(&url).is_some(), want, "{host}");
            assert_eq!(everything.for_url(&url), None, "{host}");
        }
    }

    #[test]
    fn each_scheme_has_its_proxy_and_names_are_compared_as_idna_writes_them() {
        let settings = ProxySettings::new(Some("http.proxy:3128"), Some("https://u:p@secure.proxy"), Some("示例.com, :1, ")).unwrap();
        let proxy = |text: &str| settings.for_url(&Url::parse(text).unwrap()).map(Url::to_string);
        assert_eq!(proxy("http://a.b/").as_deref(), Some("http://http.proxy:3128/"));
        assert_eq!(proxy("https://a.b/").as_deref(), Some("https://u:p@secure.proxy/"));
        assert_eq!(proxy("http://www.xn--fsq092h.com/"), None);
        assert!(!format!("{settings:?}").contains("u:p"));
        assert!(ProxySettings::new(Some(""), None, None).unwrap().http.is_none());
        assert!(ProxySettings::new(Some("foo://host"), None, None).is_err());
        assert!(ProxySettings::new(None, Some("http://"), None).is_err());
    }
}
