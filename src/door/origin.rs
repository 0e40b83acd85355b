//! Whom this server answers to: the names it goes by, and the web pages that may call it.
//!
//! Owns [`HostPolicy`] and [`OriginPolicy`], the two defences against DNS rebinding and foreign pages, and the CORS
//! answers that browsers need. MCP specification, "Streamable HTTP", security warning; Fetch standard, "CORS protocol".

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::config::{Host, Origin, ServerSection};

/// How long the list may be of headers that a page wants to send. API Gateway takes 16 KB of what comes before a stream.
const MAX_ASKED_BYTES: usize = 2_048;

/// Which `Host` a request may name.
#[derive(Debug, Clone)]
pub struct HostPolicy {
    allowed: Vec<Host>,
    loopback: bool,
    any: bool,
}

impl HostPolicy {
    fn listed(server: &ServerSection) -> Vec<Host> {
        let public = server.public_url.iter().map(|url| url.host().clone());
        server.allowed_hosts.iter().cloned().chain(public).collect()
    }

    /// For a server on a loopback address: loopback names, and those configured.
    pub fn loopback(server: &ServerSection) -> Self {
        Self {
            allowed: Self::listed(server),
            loopback: true,
            any: false,
        }
    }

    /// For a server on any other address: those configured. `None` if there are none.
    pub fn configured(server: &ServerSection) -> Option<Self> {
        let allowed = Self::listed(server);
        (!allowed.is_empty()).then_some(Self {
            allowed,
            loopback: false,
            any: false,
        })
    }

    /// Behind Lambda: those configured; if there are none, the front door, which routes by name itself, decides.
    pub fn front_door(server: &ServerSection) -> Self {
        let allowed = Self::listed(server);
        Self {
            any: allowed.is_empty(),
            allowed,
            loopback: false,
        }
    }

    /// Whether this server goes by the name in a `Host` header.
    pub(super) fn allows(&self, host: &str) -> bool {
        let Ok(host) = Host::parse(host) else {
            return false;
        };
        self.any
            || (self.loopback && host.is_loopback())
            // A configured name without a port stands for the standard ports.
            || self.allowed.iter().any(|allowed| {
                *allowed == host
                    || (allowed.as_str() == allowed.name()
                        && host.name() == allowed.as_str()
                        && [":80", ":443"].iter().any(|port| host.as_str().ends_with(port)))
            })
    }
}

/// Which web pages may call.
#[derive(Debug, Clone)]
pub(super) struct OriginPolicy {
    allowed: Vec<Origin>,
    loopback: bool,
}

impl OriginPolicy {
    pub(super) fn new(server: &ServerSection, hosts: &HostPolicy) -> Self {
        let own = server.public_url.as_ref().and_then(|url| {
            let scheme = url.as_str().split("://").next()?;
            Origin::parse(&format!("{scheme}://{}", url.host())).ok()
        });
        Self {
            allowed: server.allowed_origins.iter().cloned().chain(own).collect(),
            loopback: hosts.loopback,
        }
    }

    pub(super) fn allows(&self, origin: &HeaderValue) -> bool {
        let Some(origin) = origin
            .to_str()
            .ok()
            .and_then(|text| Origin::parse(text).ok())
        else {
            return false;
        };
        (self.loopback && origin.is_loopback()) || self.allowed.contains(&origin)
    }

    /// The answers to preflight requests, and the headers that let a page read ours.
    ///
    /// What a preflight asks for goes back as it came: see [`bound_preflight`].
    pub(super) fn cors(self: &std::sync::Arc<Self>) -> CorsLayer {
        let policy = std::sync::Arc::clone(self);
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(move |origin, _| {
                policy.allows(origin)
            }))
            .allow_methods([Method::GET, Method::POST])
            // `Mcp-Param-*` has no end, and `*` would leave out `Authorization`. A page of an allowed origin may send what
            // any other client may: no header is believed because it came, and without `allow_credentials` the browser
            // adds nothing of its user's, no cookie of a front door either.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([
                HeaderName::from_static("mcp-session-id"),
                HeaderName::from_static("mcp-protocol-version"),
                HeaderName::from_static("x-request-id"),
                header::WWW_AUTHENTICATE,
            ])
            .max_age(Duration::from_hours(2))
    }
}

/// Takes from a request what no browser asks for: its answer, which names the same headers, must fit in what front doors
/// carry, and hold nothing but names.
pub(super) fn bound_preflight(headers: &mut HeaderMap) {
    let name = header::ACCESS_CONTROL_REQUEST_HEADERS;
    let mut asked = headers.get_all(&name).iter();
    if !asked.all(|value| is_list_of_names(value.as_bytes())) {
        headers.remove(name);
    }
}

/// Whether this is a list of header names, and not a long one. RFC 9110, sections 5.6.1 and 5.6.2.
fn is_list_of_names(value: &[u8]) -> bool {
    let of_a_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    value.len() <= MAX_ASKED_BYTES
        && value.split(|byte| *byte == b',').all(|name| {
            let name = name.trim_ascii();
            name.iter().all(|byte| of_a_token(*byte))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn server(json: &str) -> ServerSection {
        Config::parse(&format!(r#"{{"server":{json}}}"#), &|_| None)
            .unwrap()
            .server
    }

    #[test]
    fn a_loopback_server_answers_to_loopback_names_only() {
        let hosts = HostPolicy::loopback(&server("{}"));
        for host in ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:9"] {
            assert!(hosts.allows(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "a b",
            "0.0.0.0",
        ] {
            assert!(!hosts.allows(host), "{host}");
        }
    }

    #[test]
    fn a_public_server_answers_to_its_configured_names_only() {
        let named = server(
            r#"{"publicUrl":"https://mcp.example.com","allowedHosts":["alt.example.com:8443"]}"#,
        );
        let hosts = HostPolicy::configured(&named).unwrap();
        for host in [
            "mcp.example.com",
            "MCP.example.com",
            "mcp.example.com:443",
            "alt.example.com:8443",
        ] {
            assert!(hosts.allows(host), "{host}");
        }
        for host in [
            "localhost",
            "alt.example.com",
            "mcp.example.com:8443",
            "x.mcp.example.com",
        ] {
            assert!(!hosts.allows(host), "{host}");
        }
        assert!(HostPolicy::configured(&server("{}")).is_none());
        assert!(
            HostPolicy::front_door(&server("{}")).allows("abc.execute-api.us-east-1.amazonaws.com")
        );
        assert!(!HostPolicy::front_door(&server("{}")).allows("a b"));
        assert!(!HostPolicy::front_door(&named).allows("abc.execute-api.us-east-1.amazonaws.com"));
    }

    #[test]
    fn pages_may_call_from_allowed_origins_only() {
        let named = server(
            r#"{"publicUrl":"https://mcp.example.com","allowedOrigins":["https://app.example.com"]}"#,
        );
        let allows = |policy: &OriginPolicy, origin: &'static str| {
            policy.allows(&HeaderValue::from_static(origin))
        };
        let public = OriginPolicy::new(&named, &HostPolicy::configured(&named).unwrap());
        assert!(allows(&public, "https://app.example.com"));
        assert!(allows(&public, "https://mcp.example.com"));
        for origin in [
            "null",
            "http://app.example.com",
            "https://app.example.com.evil.example",
            "http://localhost:3000",
            "",
        ] {
            assert!(!allows(&public, origin), "{origin}");
        }
        let local = OriginPolicy::new(&server("{}"), &HostPolicy::loopback(&server("{}")));
        assert!(allows(&local, "http://localhost:6274"));
        assert!(!allows(&local, "http://evil.example"));
    }
}
