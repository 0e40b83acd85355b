//! Addresses that a stranger's document may lead to: none that the standard library knows as anything but global, however
//! an IPv6 address wraps it. The first 4 or 16 bytes are the address.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use rolecall::fuzzing::why_not_global;

fuzz_target!(|bytes: &[u8]| {
    if let Some(octets) = bytes.first_chunk::<4>() {
        let address = Ipv4Addr::from(*octets);
        let global = why_not_global(address.into()).is_none();
        assert!(!global || may_be_global(address), "{address}");
        // Wrapped, it is what it is bare.
        let [a, b, c, d] = address.octets().map(u16::from);
        let (high, low) = (a << 8 | b, c << 8 | d);
        for wrapped in [
            address.to_ipv6_mapped(),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
        ] {
            let wrapped_global = why_not_global(wrapped.into()).is_none();
            assert_eq!(wrapped_global, global, "{wrapped}");
        }
        // The old compatible form leads nowhere.
        assert!(why_not_global(address.to_ipv6_compatible().into()).is_some());
    }
    if let Some(octets) = bytes.first_chunk::<16>() {
        let address = Ipv6Addr::from(*octets);
        if why_not_global(IpAddr::V6(address)).is_none() {
            assert!(may_be_global_v6(address), "{address}");
        }
    }
});

fn may_be_global(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        (0 | 127 | 240..=255, ..) => true,
        (100, 64..=127, _) | (198, 18 | 19, _) | (192, 0, 0) => true,
        _ => false,
    };
    !special
        && !address.is_private()
        && !address.is_loopback()
        && !address.is_link_local()
        && !address.is_documentation()
        && !address.is_multicast()
}

fn may_be_global_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, ..] = address.segments();
    let octets = address.octets();
    let inner = |at: usize| {
        may_be_global([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]].into())
    };
    if let Some(inner) = address.to_ipv4_mapped() {
        return may_be_global(inner);
    }
    match (first, second, third) {
        (0x64, 0xff9b, 0) => inner(12) && octets[4..12] == [0; 8],
        (0x2002, ..) => inner(2),
        // Documentation, and what protocols keep for themselves: Teredo among them.
        (0x2001, 0xdb8 | 0..=0x1ff, _) | (0x3fff, 0..=0xfff, _) => false,
        _ => (0x2000..0x4000).contains(&first),
    }
}
