//! Where a redirect may lead: never to the addresses at which clouds keep their metadata.
//!
//! The origin that the request itself names is the user's own choice and is not checked here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// An address of this network link, a metadata address outside that range, or the name of one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Forbidden {
    #[error("{name:?} is at {address}, an address that only this node can see")]
    Address { name: String, address: IpAddr },
    #[error("{name:?} is a name that only this node can see")]
    Name { name: String },
}

/// Metadata services outside the link-local range (AWS over IPv6, Alibaba, Oracle).
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Whether a redirect may not lead here: 169.254/16, fe80::/10, and both inside the IPv6 forms that hold an IPv4 address.
pub fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6 == METADATA_V6 || inside(v6).is_some_and(|v4| is_forbidden(v4.into())),
    }
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

/// Checks a URL by its host as it is written: an address, or a name that is known. Other names are checked when resolved.
pub(super) fn check_host(url: &Url) -> Result<(), Forbidden> {
    let address = match url.host() {
        Some(Host::Ipv4(v4)) => IpAddr::V4(v4),
        Some(Host::Ipv6(v6)) => IpAddr::V6(v6),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            return if METADATA_NAMES.contains(&name.as_str()) { Err(Forbidden::Name { name }) } else { Ok(()) };
        }
        None => return Ok(()),
    };
    if is_forbidden(address) {
        return Err(Forbidden::Address { name: url.host_str().unwrap_or_default().to_owned(), address });
    }
    Ok(())
}

/// Checks what a name stands for here, if it can be resolved.
pub(super) async fn check_name(name: &str) -> Result<(), Forbidden> {
    match tokio::net::lookup_host((name, 0)).await {
        Ok(mut found) => found.find(|found| is_forbidden(found.ip())).map_or(Ok(()), |bad| Err(forbidden(name, bad))),
        Err(_) => Ok(()),
    }
}

/// Refuses an address that a name was resolved to.
pub(super) fn check_address(name: &str, address: IpAddr) -> Result<(), Forbidden> {
    if is_forbidden(address) { Err(Forbidden::Address { name: name.to_owned(), address }) } else { Ok(()) }
}

fn forbidden(name: &str, at: SocketAddr) -> Forbidden {
    Forbidden::Address { name: name.to_owned(), address: at.ip() }
}

/// Resolves names as the system does, and refuses one as soon as any of its addresses is forbidden.
#[derive(Debug)]
pub(super) struct CheckedResolver;

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            match found.iter().find(|found| is_forbidden(found.ip())) {
                Some(bad) => Err(forbidden(name.as_str(), *bad).into()),
                None => Ok(Box::new(found.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_refused_by_what_it_resolves_to() {
        let resolve = |name: &str| CheckedResolver.resolve(name.parse().unwrap());
        assert!(resolve("127.0.0.1").await.is_ok());
        let error = resolve("169.254.169.254").await.err().unwrap();
        assert!(error.downcast_ref::<Forbidden>().is_some(), "{error}");
    }

    #[tokio::test]
    async fn what_a_proxy_would_resolve_is_judged_here_if_it_can_be() {
        assert!(check_name("localhost").await.is_ok());
        assert!(check_name("169.254.169.254").await.is_err());
        assert!(check_name("no-such-host.invalid").await.is_ok(), "left to the proxy");
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
            ("http://[::1]/", false),
            ("http://a.example/", false),
            ("http://Metadata.google.internal./", true),
            ("http://instance-data/", true),
        ] {
            assert_eq!(check_host(&Url::parse(text).unwrap()).is_err(), want, "{text}");
        }
    }
}
