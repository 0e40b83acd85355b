//! URLs that the server fetches: what is accepted is what it looks like, and goes to the host that can be read in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rolecall::config::FetchUrl;
use url::Host;

fuzz_target!(|text: &str| {
    let Ok(accepted) = FetchUrl::parse(text) else {
        return;
    };
    let shown = accepted.as_str();
    assert!(
        shown == text || shown == format!("{text}/"),
        "{text:?} became {shown:?}"
    );
    assert_eq!(FetchUrl::parse(shown).as_ref(), Ok(&accepted));
    let plain = |c: char| c.is_ascii_graphic() && c != '\\' && c != '#';
    assert!(text.chars().all(plain), "{text:?}");
    // The host and port by eye: from the slashes to the next slash or question mark.
    let (scheme, rest) = text.split_once("://").expect("a scheme");
    let authority = rest.split(['/', '?']).next().expect("an authority");
    let (host, port) = accepted.destination();
    assert!(!authority.contains('@') && !host.is_empty(), "{text:?}");
    let default = if scheme == "https" { 443 } else { 80 };
    let expected = if port == default {
        host.to_owned()
    } else {
        format!("{host}:{port}")
    };
    assert_eq!(authority, expected, "{text:?}");
    assert!(port > 0 && !host.ends_with('.'), "{text:?}");
    let loopback = match accepted.url().host().expect("a host") {
        Host::Domain(name) => {
            // Nothing that a resolver could take for an address.
            let last = name.rsplit('.').next().expect("a label");
            assert!(!last.bytes().all(|byte| byte.is_ascii_digit()), "{text:?}");
            name == "localhost"
        }
        Host::Ipv4(address) => {
            assert_eq!(address.to_string(), host);
            address.is_loopback()
        }
        Host::Ipv6(address) => address.is_loopback(),
    };
    assert_eq!(accepted.is_loopback(), loopback);
    assert!(
        scheme == "https" || (scheme == "http" && loopback),
        "{text:?}"
    );
});
