//! Where may be connected to: hosts and ports first, then addresses.
//!
//! Owns [`Allowed`], made of the configuration, and [`Permit`], which only it gives. In comes a URL; out goes a permit for
//! its host and port, which judges the addresses that the host turns out to have.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use url::Host as UrlHost;

use super::{EgressError, address::not_global};
use crate::config::{EgressSection, FetchUrl, Host};

/// The port of a host that is allowed without one.
const HTTPS: u16 = 443;

/// The allowlist.
pub(super) struct Allowed {
    /// By host, as URLs write it, and port.
    destinations: HashMap<(String, u16), Named>,
    /// Addresses that need not be global.
    addresses: Vec<IpAddr>,
}

/// How the configuration names a destination.
#[derive(Clone, Copy, Default)]
struct Named {
    /// By a URL that stands for this machine: its loopback address may be connected to.
    loopback: bool,
    /// By one of plain `http`.
    plain: bool,
}

/// Leave to connect to one host and port, at addresses that it has judged.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    host: UrlHost<&'a str>,
    port: u16,
    named_loopback: bool,
    addresses: &'a [IpAddr],
}

impl Allowed {
    /// What `section` lists and the URLs that the configuration names.
    pub(super) fn new(section: &EgressSection, named: impl IntoIterator<Item = FetchUrl>) -> Self {
        let mut destinations: HashMap<(String, u16), Named> = HashMap::new();
        for url in named {
            let (host, port) = url.destination();
            let named = destinations.entry((host.to_owned(), port)).or_default();
            named.loopback |= url.is_loopback();
            named.plain |= url.url().scheme() == "http";
        }
        for host in &section.allowed_hosts {
            let destination = (as_in_urls(host), host.port().unwrap_or(HTTPS));
            destinations.entry(destination).or_default();
        }
        Self {
            destinations,
            addresses: section
                .allowed_addresses
                .iter()
                .map(IpAddr::to_canonical)
                .collect(),
        }
    }

    /// Whether the configuration names this host and port.
    pub(super) fn names(&self, url: &FetchUrl) -> bool {
        self.named(url).is_some()
    }

    fn named(&self, url: &FetchUrl) -> Option<Named> {
        let (host, port) = url.destination();
        self.destinations.get(&(host.to_owned(), port)).copied()
    }

    /// Leave to connect to the host and port of `url`.
    pub(super) fn permit<'a>(&'a self, url: &'a FetchUrl) -> Result<Permit<'a>, EgressError> {
        let named = self.named(url).ok_or(EgressError::Forbidden(
            "the configuration names no such host and port",
        ))?;
        match url.url().scheme() {
            "https" => {}
            "http" if named.plain && named.loopback && url.is_loopback() => {}
            _ => return Err(EgressError::Forbidden("the scheme is not https")),
        }
        let host = url
            .url()
            .host()
            .ok_or(EgressError::Forbidden("the URL has no host"))?;
        Ok(Permit {
            host,
            port: url.destination().1,
            named_loopback: named.loopback,
            addresses: &self.addresses,
        })
    }
}

/// A host as a URL writes it: IPv6 addresses in brackets and in their one form.
fn as_in_urls(host: &Host) -> String {
    let name = host.name();
    name.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok())
        .map_or_else(|| name.to_owned(), |address| format!("[{address}]"))
}

impl Permit<'_> {
    /// The address, where the host is one.
    pub(super) fn literal(&self) -> Option<IpAddr> {
        match self.host {
            UrlHost::Domain(_) => None,
            UrlHost::Ipv4(address) => Some(address.into()),
            UrlHost::Ipv6(address) => Some(address.into()),
        }
    }

    /// The host's name; for an address, its text without brackets.
    pub(super) fn name(&self) -> String {
        match self.host {
            UrlHost::Domain(name) => name.to_owned(),
            UrlHost::Ipv4(address) => address.to_string(),
            UrlHost::Ipv6(address) => address.to_string(),
        }
    }

    /// Judges all addresses of the host: one that may not be connected to condemns the others, too.
    pub(super) fn judge(&self, addresses: &[IpAddr]) -> Result<Vec<SocketAddr>, EgressError> {
        if addresses.is_empty() {
            return Err(EgressError::Unresolved);
        }
        addresses
            .iter()
            .map(|address| {
                self.judge_one(*address)?;
                Ok(SocketAddr::new(*address, self.port))
            })
            .collect()
    }

    fn judge_one(&self, address: IpAddr) -> Result<(), EgressError> {
        let same = address.to_canonical();
        if self.is_localhost() && !same.is_loopback() {
            return Err(EgressError::Forbidden(
                "localhost has an address of another machine",
            ));
        }
        let named = self.named_loopback && self.names_loopback(same);
        if named || self.addresses.contains(&same) {
            return Ok(());
        }
        match not_global(address) {
            None => Ok(()),
            Some(what) => Err(EgressError::Forbidden(what)),
        }
    }

    fn is_localhost(&self) -> bool {
        matches!(self.host, UrlHost::Domain("localhost"))
    }

    /// Whether the host itself says that it is the loopback address `address`.
    fn names_loopback(&self, address: IpAddr) -> bool {
        match self.host {
            UrlHost::Domain(_) => self.is_localhost() && is_localhost_address(address),
            UrlHost::Ipv4(own) => IpAddr::from(own) == address && own.is_loopback(),
            UrlHost::Ipv6(own) => IpAddr::from(own) == address && own.is_loopback(),
        }
    }
}

/// What `localhost` stands for: RFC 6761, section 6.3.
fn is_localhost_address(address: IpAddr) -> bool {
    address == Ipv4Addr::LOCALHOST || address == Ipv6Addr::LOCALHOST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> FetchUrl {
        FetchUrl::parse(text).unwrap()
    }

    fn allowed(hosts: &[&str], addresses: &[&str], named: &[&str]) -> Allowed {
        let section = EgressSection {
            allowed_hosts: hosts
                .iter()
                .map(|host| Host::parse(host).unwrap())
                .collect(),
            allowed_addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        };
        Allowed::new(&section, named.iter().map(|text| url(text)))
    }

    fn judge(allowed: &Allowed, text: &str, addresses: &[&str]) -> Result<(), EgressError> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        allowed.permit(&url(text))?.judge(&addresses).map(drop)
    }

    fn is_forbidden(result: Result<(), EgressError>, word: &str) {
        match result {
            Err(EgressError::Forbidden(what)) => assert!(what.contains(word), "{what}: {word}"),
            other => panic!("{other:?} is not a refusal for {word:?}"),
        }
    }

    #[test]
    fn only_exact_hosts_and_ports() {
        let allowed = allowed(
            &[
                "keys.example.com",
                "other.example.com:8443",
                "[2001:0DB9::1]",
            ],
            &[],
            &[
                "https://idp.example.com/x?y",
                "https://catalog.example.com:444",
            ],
        );
        for good in [
            "https://idp.example.com/other",
            "https://catalog.example.com:444/",
            "https://keys.example.com/",
            "https://other.example.com:8443/",
            "https://[2001:db9::1]/",
        ] {
            assert!(allowed.permit(&url(good)).is_ok(), "{good}");
            assert!(allowed.names(&url(good)), "{good}");
        }
        for bad in [
            "https://idp.example.com:8443/",
            "https://catalog.example.com/",
            "https://other.example.com/",
            "https://keys.example.com:8443/",
            "https://a.idp.example.com/",
            "https://example.com/",
            "https://idp.example.com.evil.example/",
            "https://xidp.example.com/",
            "https://93.184.215.14/",
            "http://127.0.0.1/",
        ] {
            is_forbidden(allowed.permit(&url(bad)).map(drop), "names no such host");
            assert!(!allowed.names(&url(bad)), "{bad}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_urls_that_are_named() {
        let allowed = allowed(
            &["localhost:9001", "127.0.0.1:9001"],
            &["127.0.0.1", "::1"],
            &["http://127.0.0.1:9000/x", "https://localhost:9002/"],
        );
        assert_eq!(
            judge(&allowed, "http://127.0.0.1:9000/y", &["127.0.0.1"]),
            Ok(())
        );
        for bad in [
            "http://localhost:9001/",
            "http://127.0.0.1:9001/",
            "http://localhost:9002/",
        ] {
            is_forbidden(judge(&allowed, bad, &["127.0.0.1"]), "not https");
        }
    }

    #[test]
    fn every_address_must_be_global_or_listed() {
        let allowed = allowed(
            &["10.0.0.9:443", "169.254.169.254"],
            &["10.0.0.5", "fd00::5", "::ffff:10.0.0.6"],
            &["https://idp.example.com"],
        );
        let idp = |addresses: &[&str]| judge(&allowed, "https://idp.example.com/", addresses);
        assert_eq!(idp(&["93.184.215.14", "2606:2800:21f::1"]), Ok(()));
        for listed in ["10.0.0.5", "fd00::5", "::ffff:10.0.0.5", "10.0.0.6"] {
            assert_eq!(idp(&[listed, "93.184.215.14"]), Ok(()), "{listed}");
        }
        // A listed address is no other way to it, and no neighbour.
        for other in ["10.0.0.4", "fd00::6", "64:ff9b::10.0.0.5", "2002:a00:5::"] {
            is_forbidden(idp(&[other]), "private");
        }
        is_forbidden(idp(&["93.184.215.14", "192.168.1.1"]), "private");
        is_forbidden(idp(&["192.168.1.1", "93.184.215.14"]), "private");
        is_forbidden(idp(&["127.0.0.1"]), "loopback");
        is_forbidden(idp(&["::ffff:127.0.0.1"]), "loopback");
        assert_eq!(idp(&[]), Err(EgressError::Unresolved));
        is_forbidden(
            judge(&allowed, "https://10.0.0.9/", &["10.0.0.9"]),
            "private",
        );
        is_forbidden(
            judge(&allowed, "https://169.254.169.254/", &["169.254.169.254"]),
            "link-local",
        );
    }

    #[test]
    fn loopback_is_for_urls_that_name_it() {
        let allowed = allowed(
            &["localhost:9003", "127.0.0.1:9003"],
            &["10.0.0.5"],
            &[
                "http://localhost:9000",
                "http://127.0.0.1:9001",
                "http://[::1]:9002",
                "https://idp.example.com",
            ],
        );
        for (good, address) in [
            ("http://localhost:9000/", "127.0.0.1"),
            ("http://localhost:9000/", "::1"),
            ("https://localhost:9000/", "::ffff:127.0.0.1"),
            ("http://127.0.0.1:9001/", "127.0.0.1"),
            ("http://[::1]:9002/", "::1"),
        ] {
            assert_eq!(
                judge(&allowed, good, &[address]),
                Ok(()),
                "{good} {address}"
            );
        }
        for elsewhere in ["93.184.215.14", "10.0.0.5", "2606:2800:21f::1"] {
            is_forbidden(
                judge(&allowed, "http://localhost:9000/", &[elsewhere]),
                "another machine",
            );
        }
        is_forbidden(
            judge(&allowed, "http://localhost:9000/", &["127.0.0.2"]),
            "loopback",
        );
        for unnamed in ["https://localhost:9003/", "https://127.0.0.1:9003/"] {
            is_forbidden(judge(&allowed, unnamed, &["127.0.0.1"]), "loopback");
        }
        is_forbidden(
            judge(&allowed, "https://idp.example.com/", &["127.0.0.1"]),
            "loopback",
        );
    }
}
