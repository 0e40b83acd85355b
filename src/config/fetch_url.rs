//! URLs that this server itself fetches: key sets, metadata, registries.
//!
//! Owns [`FetchUrl`]. In comes text, from the configuration or from a document that an issuer publishes; out goes a URL
//! in canonical form, whose host is what it looks like. Whether it may be connected to is the egress guard's to say.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use url::{Host, Url};

/// An `https` URL, or an `http` one of a loopback address or `localhost`; without user or fragment.
///
/// The `url` crate mends what is not canonical (`0x7f.1` becomes `127.0.0.1`, a tab inside a host goes away): what it
/// would have to mend is refused, so that the text is the URL.
#[derive(Clone, PartialEq, Eq)]
pub struct FetchUrl(Url);

/// Why a text is no [`FetchUrl`]. The text is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchUrlError {
    /// No URL, or one with parts that none of these needs.
    #[error(
        "expected a URL such as https://idp.example.com/keys, without user or fragment, in canonical form"
    )]
    Form,
    /// `http` to another machine.
    #[error("must begin with https:// (http:// is for loopback addresses only)")]
    Scheme,
}

impl FetchUrl {
    /// Reads a URL that must be canonical as it stands, but for the slash of an empty path.
    pub fn parse(text: &str) -> Result<Self, FetchUrlError> {
        let url = Url::parse(text).map_err(|_| FetchUrlError::Form)?;
        let canonical = url.as_str();
        let as_written = canonical == text
            || (url.path() == "/"
                && url.query().is_none()
                && canonical.strip_suffix('/') == Some(text));
        let named = match url.host() {
            Some(Host::Domain(name)) => !name.is_empty() && !name.ends_with('.'),
            Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
            None => false,
        };
        let bare =
            url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if !as_written || !named || !bare || url.port() == Some(0) {
            return Err(FetchUrlError::Form);
        }
        let url = Self(url);
        match url.0.scheme() {
            "https" => Ok(url),
            "http" if url.is_loopback() => Ok(url),
            _ => Err(FetchUrlError::Scheme),
        }
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The URL, parsed.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Its host and port, the scheme's own port included: what an allowlist of destinations holds.
    pub fn destination(&self) -> (&str, u16) {
        let host = self.0.host_str().unwrap_or_default();
        (host, self.0.port_or_known_default().unwrap_or_default())
    }

    /// Whether it names this machine: a loopback address, or `localhost`.
    pub fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }
}

impl fmt::Debug for FetchUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for FetchUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Serialize for FetchUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl JsonSchema for FetchUrl {
    fn schema_name() -> Cow<'static, str> {
        "FetchUrl".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A URL that this server fetches: https, or http on a loopback address.",
            "pattern": "^https?://"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_what_they_look_like() {
        for good in [
            "https://idp.example.com",
            "https://idp.example.com/",
            "https://idp.example.com:8443/a/b?c=d",
            "https://[2001:db8::1]/keys",
            "https://192.0.2.1/keys",
            "http://127.0.0.1:9000/keys",
            "http://[::1]:9000",
            "http://localhost:9000/keys",
        ] {
            assert!(FetchUrl::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "idp.example.com",
            "https://",
            "https:///keys",
            "https://IDP.example.com",
            "https://idp.example.com:443",
            "https://idp.example.com:0/",
            "https://idp.example.com./",
            "https://user@idp.example.com",
            "https://user:pass@idp.example.com",
            "https://idp.example.com/#x",
            "https://idp.example.com/a/../b",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://0177.0.0.1/",
            "https://127.1/",
            "https://①②⑦.⓪.⓪.①/",
            "https://ｅvil.example/",
            "https://ev\til.example/",
            " https://idp.example.com",
            "https://idp.example.com\\@evil.example",
            "https://%69dp.example.com",
            "https://[::ffff:127.0.0.1]/",
            "http:/127.0.0.1/",
        ] {
            assert_eq!(FetchUrl::parse(bad), Err(FetchUrlError::Form), "{bad}");
        }
        for plain in [
            "ftp://idp.example.com",
            "http://idp.example.com/keys",
            "http://10.0.0.1/",
            "http://localhost.evil.example/",
            "http://128.0.0.1/",
        ] {
            assert_eq!(
                FetchUrl::parse(plain),
                Err(FetchUrlError::Scheme),
                "{plain}"
            );
        }
    }

    #[test]
    fn a_destination_has_a_port() {
        let of = |text: &str| {
            let url = FetchUrl::parse(text).unwrap();
            let (host, port) = url.destination();
            (host.to_owned(), port)
        };
        assert_eq!(
            of("https://idp.example.com/a"),
            ("idp.example.com".into(), 443)
        );
        assert_eq!(of("http://[::1]:81"), ("[::1]".into(), 81));
    }
}
