//! Where a redirect may lead: never to the addresses at which clouds keep their metadata.
//!
//! The origin that the request itself names is the user's own choice and is not checked here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// An address of this network link, or a metadata address outside that range.
#[derive(Debug, thiserror::Error)]
#[error("{name:?} is at {address}, an address that only this node can see")]
pub(super) struct ForbiddenAddress {
    pub name: String,
    pub address: IpAddr,
}

/// Metadata services outside the link-local range (AWS over IPv6, Alibaba, Oracle).
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Whether a redirect may not lead here: 169.254/16, fe80::/10, and both inside the IPv6 forms that hold an IPv4 address.
fn is_forbidden(address: IpAddr) -> bool {
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

/// Checks a URL whose host is an address; a name is checked when it is resolved.
pub(super) fn check_literal(url: &Url) -> Result<(), ForbiddenAddress> {
    let address = match url.host() {
        Some(Host::Ipv4(v4)) => IpAddr::V4(v4),
        Some(Host::Ipv6(v6)) => IpAddr::V6(v6),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    if is_forbidden(address) {
        return Err(ForbiddenAddress { name: url.host_str().unwrap_or_default().to_owned(), address });
    }
    Ok(())
}

/// Resolves names as the system does, and refuses one as soon as any of its addresses is forbidden.
#[derive(Debug)]
pub(super) struct CheckedResolver;

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            match found.iter().find(|found| is_forbidden(found.ip())) {
                Some(bad) => Err(ForbiddenAddress { name, address: bad.ip() }.into()),
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
        assert!(error.downcast_ref::<ForbiddenAddress>().is_some(), "{error}");
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
        ] {
            assert_eq!(check_literal(&Url::parse(text).unwrap()).is_err(), want, "{text}");
        }
    }
}
