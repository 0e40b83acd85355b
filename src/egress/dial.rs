//! From judged addresses to a connection, and TLS on it.
//!
//! Owns how names are resolved by default, the race of a host's addresses, and the TLS configuration: rustls on ring,
//! TLS 1.2 or newer, the roots of the system. In come addresses that may be connected to; out goes a stream.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::{
    future::BoxFuture,
    stream::{FuturesUnordered, StreamExt},
};
use rustls::{CertificateError, ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::EgressError;

/// How a name becomes addresses.
pub(super) type Resolve =
    Box<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// How long connecting may take, over all addresses.
const CONNECT: Duration = Duration::from_secs(1);
/// How long one address has before the next is tried beside it. RFC 8305, section 5.
const HEAD_START: Duration = Duration::from_millis(250);
/// More addresses of a host are not tried.
const MAX_TRIED: usize = 8;

/// The system's resolver.
pub(super) fn system_resolver() -> Resolve {
    Box::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// Connects to the first of `addresses` that takes a connection, in their order, each with a head start.
pub(super) async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, EgressError> {
    let mut untried = addresses.iter().take(MAX_TRIED);
    let mut attempts = FuturesUnordered::new();
    let race = async {
        loop {
            if let Some(address) = untried.next() {
                attempts.push(TcpStream::connect(address));
            }
            if attempts.is_empty() {
                return Err(EgressError::Unreachable);
            }
            let first = async {
                match untried.len() {
                    0 => attempts.next().await,
                    _ => timeout(HEAD_START, attempts.next()).await.ok().flatten(),
                }
            };
            if let Some(Ok(stream)) = first.await {
                // Without it a small request can wait for an acknowledgement; with an error it only may.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
        }
    };
    timeout(CONNECT, race)
        .await
        .unwrap_or(Err(EgressError::Unreachable))
}

/// The system's roots, as the AWS SDK's client finds them: `SSL_CERT_FILE`, `SSL_CERT_DIR`, else where systems keep them.
pub(super) fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        tracing::error!(
            "no root certificates: no server can be trusted; SSL_CERT_FILE names the bundle"
        );
    }
    roots
}

/// The TLS configuration of all connections that trust `roots`.
pub(super) fn tls(roots: RootCertStore) -> Result<Arc<ClientConfig>, EgressError> {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .map_err(|_| EgressError::Untrusted("this machine has no cipher of TLS 1.2 or newer"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// TLS on a connection, with the server that proves to be `name`: a host's name or an address.
pub(super) async fn secure(
    connection: TcpStream,
    name: String,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, EgressError> {
    let name = ServerName::try_from(name)
        .map_err(|_| EgressError::Forbidden("no certificate can be for such a host"))?;
    TlsConnector::from(config)
        .connect(name, connection)
        .await
        .map_err(|error| {
            error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>())
                .map_or(EgressError::Broken, refusal)
        })
}

fn refusal(error: &rustls::Error) -> EgressError {
    let rustls::Error::InvalidCertificate(reason) = error else {
        return EgressError::Broken;
    };
    EgressError::Untrusted(match reason {
        CertificateError::UnknownIssuer => "its certificate is of an unknown authority",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name"
        }
        _ => "its certificate is not valid",
    })
}
