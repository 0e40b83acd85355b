//! The small types that settings are made of: each reads itself, and refuses what it cannot be.
//!
//! Owns [`Bounded`], [`PublicUrl`], [`Host`] and [`Origin`]. In comes JSON; out go values that need no further check.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use url::Url;

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounded<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Bounded<MIN, MAX> {
    /// `value`, brought into the bounds.
    pub const fn clamped(value: u64) -> Self {
        Self(if value < MIN {
            MIN
        } else if value > MAX {
            MAX
        } else {
            value
        })
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let outside = || D::Error::custom(format!("expected a whole number from {MIN} to {MAX}"));
        match u64::deserialize(deserializer) {
            Ok(value) if (MIN..=MAX).contains(&value) => Ok(Self(value)),
            _ => Err(outside()),
        }
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for Bounded<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Bounded<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("From{MIN}To{MAX}").into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// Makes a type of a checked string: it reads itself, prints itself, and has a one-line schema.
macro_rules! text {
    ($type:ident, $description:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $type::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $description })
            }
        }
    };
}

/// The URL under which clients reach this server: `https`, or `http` on a loopback name; no query, no trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    text: String,
    host: Host,
    path: String,
}

impl PublicUrl {
    fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str =
            "expected a URL such as https://mcp.example.com, without user, query or fragment";
        let url = Url::parse(text).map_err(|_| EXPECTED)?;
        let host = url.host_str().ok_or(EXPECTED)?;
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !bare {
            return Err(EXPECTED);
        }
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(host) => {}
            _ => return Err("must begin with https:// (http:// is for loopback names only)"),
        }
        // Parsing mends what is not canonical; a URL that clients compare letter by letter must be written so.
        let canonical = url.as_str().trim_end_matches('/');
        if canonical != text.trim_end_matches('/') {
            return Err(
                "must be in canonical form: lower-case host, no default port, no dots or escapes to resolve",
            );
        }
        // The router would take such a part for a parameter.
        if url
            .path()
            .split('/')
            .any(|part| part.starts_with([':', '*']))
        {
            return Err("no part of its path may begin with `:` or `*`");
        }
        let path = url.path().trim_end_matches('/');
        if path.ends_with("/mcp") {
            return Err("must be the server's URL, without the /mcp that clients add");
        }
        // There the server answers with documents of its own.
        if path.split('/').any(|part| part == ".well-known") {
            return Err("no part of its path may be `.well-known`");
        }
        // As a request names it, or no request would be for it.
        let host = match url.port() {
            Some(port) => Host::parse(&format!("{host}:{port}"))?,
            None => Host::parse(host)?,
        };
        Ok(Self {
            text: canonical.to_owned(),
            host,
            path: path.to_owned(),
        })
    }

    /// The URL without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its host, and its port where that is not the scheme's.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its path without a trailing slash: empty, or such as `/prod`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

text!(
    PublicUrl,
    "The URL under which clients reach this server, such as https://mcp.example.com."
);

/// A host as it stands in a `Host` header: a lower-case name or address, and a port where it is not the scheme's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(String);

impl Host {
    /// Reads a host; upper case becomes lower case. RFC 9110, section 7.2.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected a host such as mcp.example.com or mcp.example.com:8443";
        let lower = text.to_ascii_lowercase();
        let (name, port) = match lower.strip_prefix('[') {
            Some(rest) => {
                let (address, after) = rest.split_once(']').ok_or(EXPECTED)?;
                address
                    .parse::<std::net::Ipv6Addr>()
                    .map_err(|_| EXPECTED)?;
                match after {
                    "" => (None, None),
                    _ => (None, Some(after.strip_prefix(':').ok_or(EXPECTED)?)),
                }
            }
            None => match lower.split_once(':') {
                Some((name, port)) => (Some(name), Some(port)),
                None => (Some(lower.as_str()), None),
            },
        };
        let named = name.is_none_or(|name| {
            (1..=253).contains(&name.len())
                && name.split('.').all(|label| {
                    !label.is_empty()
                        && label.bytes().all(|byte| {
                            byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
                        })
                })
        });
        let ported = port.is_none_or(|port| {
            !port.is_empty()
                && port.bytes().all(|byte| byte.is_ascii_digit())
                && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if named && ported {
            Ok(Self(lower))
        } else {
            Err(EXPECTED)
        }
    }

    /// The host, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host without its port.
    pub fn name(&self) -> &str {
        match self.0.strip_prefix('[') {
            Some(_) => self
                .0
                .rsplit_once(']')
                .map_or(self.0.as_str(), |(address, _)| &self.0[..=address.len()]),
            None => self.0.split(':').next().unwrap_or_default(),
        }
    }

    /// Its port, if it is written with one.
    pub fn port(&self) -> Option<u16> {
        let rest = self.0.strip_prefix(self.name())?;
        rest.strip_prefix(':')?.parse().ok()
    }

    /// Whether the name always means this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.name())
    }
}

fn is_loopback(name: &str) -> bool {
    name == "localhost"
        || name == "[::1]"
        || name
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
}

text!(
    Host,
    "A host as clients name it, with the port where it is not the scheme's: mcp.example.com."
);

/// A web origin: scheme, host and port. RFC 6454, section 6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    text: String,
    loopback: bool,
}

impl Origin {
    /// Reads an origin, which must be written as browsers write it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected an origin such as https://app.example.com, without a path";
        let url = Url::parse(text).map_err(|_| EXPECTED)?;
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or(EXPECTED)?;
        let origin = url.origin().ascii_serialization();
        let web = matches!(url.scheme(), "http" | "https");
        if web && origin == text {
            Ok(Self {
                loopback: is_loopback(host),
                text: origin,
            })
        } else {
            Err(EXPECTED)
        }
    }

    /// The origin, such as `https://app.example.com`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether its page came from this machine.
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }
}

text!(
    Origin,
    "A web origin that browsers may call from, such as https://app.example.com."
);

/// One scope of OAuth: RFC 6749, section 3.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope(String);

impl Scope {
    /// Reads a scope.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let allowed = |byte: u8| (0x21..=0x7e).contains(&byte) && byte != b'"' && byte != b'\\';
        if !text.is_empty() && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected one scope: printable ASCII without spaces, quotes and backslashes")
        }
    }

    /// The scope.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text!(Scope, "One scope, as in a token's `scope` claim.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_urls_are_canonical() {
        let url = PublicUrl::parse("https://mcp.example.com/prod/").unwrap();
        assert_eq!(
            (url.as_str(), url.host().as_str(), url.path()),
            ("https://mcp.example.com/prod", "mcp.example.com", "/prod")
        );
        let local = PublicUrl::parse("http://127.0.0.1:8080").unwrap();
        assert_eq!(
            (local.host().as_str(), local.path()),
            ("127.0.0.1:8080", "")
        );
        let address = PublicUrl::parse("https://[2001:db8::1]:8443").unwrap();
        assert_eq!(address.host().as_str(), "[2001:db8::1]:8443");
        for bad in [
            "mcp.example.com",
            "http://mcp.example.com",
            "https://user@mcp.example.com",
            "https://mcp.example.com/?x",
            "https://mcp.example.com/#x",
            "https://MCP.example.com",
            "https://mcp.example.com:443",
            "https://mcp.example.com/a/../b",
            "https://0x7f.1",
            "https://mcp.example.com/:prod",
            "https://mcp.example.com/a/*b",
            "https://mcp.example.com/mcp",
            "https://mcp.example.com/tools/mcp/",
            "https://mcp.example.com/.well-known/oauth-protected-resource",
            "ftp://mcp.example.com",
            "https://mcp.example.com.",
            "https://mcp.example.com./a",
            "https://h!x.example",
            "https://a,b.example",
            "https://mcp..example.com",
            "https://mcp.example.com:0",
            "http://127.0.0.1:0",
            "",
        ] {
            assert!(PublicUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_follow_the_header() {
        for (text, name, loopback) in [
            ("MCP.example.com", "mcp.example.com", false),
            ("mcp.example.com:8443", "mcp.example.com", false),
            ("localhost:1", "localhost", true),
            ("[::1]:8080", "[::1]", true),
            ("127.9.0.1", "127.9.0.1", true),
        ] {
            let host = Host::parse(text).unwrap();
            assert_eq!(
                (host.name(), host.is_loopback()),
                (name, loopback),
                "{text}"
            );
        }
        for bad in [
            "",
            "a b",
            "h:99999",
            "h:0",
            "h:",
            "[",
            "[::1",
            "[::1]x",
            "[x]",
            "a<b>",
            "evil.com/x?y=",
            "a..b",
            "user@h",
            "h:+1",
            "h:1:2",
            "é",
        ] {
            assert!(Host::parse(bad).is_err(), "{bad}");
        }
        for (text, port) in [("h", None), ("h:8443", Some(8443)), ("[::1]", None)] {
            assert_eq!(Host::parse(text).unwrap().port(), port, "{text}");
        }
        assert_eq!(Host::parse("[::1]:81").unwrap().port(), Some(81));
        assert!(!Host::parse("localhost.evil.com").unwrap().is_loopback());
        assert!(!Host::parse("127.0.0.1.evil.com").unwrap().is_loopback());
    }

    #[test]
    fn origins_are_written_as_browsers_write_them() {
        assert!(
            Origin::parse("http://localhost:6274")
                .unwrap()
                .is_loopback()
        );
        assert!(
            !Origin::parse("https://localhost.evil.com")
                .unwrap()
                .is_loopback()
        );
        for bad in [
            "null",
            "https://a.example/",
            "https://a.example:443",
            "https://A.example",
            "a.example",
            "file://",
            "https://u@a.example",
            "https://a.example/x",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
    }
}
