//! Who can reach a server.
//!
//! Owns [`Reach`]. In comes where a server listens; out goes whether that is production, where the configuration holds no
//! secret itself (docs/decisions/0007).

use std::net::SocketAddr;

/// Who can reach a server. It follows from the way it is started: nobody has to say so, nor can forget to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Only who is on this machine.
    ThisMachine,
    /// Others too: this is production.
    Others,
}

impl Reach {
    /// Who can reach what listens on `address`.
    pub fn of(address: SocketAddr) -> Self {
        // `::ffff:127.0.0.1` is 127.0.0.1, written for a socket of IPv6.
        if address.ip().to_canonical().is_loopback() {
            Self::ThisMachine
        } else {
            Self::Others
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loopback_address_is_of_this_machine() {
        for (address, expected) in [
            ("127.0.0.1:80", Reach::ThisMachine),
            ("127.0.0.2:80", Reach::ThisMachine),
            ("127.255.255.255:80", Reach::ThisMachine),
            ("[::1]:80", Reach::ThisMachine),
            ("[::ffff:127.0.0.1]:80", Reach::ThisMachine),
            ("0.0.0.0:80", Reach::Others),
            ("[::]:80", Reach::Others),
            ("[::ffff:0.0.0.0]:80", Reach::Others),
            ("[::ffff:10.0.0.1]:80", Reach::Others),
            ("[::127.0.0.1]:80", Reach::Others),
            ("[64:ff9b::127.0.0.1]:80", Reach::Others),
            ("10.0.0.1:80", Reach::Others),
            ("169.254.0.1:80", Reach::Others),
            ("[fe80::1]:80", Reach::Others),
            ("128.0.0.1:80", Reach::Others),
        ] {
            assert_eq!(Reach::of(address.parse().unwrap()), expected, "{address}");
        }
    }
}
