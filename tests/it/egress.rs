//! What the server fetches on its own account: a catalog that behaves, and ones that do not.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::support::{
    Setup,
    fault::{Fault, Faults},
    limited, world,
};

/// A web server that has one document. It ends with this value.
struct Site {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Site {
    /// Answers `GET {path}` with `answer`, a whole HTTP answer, and all else with 404.
    async fn start(tls: Option<TlsAcceptor>, path: &str, answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&requests);
        let wanted = format!("GET {path} HTTP/1.1");
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, seen) = (tls.clone(), Arc::clone(&seen));
                let (wanted, answer) = (wanted.clone(), answer.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &wanted, &answer, &seen).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &wanted, &answer, &seen).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            requests,
            serving,
        }
    }

    /// A catalog, whose document lies where catalogs have it.
    async fn catalog(tls: Option<TlsAcceptor>, document: &Value) -> Self {
        Self::start(tls, "/config.json", ok(&document.to_string())).await
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    wanted: &str,
    answer: &str,
    seen: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            break;
        };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let found = head.lines().next() == Some(wanted);
    seen.lock().unwrap().push(head);
    let missing = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    let answer = if found { answer } else { missing };
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A server of the seeded world that needs no AWS, for the catalog at this URL.
fn setup(catalog: &str) -> Setup {
    Setup::new()
        .with("/auth/issuers/0/hs256", world().secret.as_str())
        .with("/telemetry/level", "debug")
        .with("/quilt/catalog", catalog)
        .endpoint("http://127.0.0.1:9")
}

fn document() -> Value {
    json!({
        "region": "eu-west-1",
        "registryUrl": "https://registry.example.com",
        "apiGatewayEndpoint": "https://api.example.com",
        "mode": "PRODUCT",
    })
}

#[test]
fn catalog_info_is_what_the_catalog_says() {
    limited(async {
        let site = Site::catalog(None, &document()).await;
        let catalog = format!("http://{}", site.address);
        let server = setup(&catalog).start();
        let alice = server.user("alice");
        let info = alice.call("catalog_info", json!({})).await;
        assert_eq!(
            info.content(),
            json!({
                "catalog_url": format!("{catalog}/"),
                "registry_url": "https://registry.example.com/",
                "name": null,
                "region": "eu-west-1",
            })
        );
        let [request] = &site.requests()[..] else {
            panic!("{:?}", site.requests());
        };
        // The caller's token is for us alone.
        let host = format!("\r\nhost: {}\r\n", site.address);
        assert!(request.contains(&host), "{request}");
        assert!(!request.contains("authorization"), "{request}");
        assert!(!request.contains(&alice.token.unwrap()), "{request}");
        let log = server.terminate();
        assert!(log.contains("\"message\":\"fetched\""), "{log}");
        assert!(log.contains("/config.json"), "{log}");
    });
}

#[test]
fn proxy_variables_are_not_heard() {
    limited(async {
        let site = Site::catalog(None, &document()).await;
        let proxy = Site::start(None, "/", ok("{}")).await;
        let url = format!("http://{}", proxy.address);
        let mut setup = setup(&format!("http://{}", site.address));
        for name in ["http_proxy", "https_proxy", "all_proxy"] {
            setup.environment.push((name.to_owned(), url.clone()));
            setup.environment.push((name.to_uppercase(), url.clone()));
        }
        let server = setup.start();
        let info = server.user("alice").call("catalog_info", json!({})).await;
        assert_eq!(info.content()["region"], "eu-west-1");
        assert_eq!((site.requests().len(), proxy.requests().len()), (1, 0));
    });
}

#[test]
fn the_system_s_roots_decide_who_is_trusted() {
    limited(async {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority of this test");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &authority)
            .unwrap();
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        let site = Site::catalog(Some(Arc::new(config).into()), &document()).await;
        let url = format!("https://localhost:{}", site.address.port());
        let bundle = std::env::temp_dir().join(format!("rolecall-{}.pem", site.address.port()));
        std::fs::write(&bundle, authority.pem()).unwrap();
        let mut trusting = setup(&url);
        trusting.environment.push((
            "SSL_CERT_FILE".to_owned(),
            bundle.to_str().unwrap().to_owned(),
        ));
        let server = trusting.start();
        let info = server.user("alice").call("catalog_info", json!({})).await;
        std::fs::remove_file(&bundle).unwrap();
        assert_eq!(info.content()["region"], "eu-west-1");
        // With the system's own roots, the same catalog is a stranger.
        let server = setup(&url).start();
        let refused = server.user("alice").call("catalog_info", json!({})).await;
        assert!(
            refused.tool_error().contains("does not trust"),
            "{}",
            refused.text
        );
        assert_eq!(site.requests().len(), 1);
        let log = server.terminate();
        assert!(
            log.contains("its certificate is of an unknown authority"),
            "{log}"
        );
    });
}

#[test]
fn a_catalog_that_is_none_is_said_in_words() {
    limited(async {
        let told = async |setup: Setup| {
            let server = setup.start();
            let answer = server.user("alice").call("catalog_info", json!({})).await;
            answer.tool_error()
        };
        let without = Setup::new().with("/auth/issuers/0/hs256", world().secret.as_str());
        assert!(told(without).await.contains("`quilt.catalog`"));

        let elsewhere = Site::catalog(None, &document()).await;
        let redirect = format!(
            "HTTP/1.1 302 Found\r\nlocation: http://{}/config.json\r\ncontent-length: 0\r\n\r\n",
            elsewhere.address
        );
        for (answer, word) in [
            (redirect, "status 302"),
            (ok("<html>not found</html>"), "not a Quilt catalog"),
            (ok("{}"), "not a Quilt catalog"),
            (
                ok(r#"{"registryUrl":"file:///etc/passwd"}"#),
                "not a Quilt catalog",
            ),
            (
                ok(r#"{"registryUrl":"http://10.0.0.1/"}"#),
                "not a Quilt catalog",
            ),
            (ok(&" ".repeat(300_000)), "does not answer as it should"),
        ] {
            let site = Site::start(None, "/config.json", answer).await;
            let text = told(setup(&format!("http://{}", site.address))).await;
            assert!(text.contains(word), "{word}: {text}");
            assert_eq!(site.requests().len(), 1, "{word}");
        }
        assert!(elsewhere.requests().is_empty());

        // Another path of the same catalog has no document.
        let site = Site::catalog(None, &document()).await;
        let text = told(setup(&format!("http://{}/stack", site.address))).await;
        assert!(text.contains("status 404"), "{text}");

        // Private, link-local and the like are not connected to, whoever names them.
        for address in ["10.0.0.1", "169.254.169.254", "[fd00:ec2::254]", "0.0.0.0"] {
            let text = told(setup(&format!("https://{address}"))).await;
            assert!(text.contains("does not trust"), "{address}: {text}");
            assert!(!text.contains(address), "{text}");
        }
    });
}

#[test]
fn a_catalog_in_trouble_costs_one_call() {
    limited(async {
        let faults = Faults::start().await;
        let server = setup(&faults.endpoint()).start();
        let caller = server.user("alice");
        for fault in [Fault::Reset, Fault::Hang, Fault::Garbage, Fault::Truncated] {
            faults.inject("GET /config.json", fault.clone(), 1);
            let text = caller.call("catalog_info", json!({})).await.tool_error();
            assert!(
                text.contains("does not answer as it should"),
                "{fault:?}: {text}"
            );
        }
        let body = document().to_string();
        faults.inject(
            "GET /config.json",
            Fault::Answer(200, "application/json", body),
            1,
        );
        let info = caller.call("catalog_info", json!({})).await.content();
        assert_eq!(info["region"], "eu-west-1");
        assert_eq!(faults.count("GET /config.json"), 5);
    });
}
