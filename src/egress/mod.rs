//! The one dialer for what is not AWS: key sets, metadata, registries, catalogs, upstreams.
//!
//! Owns [`Egress`], and with it every rule about where this server connects to on its own account. In comes a [`Fetch`];
//! out goes what was answered ([`Fetched`]), within its time and its size, or an [`EgressError`]. What a stranger's
//! document points to is fetched by the same rules as what the operator wrote:
//!
//! - the host and the port are ones that the configuration names (`allowed.rs`);
//! - the name is resolved once, each of its addresses is judged (`address.rs`), and one of them is connected to: nobody
//!   can answer one thing to the check and another to the connection (`dial.rs`);
//! - redirects are not followed, proxies are not asked (`exchange.rs`).
//!
//! Each fetch has a connection of its own. A pooled one may have died while a Lambda instance was frozen, and would have
//! to be tried and replaced; fetches are rare, since their answers are kept by those who ask. TLS sessions are resumed.
//!
//! It stands on the lowest floor because `auth` fetches through it: docs/decisions/0004.

mod address;
mod allowed;
mod dial;
mod exchange;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use rustls::{ClientConfig, RootCertStore};
use secrecy::SecretString;
use tokio::time::Instant;

use crate::config::{EgressSection, FetchUrl};
use allowed::Allowed;
use dial::Resolve;

/// What makes an address one that no stranger's document may lead to.
#[cfg(fuzzing)]
pub fn why_not_global(address: std::net::IpAddr) -> Option<&'static str> {
    address::not_global(address)
}

/// Fetches what the configuration allows. It builds nothing before its first fetch.
pub struct Egress {
    allowed: Allowed,
    resolve: Resolve,
    roots: fn() -> RootCertStore,
    tls: OnceLock<Arc<ClientConfig>>,
}

/// What to fetch.
pub struct Fetch {
    /// From where.
    pub url: FetchUrl,
    /// The whole value of the `Authorization` header.
    pub authorization: Option<SecretString>,
    /// A body, URL-encoded: with one it is a POST, without one a GET.
    pub form: Option<SecretString>,
    /// The largest body that is taken, in bytes.
    pub max_bytes: usize,
    /// How long all of it may take: resolving, connecting, asking and reading.
    pub timeout: Duration,
}

impl Fetch {
    /// A GET of at most 256 KiB within 4 s: less than the 5 s in which whoever caused it must have an answer.
    pub fn get(url: FetchUrl) -> Self {
        Self {
            url,
            authorization: None,
            form: None,
            max_bytes: 256 * 1_024,
            timeout: Duration::from_secs(4),
        }
    }
}

/// What was answered, whatever its status: a redirect is an answer like any other.
pub struct Fetched {
    /// The status.
    pub status: StatusCode,
    /// The whole body, as it was sent.
    pub body: Bytes,
}

impl fmt::Debug for Fetched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Fetched")
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Why nothing was fetched. No text holds a URL or an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The rules forbid the connection; which one. Nothing was sent.
    #[error("not allowed: {0}")]
    Forbidden(&'static str),
    /// The name has no address: misspelt, or the resolver is out of order.
    #[error("its name has no address")]
    Unresolved,
    /// No address takes a connection within a second: nothing listens there, or a network drops what is sent.
    #[error("it cannot be connected to")]
    Unreachable,
    /// The server cannot prove that it is who it should be; why. Where it is the right one, its authority's certificate
    /// is missing on this machine (`SSL_CERT_FILE`).
    #[error("it is not trusted: {0}")]
    Untrusted(&'static str),
    /// Not answered in time.
    #[error("it did not answer in time")]
    TimedOut,
    /// The body, or the head, is larger than what is taken.
    #[error("its answer is too large")]
    TooLarge,
    /// The answer is none of HTTP, or ended too early.
    #[error("its answer is not HTTP, or ended too early")]
    Broken,
}

impl EgressError {
    /// Whether the next attempt may succeed without anybody mending the configuration.
    pub fn is_passing(&self) -> bool {
        !matches!(self, Self::Forbidden(_) | Self::Untrusted(_))
    }
}

impl Egress {
    /// A dialer for the destinations of `named`, which are the URLs that the configuration names, and those that
    /// `section` adds.
    pub fn new(section: &EgressSection, named: impl IntoIterator<Item = FetchUrl>) -> Self {
        let allowed = Allowed::new(section, named);
        Self::with(allowed, dial::system_resolver(), dial::system_roots)
    }

    fn with(allowed: Allowed, resolve: Resolve, roots: fn() -> RootCertStore) -> Self {
        Self {
            allowed,
            resolve,
            roots,
            tls: OnceLock::new(),
        }
    }

    /// Fetches.
    pub async fn fetch(&self, request: Fetch) -> Result<Fetched, EgressError> {
        let began = Instant::now();
        let fetched = tokio::time::timeout(request.timeout, self.fetch_unbounded(&request))
            .await
            .unwrap_or(Err(EgressError::TimedOut));
        self.log(&request.url, &fetched, began.elapsed());
        fetched
    }

    async fn fetch_unbounded(&self, request: &Fetch) -> Result<Fetched, EgressError> {
        let permit = self.allowed.permit(&request.url)?;
        let addresses = match permit.literal() {
            Some(address) => vec![address],
            None => (self.resolve)(permit.name())
                .await
                .map_err(|_| EgressError::Unresolved)?,
        };
        let connection = dial::connect(&permit.judge(&addresses)?).await?;
        if request.url.url().scheme() == "http" {
            return exchange::exchange(connection, request).await;
        }
        let connection = dial::secure(connection, permit.name(), self.tls()?).await?;
        exchange::exchange(connection, request).await
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, EgressError> {
        if let Some(config) = self.tls.get() {
            return Ok(Arc::clone(config));
        }
        let config = dial::tls((self.roots)())?;
        Ok(Arc::clone(self.tls.get_or_init(|| config)))
    }

    /// One line a fetch. What the configuration does not name came from a stranger, and is not repeated.
    fn log(&self, url: &FetchUrl, fetched: &Result<Fetched, EgressError>, took: Duration) {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let (host, port) = url.destination();
        match fetched {
            Ok(fetched) => tracing::debug!(
                host,
                port,
                path = url.url().path(),
                status = fetched.status.as_u16(),
                bytes = fetched.body.len(),
                took_ms,
                "fetched"
            ),
            Err(reason) if self.allowed.names(url) => {
                tracing::warn!(host, port, %reason, took_ms, "cannot fetch");
            }
            Err(reason) => tracing::warn!(%reason, took_ms, "cannot fetch"),
        }
    }
}

#[cfg(test)]
mod tests;
