//! What a registry demands with a 401, and whom its tokens may be fetched from (distribution-spec; the token protocol is
//! distribution/docs/spec/auth/token.md).
//!
//! A challenge is words from the other side. The password goes to a token server only if that server belongs to the registry;
//! one that may well be honest but cannot be told from a thief is refused, and the caller asks the node's daemon.

use std::net::IpAddr;

use url::{Host, Url};

use crate::net::header::{HeaderMap, WWW_AUTHENTICATE};

/// What the registry wants to see.
#[derive(Debug, PartialEq, Eq)]
pub enum Demand {
    Bearer {
        realm: String,
        service: Option<String>,
    },
    Basic,
    /// Nothing we know.
    Unknown,
}

/// The strongest challenge among the headers: a token before a password.
pub fn demand(headers: &HeaderMap) -> Demand {
    let texts: Vec<&str> = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).collect();
    let challenges: Vec<_> = texts.iter().filter_map(|text| http_auth::parse_challenges(text).ok()).flatten().collect();
    let is = |scheme: &str, name: &str| scheme.eq_ignore_ascii_case(name);
    for challenge in challenges.iter().filter(|challenge| is(challenge.scheme, "bearer")) {
        let param = |name: &str| challenge.params.iter().find(|(key, _)| is(key, name)).map(|(_, value)| value.to_unescaped());
        if let Some(realm) = param("realm") {
            return Demand::Bearer { realm, service: param("service") };
        }
    }
    if challenges.iter().any(|challenge| is(challenge.scheme, "basic")) { Demand::Basic } else { Demand::Unknown }
}

/// The realm, if it may see the registry's credential (CVE-2026-48978, CVE-2026-33540): over https, or http where the registry
/// itself speaks it; without a user of its own; no address inside a network unless it is the registry's own origin; and a host
/// that belongs to the registry's.
pub fn trusted_realm(realm: &str, registry: &Url) -> Result<Url, String> {
    let url = Url::parse(realm).map_err(|_| "its token server is not a URL")?;
    let plain = url.scheme() == "http" && registry.scheme() == "http";
    if url.scheme() != "https" && !plain {
        return Err(format!("its token server would be asked over {:?}", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("its token server's URL holds a user".into());
    }
    let same_origin = url.origin() == registry.origin();
    let belongs = match (url.host(), registry.host()) {
        _ if same_origin => true,
        (Some(Host::Domain(realm)), Some(Host::Domain(registry))) => related(realm, registry),
        (Some(Host::Ipv4(ip)), _) => public(IpAddr::V4(ip)) && url.host() == registry.host(),
        (Some(Host::Ipv6(ip)), _) => public(IpAddr::V6(ip)) && url.host() == registry.host(),
        _ => false,
    };
    if belongs { Ok(url) } else { Err("its token server is on a host that does not belong to it".into()) }
}

/// The same host, one below the other, or both below one domain that somebody can own.
fn related(realm: &str, registry: &str) -> bool {
    let labels = |name: &str| name.split('.').rev().map(str::to_owned).collect::<Vec<_>>();
    let (realm, registry) = (labels(realm), labels(registry));
    let shared = realm.iter().zip(&registry).take_while(|(a, b)| a == b).count();
    shared >= 2 && !(shared == 2 && public_suffix(&realm[0], &realm[1])) || realm == registry
}

/// Whether two labels are what registrars sell names under, like `co.uk` or `com.au`. Too careful for some, which is safe here.
fn public_suffix(top: &str, second: &str) -> bool {
    top.len() == 2 && second.len() <= 3
}

/// Whether an address is out in the world.
fn public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || ip.is_multicast() || shared)
        }
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(mapped) => public(IpAddr::V4(mapped)),
            None => !(ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_multicast()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_asked_for_before_a_password() {
        let table: [(&[&'static str], Demand); 7] = [
            (&["Basic realm=\"r\""], Demand::Basic),
            (
                &["Basic realm=\"r\"", "bearer realm=\"https://a.b/t\",service=\"s\",scope=\"x\""],
                Demand::Bearer { realm: "https://a.b/t".into(), service: Some("s".into()) },
            ),
            (&["Basic realm=\"r\", Bearer realm=\"https://a.b/t\""], Demand::Bearer { realm: "https://a.b/t".into(), service: None }),
            (&["Bearer service=\"s\""], Demand::Unknown),
            (&["Negotiate"], Demand::Unknown),
            (&["Bearer realm=\"unended"], Demand::Unknown),
            (&[], Demand::Unknown),
        ];
        for (values, want) in table {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
            }
            assert_eq!(demand(&headers), want, "{values:?}");
        }
    }

    #[test]
    fn a_password_goes_only_to_a_token_server_of_the_registry() {
        let table = [
            ("https://auth.docker.io/token", "https://registry-1.docker.io", true),
            ("https://registry.example.com/token", "https://registry.example.com", true),
            ("https://registry.example.com:5001/token", "https://registry.example.com:5000", true),
            ("https://gitlab.example.com/jwt/auth", "https://registry.example.com", true),
            ("https://gitlab.com/jwt/auth", "https://registry.gitlab.com", true),
            ("https://auth.svc.cluster.local/t", "https://registry.svc.cluster.local", true),
            ("https://registry:5001/t", "https://registry:5000", true),
            ("http://127.0.0.1:5000/token", "http://127.0.0.1:5000", true),
            ("https://10.0.0.5/token", "https://10.0.0.5", true),
            ("https://93.184.216.34:5001/t", "https://93.184.216.34", true),
            ("https://evil.com/token", "https://registry.example.com", false),
            ("https://registry.example.com.evil.com/t", "https://registry.example.com", false),
            ("https://evilexample.com/t", "https://example.com", false),
            ("https://evil.co.uk/t", "https://registry.co.uk", false),
            ("https://evil.com/t", "https://registry.com", false),
            ("http://registry.example.com/token", "https://registry.example.com", false),
            ("https://10.0.0.6/token", "https://10.0.0.5", false),
            ("https://10.0.0.5:5001/token", "https://10.0.0.5:5000", false),
            ("https://169.254.169.254/latest", "https://registry.example.com", false),
            ("http://2852039166/latest", "http://registry.example.com", false),
            ("http://0x7f.1/", "http://registry.example.com", false),
            ("http://[::ffff:a9fe:a9fe]/t", "http://registry.example.com", false),
            ("http://127.0.0.1:8080/t", "http://127.0.0.1:5000", false),
            ("https://user@registry.example.com/t", "https://registry.example.com", false),
            ("https://registry.example.com@evil.com/t", "https://registry.example.com", false),
            ("file:///etc/passwd", "https://registry.example.com", false),
            ("token", "https://registry.example.com", false),
            ("", "https://registry.example.com", false),
        ];
        for (realm, registry, want) in table {
            let result = trusted_realm(realm, &Url::parse(registry).unwrap());
            assert_eq!(result.is_ok(), want, "{realm} for {registry}: {result:?}");
        }
    }
}
