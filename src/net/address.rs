//! Where names lead that somebody else than the user chose (a redirect, a submodule, an LFS or token server): never to the addresses
//! at which clouds keep their metadata, nor to this pod's own loopback, where its other containers listen.
//!
//! The origin that the user named is not checked here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// An address of this network link, a metadata address outside that range, one of the loopback, or the name of one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Forbidden {
    #[error("{name:?} is at {address}, an address that only this node can see")]
    Address { name: String, address: IpAddr },
    #[error("{name:?} is a name that only this node can see")]
    Name { name: String },
    #[error("{name:?} is this pod itself, where only the user may lead")]
    Loopback { name: String },
}

/// What of this machine may be named by somebody else than the user.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Its loopback: the user's own address is there, too.
    pub loopback: bool,
}

/// Metadata services outside the link-local range (AWS over IPv6, Alibaba, Oracle).
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// What nobody may lead to: 169.254/16, fe80::/10, the addresses of metadata, and all that inside the IPv6 forms that hold an IPv4 address.
pub fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6 == METADATA_V6 || inside(v6).is_some_and(|v4| is_forbidden(v4.into())),
    }
}

/// 127/8, ::1, and 0/8 and ::, which a connection takes for them.
fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || inside(v6).is_some_and(|v4| is_loopback(v4.into())),
    }
}

/// `localhost` and what is below it (RFC 6761, section 6.3).
fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether a URL leads to this machine's loopback by its host as it is written.
pub fn is_on_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(v4)) => is_loopback(v4.into()),
        Some(Host::Ipv6(v6)) => is_loopback(v6.into()),
        // Addresses in URLs of ssh and git are no more than text to the URL library.
        Some(Host::Domain(name)) => name.parse().map_or_else(|_| is_localhost(&plain(name)), is_loopback),
        None => false,
    }
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// The IPv4 address inside an IPv6 one: mapped, compatible (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056).
fn inside(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = v6.segments();
    let pair = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => Some(pair(high, low)),
        _ => None,
    }
}

/// Names under which clouds offer their metadata: a proxy may know them where this pod does not (Google, AWS, and short forms).
const METADATA_NAMES: [&str; 5] = ["metadata.google.internal", "metadata.goog", "metadata", "instance-data.ec2.internal", "instance-data"];

impl Rule {
    /// Checks a URL by its host as it is written: an address, or a name that is known. Other names are checked when resolved.
    pub fn check_host(self, url: &Url) -> Result<(), Forbidden> {
        let name = url.host_str().unwrap_or_default();
        match url.host() {
            Some(Host::Domain(name)) => match name.parse() {
                Ok(address) => self.check_address(name, address),
                Err(_) => self.check_known(&plain(name)),
            },
            Some(Host::Ipv4(v4)) => self.check_address(name, v4.into()),
            Some(Host::Ipv6(v6)) => self.check_address(name, v6.into()),
            None => Ok(()),
        }
    }

    fn check_known(self, name: &str) -> Result<(), Forbidden> {
        match name {
            _ if METADATA_NAMES.contains(&name) => Err(Forbidden::Name { name: name.to_owned() }),
            _ if !self.loopback && is_localhost(name) => Err(Forbidden::Loopback { name: name.to_owned() }),
            _ => Ok(()),
        }
    }

    /// Checks what a name stands for here, if it can be resolved.
    pub async fn check_name(self, name: &str) -> Result<(), Forbidden> {
        match tokio::net::lookup_host((name, 0)).await {
            Ok(found) => self.check_found(name, found),
            Err(_) => Ok(()),
        }
    }

    /// Refuses an address that a name was resolved to.
    pub fn check_address(self, name: &str, address: IpAddr) -> Result<(), Forbidden> {
        let name = name.to_owned();
        match address {
            _ if is_forbidden(address) => Err(Forbidden::Address { name, address }),
            _ if !self.loopback && is_loopback(address) => Err(Forbidden::Loopback { name }),
            _ => Ok(()),
        }
    }

    fn check_found(self, name: &str, found: impl IntoIterator<Item = SocketAddr>) -> Result<(), Forbidden> {
        found.into_iter().try_for_each(|found| self.check_address(name, found.ip()))
    }
}

/// Resolves names as the system does, and refuses one as soon as any of its addresses is forbidden.
#[derive(Debug)]
pub(super) struct CheckedResolver(pub Rule);

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rule = self.0;
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            rule.check_found(name.as_str(), found.iter().copied())?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The user's own address is out in the world, or on the loopback.
    const RULES: [Rule; 2] = [Rule { loopback: false }, Rule { loopback: true }];

    #[tokio::test]
    async fn g4_a_name_is_refused_by_what_it_resolves_to() {
        for rule in RULES {
            let resolve = |name: &str| CheckedResolver(rule).resolve(name.parse().unwrap());
            for name in ["127.0.0.1", "localhost"] {
                assert_eq!(resolve(name).await.is_ok(), rule.loopback, "{name}");
            }
            let error = resolve("169.254.169.254").await.err().unwrap();
            assert!(error.downcast_ref::<Forbidden>().is_some(), "{error}");
        }
    }

    #[tokio::test]
    async fn what_a_proxy_would_resolve_is_judged_here_if_it_can_be() {
        for rule in RULES {
            assert_eq!(rule.check_name("localhost").await.is_ok(), rule.loopback);
            assert!(rule.check_name("169.254.169.254").await.is_err());
            assert!(rule.check_name("no-such-host.invalid").await.is_ok(), "left to the proxy");
        }
    }

    #[test]
    fn g3_g4_the_loopback_is_known_in_every_spelling() {
        for (text, near) in [
            ("http://127.0.0.1/", true),
            ("http://127.255.1.2:8080/", true),
            ("http://0x7f000001/", true),
            ("http://2130706433/", true),
            ("http://127.1/", true),
            ("http://0.0.0.0/", true),
            ("http://0/", true),
            ("http://[::1]/", true),
            ("http://[::]/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://[::127.0.0.1]/", true),
            ("http://[64:ff9b::7f00:1]/", true),
            ("http://LocalHost./", true),
            ("http://a.localhost/", true),
            ("ssh://git@localhost/x", true),
            ("ssh://git@127.0.0.1/x", true),
            ("git://[::1]/x", true),
            ("http://128.0.0.1/", false),
            ("http://10.0.0.1/", false),
            ("http://localhost.example/", false),
            ("http://notlocalhost/", false),
            ("ssh://git@a.example/x", false),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(RULES.map(|rule| rule.check_host(&url).is_err()), [near, false], "{text}");
            assert_eq!(is_on_loopback(&url), near, "{text}");
        }
    }

    #[test]
    fn metadata_addresses_are_known_in_every_spelling() {
        for (text, want) in [
            ("http://169.254.169.254/", true),
            ("http://0xa9fea9fe/", true),
            ("http://2852039166/", true),
            ("http://[::ffff:169.254.169.254]/", true),
            ("http://[::169.254.169.254]/", true),
            ("http://[64:ff9b::169.254.169.254]/", true),
            ("http://[2002:a9fe:a9fe::1]/", true),
            ("http://[fe80::1]/", true),
            ("http://[febf::1]/", true),
            ("http://[fd00:ec2::254]/", true),
            ("http://100.100.100.200/", true),
            ("http://10.0.0.1/", false),
            ("http://169.253.0.1/", false),
            ("http://[fd00::1]/", false),
            ("http://a.example/", false),
            ("http://Metadata.google.internal./", true),
            ("http://instance-data/", true),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(RULES[1].check_host(&url).is_err(), want, "{text}");
        }
    }
}
