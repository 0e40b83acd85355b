//! Which addresses are global, and why the others are not.
//!
//! Owns the table of special addresses (IANA's registries, RFC 6890) and [`not_global`]. In comes an address that a name
//! resolved to; out goes nothing, or what makes it one that no stranger's document may lead to. An IPv6 address that
//! carries an IPv4 address is judged as the address it carries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses: its first address, how many leading bits it fixes, and what it is.
struct Range<A> {
    first: A,
    bits: u32,
    what: &'static str,
}

const fn v4(octets: [u8; 4], bits: u32, what: &'static str) -> Range<Ipv4Addr> {
    let [a, b, c, d] = octets;
    Range {
        first: Ipv4Addr::new(a, b, c, d),
        bits,
        what,
    }
}

const fn v6(parts: [u16; 4], bits: u32, what: &'static str) -> Range<Ipv6Addr> {
    let [a, b, c, d] = parts;
    Range {
        first: Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0),
        bits,
        what,
    }
}

/// What is not global of IPv4. The first range that holds an address names it.
const V4: [Range<Ipv4Addr>; 16] = [
    v4([0, 0, 0, 0], 8, "the address is of this network (RFC 791)"),
    v4([10, 0, 0, 0], 8, "the address is private (RFC 1918)"),
    v4(
        [100, 64, 0, 0],
        10,
        "the address is of a carrier's own network (RFC 6598)",
    ),
    v4([127, 0, 0, 0], 8, "the address is loopback (RFC 1122)"),
    v4([169, 254, 0, 0], 16, "the address is link-local (RFC 3927)"),
    v4([172, 16, 0, 0], 12, "the address is private (RFC 1918)"),
    v4(
        [192, 0, 0, 0],
        24,
        "the address is for protocols (RFC 6890)",
    ),
    v4(
        [192, 0, 2, 0],
        24,
        "the address is for documentation (RFC 5737)",
    ),
    v4(
        [192, 88, 99, 0],
        24,
        "the address is of 6to4 relays (RFC 7526)",
    ),
    v4([192, 168, 0, 0], 16, "the address is private (RFC 1918)"),
    v4(
        [198, 18, 0, 0],
        15,
        "the address is for benchmarks (RFC 2544)",
    ),
    v4(
        [198, 51, 100, 0],
        24,
        "the address is for documentation (RFC 5737)",
    ),
    v4(
        [203, 0, 113, 0],
        24,
        "the address is for documentation (RFC 5737)",
    ),
    v4([224, 0, 0, 0], 4, "the address is multicast (RFC 5771)"),
    v4(
        [255, 255, 255, 255],
        32,
        "the address is the broadcast address (RFC 919)",
    ),
    v4([240, 0, 0, 0], 4, "the address is reserved (RFC 1112)"),
];

/// What is not global of IPv6: all but `2000::/3`, and some of that. The first range that holds an address names it.
const V6: [Range<Ipv6Addr>; 17] = [
    v6([0; 4], 96, "the address is loopback or none (RFC 4291)"),
    v6(
        [0x64, 0xff9b, 1, 0],
        48,
        "the address is of a local translator (RFC 8215)",
    ),
    v6(
        [0x100, 0, 0, 0],
        64,
        "the address is for discarding (RFC 6666)",
    ),
    v6(
        [0x2001, 0, 0, 0],
        23,
        "the address is for protocols (RFC 2928)",
    ),
    v6(
        [0x2001, 0xdb8, 0, 0],
        32,
        "the address is for documentation (RFC 3849)",
    ),
    v6(
        [0x3fff, 0, 0, 0],
        20,
        "the address is for documentation (RFC 9637)",
    ),
    v6(
        [0x5f00, 0, 0, 0],
        16,
        "the address is for segment routing (RFC 9602)",
    ),
    v6(
        [0xfd00, 0xec2, 0, 0],
        32,
        "the address is of AWS instance services",
    ),
    v6([0xfc00, 0, 0, 0], 7, "the address is private (RFC 4193)"),
    v6(
        [0xfe80, 0, 0, 0],
        10,
        "the address is link-local (RFC 4291)",
    ),
    v6(
        [0xfec0, 0, 0, 0],
        10,
        "the address is site-local (RFC 3879)",
    ),
    v6([0xff00, 0, 0, 0], 8, "the address is multicast (RFC 4291)"),
    v6([0; 4], 8, "the address is reserved (RFC 4291)"),
    v6([0; 4], 3, NOT_GLOBAL_UNICAST),
    v6([0x4000, 0, 0, 0], 2, NOT_GLOBAL_UNICAST),
    v6([0x8000, 0, 0, 0], 2, NOT_GLOBAL_UNICAST),
    v6([0xc000, 0, 0, 0], 2, NOT_GLOBAL_UNICAST),
];

const NOT_GLOBAL_UNICAST: &str = "the address is not global unicast (RFC 4291)";

/// What makes `address` one that is not for everybody to reach; `None` for a global one.
pub(super) fn not_global(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => not_global_v4(address),
        IpAddr::V6(address) => match carried(address) {
            Some(carried) => not_global_v4(carried),
            None => V6
                .iter()
                .find(|range| same_start(address.to_bits(), range.first.to_bits(), range.bits))
                .map(|range| range.what),
        },
    }
}

fn not_global_v4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = |address: Ipv4Addr| u128::from(address.to_bits()) << 96;
    V4.iter()
        .find(|range| same_start(bits(address), bits(range.first), range.bits))
        .map(|range| range.what)
}

fn same_start(left: u128, right: u128, bits: u32) -> bool {
    (left ^ right).leading_zeros() >= bits
}

/// The IPv4 address that an IPv6 address leads to: mapped (RFC 4291, section 2.5.5.2), translated (RFC 6052), or
/// tunnelled by 6to4 (RFC 3056).
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each range as the registries have it, not as the table does: first and last address, and a word of its reason.
    const NOT_GLOBAL: [(&str, &str, &str); 35] = [
        ("0.0.0.0", "0.255.255.255", "this network"),
        ("10.0.0.0", "10.255.255.255", "private"),
        ("100.64.0.0", "100.127.255.255", "carrier"),
        ("127.0.0.0", "127.255.255.255", "loopback"),
        ("169.254.0.0", "169.254.255.255", "link-local"),
        ("172.16.0.0", "172.31.255.255", "private"),
        ("192.0.0.0", "192.0.0.255", "protocols"),
        ("192.0.2.0", "192.0.2.255", "documentation"),
        ("192.88.99.0", "192.88.99.255", "6to4"),
        ("192.168.0.0", "192.168.255.255", "private"),
        ("198.18.0.0", "198.19.255.255", "benchmarks"),
        ("198.51.100.0", "198.51.100.255", "documentation"),
        ("203.0.113.0", "203.0.113.255", "documentation"),
        ("224.0.0.0", "239.255.255.255", "multicast"),
        ("240.0.0.0", "255.255.255.254", "reserved"),
        ("255.255.255.255", "255.255.255.255", "broadcast"),
        ("::", "::ffff:ffff", "loopback or none"),
        ("::1:0:0", "::fffe:ffff:ffff", "reserved"),
        ("::ffff:0.0.0.0", "::ffff:0.255.255.255", "this network"),
        ("::ffff:127.0.0.0", "::ffff:127.255.255.255", "loopback"),
        ("::ffff:169.254.0.0", "::ffff:169.254.255.255", "link-local"),
        ("64:ff9b::10.0.0.0", "64:ff9b::10.255.255.255", "private"),
        ("64:ff9b::a9fe:0", "64:ff9b::a9fe:ffff", "link-local"),
        (
            "64:ff9b:1::",
            "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
            "translator",
        ),
        ("100::", "100::ffff:ffff:ffff:ffff", "discarding"),
        (
            "2001::",
            "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
            "protocols",
        ),
        (
            "2001:db8::",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            "documentation",
        ),
        (
            "2002:7f00::",
            "2002:7fff:ffff:ffff:ffff:ffff:ffff:ffff",
            "loopback",
        ),
        (
            "3fff::",
            "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
            "documentation",
        ),
        (
            "5f00::",
            "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "segment",
        ),
        (
            "fc00::",
            "fd00:ec1:ffff:ffff:ffff:ffff:ffff:ffff",
            "private",
        ),
        (
            "fd00:ec2::",
            "fd00:ec2:ffff:ffff:ffff:ffff:ffff:ffff",
            "AWS",
        ),
        (
            "fe80::",
            "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "link-local",
        ),
        (
            "fec0::",
            "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "site-local",
        ),
        (
            "ff00::",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "multicast",
        ),
    ];

    /// What lies right beside them, and is global.
    const GLOBAL: [(&str, &str); 26] = [
        ("1.0.0.0", "9.255.255.255"),
        ("11.0.0.0", "100.63.255.255"),
        ("100.128.0.0", "126.255.255.255"),
        ("128.0.0.0", "169.253.255.255"),
        ("169.255.0.0", "172.15.255.255"),
        ("172.32.0.0", "191.255.255.255"),
        ("192.0.1.0", "192.0.1.255"),
        ("192.0.3.0", "192.88.98.255"),
        ("192.88.100.0", "192.167.255.255"),
        ("192.169.0.0", "198.17.255.255"),
        ("198.20.0.0", "198.51.99.255"),
        ("198.51.101.0", "203.0.112.255"),
        ("203.0.114.0", "223.255.255.255"),
        ("::ffff:1.0.0.0", "::ffff:9.255.255.255"),
        ("::ffff:11.0.0.0", "::ffff:100.63.255.255"),
        ("::ffff:192.169.0.0", "::ffff:198.17.255.255"),
        ("64:ff9b::1.0.0.0", "64:ff9b::9.255.255.255"),
        ("64:ff9b::203.0.114.0", "64:ff9b::223.255.255.255"),
        ("2000::", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2001:200::", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2001:db9::", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2002:100::", "2002:9ff:ffff:ffff:ffff:ffff:ffff:ffff"),
        (
            "2002:cb00:7200::",
            "2002:dfff:ffff:ffff:ffff:ffff:ffff:ffff",
        ),
        ("2003::", "2003:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2a00::", "2c0f:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("3fff:1000::", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ];

    /// Addresses of a range: both ends, their neighbours inside, and some between, from a fixed sequence.
    fn within(first: &str, last: &str) -> Vec<IpAddr> {
        let (first, last): (IpAddr, IpAddr) = (first.parse().unwrap(), last.parse().unwrap());
        let (low, high) = (bits(first), bits(last));
        assert!(low <= high, "{first} to {last}");
        let mut seed: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        let mut offsets = vec![0, 1, high - low, (high - low).saturating_sub(1)];
        for _ in 0..500 {
            seed = seed
                .wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645)
                .wrapping_add(1);
            offsets.push(seed.rotate_left(29) % (high - low).max(1));
        }
        offsets
            .into_iter()
            .map(|offset| low + offset.min(high - low))
            .map(|bits| match first {
                IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(bits).unwrap()).into(),
                IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
            })
            .collect()
    }

    fn bits(address: IpAddr) -> u128 {
        match address {
            IpAddr::V4(address) => address.to_bits().into(),
            IpAddr::V6(address) => address.to_bits(),
        }
    }

    #[test]
    fn special_addresses_are_not_global() {
        for (first, last, word) in NOT_GLOBAL {
            for address in within(first, last) {
                let found = not_global(address).unwrap_or_else(|| panic!("{address} is refused"));
                assert!(found.contains(word), "{address}: {found}");
            }
        }
    }

    #[test]
    fn their_neighbours_are_global() {
        for (first, last) in GLOBAL {
            for address in within(first, last) {
                assert_eq!(not_global(address), None, "{address}");
            }
        }
    }

    #[test]
    fn no_reason_holds_an_address() {
        let reasons = V4
            .iter()
            .map(|range| range.what)
            .chain(V6.iter().map(|range| range.what));
        for reason in reasons {
            assert!(!reason.contains('.') && !reason.contains("::"), "{reason}");
        }
    }

    #[test]
    fn all_outside_2000_3_is_not_global() {
        for (first, last) in [
            ("65::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("4000::", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("5f01::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("fe00::", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            for address in within(first, last) {
                assert!(not_global(address).is_some(), "{address}");
            }
        }
    }
}
