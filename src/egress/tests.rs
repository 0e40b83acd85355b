//! The dialer against real sockets: servers that see what came, and servers that do what they should not.

use std::{
    future::pending,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::Host;

/// The longest that a test may take.
const LIMIT: Duration = Duration::from_mins(1);
/// A time in which nothing will come.
const SHORT: Duration = Duration::from_millis(200);

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The authority that the dialer of these tests trusts.
static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| authority("ours"));

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(AUTHORITY.der().clone()).unwrap();
    roots
}

/// A server's TLS, with a certificate of `authority` for `names`.
fn certified(
    authority: &Authority,
    names: &[&str],
    change: fn(&mut CertificateParams),
) -> TlsAcceptor {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate: CertificateDer<'static> =
        params.signed_by(&key, authority).unwrap().der().clone();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn idp() -> TlsAcceptor {
    certified(&AUTHORITY, &["idp.example.com"], |_| {})
}

/// What a server does with a request that it has read.
#[derive(Clone)]
enum Does {
    /// Writes this and ends.
    Writes(Vec<u8>),
    /// Writes this, then the second over and over.
    Goes(Vec<u8>, Vec<u8>, Duration),
    /// Ends what it sends, and keeps what it receives.
    HalfCloses,
    /// Nothing.
    Hangs,
}

fn writes(text: impl Into<String>) -> Does {
    Does::Writes(text.into().into_bytes())
}

fn answers(body: &str) -> Does {
    writes(format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// What a server saw of a request.
#[derive(Debug, Clone)]
struct Seen {
    /// The name that TLS asked for.
    sni: Option<String>,
    /// Head and body.
    text: String,
}

/// A server on a port of its own.
struct Peer {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

impl Peer {
    async fn start(tls: impl Into<Option<TlsAcceptor>>, does: Does) -> Self {
        let tls = tls.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Self {
            port: listener.local_addr().unwrap().port(),
            seen: Arc::default(),
            connections: Arc::default(),
        };
        let (seen, connections) = (Arc::clone(&peer.seen), Arc::clone(&peer.connections));
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, SeqCst);
                let (tls, does, seen) = (tls.clone(), does.clone(), Arc::clone(&seen));
                spawn(async move {
                    match tls {
                        None => serve(stream, None, does, &seen).await,
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else {
                                return;
                            };
                            let sni = stream.get_ref().1.server_name().map(str::to_owned);
                            serve(stream, sni, does, &seen).await;
                        }
                    }
                });
            }
        });
        peer
    }

    fn url(&self, scheme_and_host: &str, rest: &str) -> FetchUrl {
        FetchUrl::parse(&format!("{scheme_and_host}:{}{rest}", self.port)).unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's server has no caller, and ends with the test's runtime"
)]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(task));
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    sni: Option<String>,
    does: Does,
    seen: &Mutex<Vec<Seen>>,
) {
    let Some(text) = read_request(&mut stream).await else {
        return;
    };
    seen.lock().unwrap().push(Seen { sni, text });
    match does {
        Does::Writes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Does::Goes(first, more, pause) => {
            let _ = stream.write_all(&first).await;
            while stream.write_all(&more).await.is_ok() {
                let _ = stream.flush().await;
                tokio::time::sleep(pause).await;
            }
        }
        Does::HalfCloses => {
            let _ = stream.shutdown().await;
            pending::<()>().await;
        }
        Does::Hangs => pending().await,
    }
}

async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> Option<String> {
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    loop {
        let read = stream
            .read(&mut buffer)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(text);
        }
    }
}

/// A resolver that gives one answer after the other, then its last again, and counts.
fn resolver(answers: &[&[&str]]) -> (Resolve, Arc<AtomicUsize>) {
    let answers: Vec<Vec<IpAddr>> = answers
        .iter()
        .map(|answer| answer.iter().map(|text| text.parse().unwrap()).collect())
        .collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let resolve: Resolve = Box::new(move |_| {
        let turn = count.fetch_add(1, SeqCst).min(answers.len() - 1);
        let answer = answers[turn].clone();
        Box::pin(async move { Ok(answer) })
    });
    (resolve, asked)
}

/// A dialer that may reach `peer` by the name idp.example.com, at 127.0.0.1 and `::1`, which the operator listed.
fn egress(peer: &Peer) -> Egress {
    with_resolver(peer, resolver(&[&["127.0.0.1"]]).0)
}

fn with_resolver(peer: &Peer, resolve: Resolve) -> Egress {
    let section = EgressSection {
        allowed_hosts: vec![Host::parse(&format!("idp.example.com:{}", peer.port)).unwrap()],
        allowed_addresses: vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
    };
    Egress::with(Allowed::new(&section, []), resolve, roots)
}

/// What a fetch of a server that does this comes to.
async fn fetched_from(does: Does) -> Result<Fetched, EgressError> {
    let peer = Peer::start(idp(), does).await;
    fetch(&egress(&peer), &peer).await
}

async fn fetch(egress: &Egress, peer: &Peer) -> Result<Fetched, EgressError> {
    let request = Fetch::get(peer.url("https://idp.example.com", "/keys"));
    limited(egress.fetch(Fetch {
        timeout: LIMIT,
        ..request
    }))
    .await
}

async fn limited<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.unwrap()
}

#[tokio::test]
async fn the_server_sees_its_own_name() {
    let peer = Peer::start(idp(), answers("{}")).await;
    let egress = egress(&peer);
    for _ in 0..2 {
        let request = Fetch::get(peer.url("https://idp.example.com", "/a%20b/keys?c=d"));
        let fetched = limited(egress.fetch(request)).await.unwrap();
        assert_eq!(
            (fetched.status, &*fetched.body),
            (StatusCode::OK, &b"{}"[..])
        );
    }
    let posted = Fetch {
        authorization: Some("Bearer a-token".into()),
        form: Some("token=another-token&x=y".into()),
        ..Fetch::get(peer.url("https://idp.example.com", "/introspect"))
    };
    limited(egress.fetch(posted)).await.unwrap();
    let seen = peer.seen();
    for seen in &seen {
        assert_eq!(seen.sni.as_deref(), Some("idp.example.com"));
        let host = format!("\r\nhost: idp.example.com:{}\r\n", peer.port);
        assert_eq!(seen.text.matches(&host).count(), 1, "{}", seen.text);
    }
    assert!(seen[1].text.starts_with("GET /a%20b/keys?c=d HTTP/1.1\r\n"));
    assert!(!seen[1].text.contains("authorization") && !seen[1].text.contains("content-"));
    let (head, body) = seen[2].text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /introspect HTTP/1.1\r\n"), "{head}");
    assert!(
        head.contains("\r\nauthorization: Bearer a-token\r\n") || head.ends_with("Bearer a-token")
    );
    assert!(head.contains("\r\ncontent-type: application/x-www-form-urlencoded"));
    assert_eq!(body, "token=another-token&x=y");
    // None is kept over a freeze.
    assert_eq!(peer.connections(), 3);
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let elsewhere = Peer::start(None, answers("secret")).await;
    let location = elsewhere.url("http://127.0.0.1", "/");
    let peer = Peer::start(
        idp(),
        writes(format!(
            "HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
            location.as_str()
        )),
    )
    .await;
    // Even where it points to what is allowed.
    let section = EgressSection {
        allowed_hosts: vec![Host::parse(&format!("idp.example.com:{}", peer.port)).unwrap()],
        allowed_addresses: vec!["127.0.0.1".parse().unwrap()],
    };
    let allowed = Allowed::new(&section, [location.clone()]);
    let egress = Egress::with(allowed, resolver(&[&["127.0.0.1"]]).0, roots);
    let fetched = fetch(&egress, &peer).await.unwrap();
    assert_eq!((fetched.status, fetched.body.len()), (StatusCode::FOUND, 0));
    assert_eq!(elsewhere.connections(), 0);
    assert_eq!(
        limited(egress.fetch(Fetch::get(location)))
            .await
            .unwrap()
            .body,
        "secret"
    );
}

#[tokio::test]
async fn a_name_is_resolved_once() {
    let peer = Peer::start(idp(), answers("{}")).await;
    // Where it leads the second time, nothing is allowed and nothing listens.
    let (resolve, asked) = resolver(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let egress = with_resolver(&peer, resolve);
    assert_eq!(fetch(&egress, &peer).await.unwrap().body, "{}");
    assert_eq!(asked.load(SeqCst), 1);
    // What was allowed once is judged anew.
    assert!(matches!(
        fetch(&egress, &peer).await,
        Err(EgressError::Forbidden(what)) if what.contains("loopback")
    ));
    assert_eq!((asked.load(SeqCst), peer.connections()), (2, 1));
}

#[tokio::test]
async fn one_bad_address_condemns_a_name() {
    let peer = Peer::start(idp(), answers("{}")).await;
    for other in [
        "10.0.0.1",
        "169.254.169.254",
        "fd00:ec2::254",
        "::ffff:127.0.0.2",
    ] {
        for answer in [["127.0.0.1", other], [other, "127.0.0.1"]] {
            let egress = with_resolver(&peer, resolver(&[&answer]).0);
            let refused = fetch(&egress, &peer).await.unwrap_err();
            assert!(
                matches!(refused, EgressError::Forbidden(_)),
                "{other}: {refused}"
            );
        }
    }
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn what_is_not_allowed_is_not_even_resolved() {
    let peer = Peer::start(None, answers("{}")).await;
    let (resolve, asked) = resolver(&[&["127.0.0.1"]]);
    let egress = with_resolver(&peer, resolve);
    for (host, rest) in [
        ("https://evil.example", "/"),
        ("https://localhost", "/"),
        ("http://localhost", "/"),
        ("http://127.0.0.1", "/"),
        ("https://127.0.0.1", "/"),
    ] {
        let request = Fetch::get(peer.url(host, rest));
        let refused = limited(egress.fetch(request)).await.unwrap_err();
        assert!(
            matches!(refused, EgressError::Forbidden(_)),
            "{host}: {refused}"
        );
    }
    assert_eq!((asked.load(SeqCst), peer.connections()), (0, 0));
}

#[tokio::test]
async fn a_loopback_url_that_is_named_needs_no_tls() {
    let peer = Peer::start(None, answers("{}")).await;
    let named = [
        peer.url("http://127.0.0.1", "/a"),
        peer.url("http://localhost", "/b"),
    ];
    let allowed = Allowed::new(&EgressSection::default(), named);
    let (resolve, asked) = resolver(&[&["127.0.0.1"], &["93.184.215.14"]]);
    let egress = Egress::with(allowed, resolve, || panic!("no roots are needed"));
    for url in ["http://127.0.0.1", "http://localhost"] {
        let request = Fetch::get(peer.url(url, "/c"));
        assert_eq!(limited(egress.fetch(request)).await.unwrap().body, "{}");
    }
    assert_eq!(asked.load(SeqCst), 1);
    let elsewhere = limited(egress.fetch(Fetch::get(peer.url("http://localhost", "/c")))).await;
    assert!(matches!(
        elsewhere,
        Err(EgressError::Forbidden(what)) if what.contains("another machine")
    ));
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn the_next_address_is_tried() {
    let peer = Peer::start(idp(), answers("{}")).await;
    // Nothing listens on ::1, or it does not exist.
    let egress = with_resolver(&peer, resolver(&[&["::1", "127.0.0.1"]]).0);
    assert_eq!(fetch(&egress, &peer).await.unwrap().body, "{}");
    let egress = with_resolver(&peer, resolver(&[&["::1", "::1"]]).0);
    assert_eq!(
        fetch(&egress, &peer).await.unwrap_err(),
        EgressError::Unreachable
    );
}

#[tokio::test]
async fn a_name_without_addresses_is_unresolved() {
    let peer = Peer::start(idp(), answers("{}")).await;
    let egress = with_resolver(&peer, resolver(&[&[]]).0);
    assert_eq!(
        fetch(&egress, &peer).await.unwrap_err(),
        EgressError::Unresolved
    );
    let fails: Resolve = Box::new(|_| Box::pin(async { Err(io::ErrorKind::NotFound.into()) }));
    let egress = with_resolver(&peer, fails);
    assert_eq!(
        fetch(&egress, &peer).await.unwrap_err(),
        EgressError::Unresolved
    );
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn the_system_resolves_localhost() {
    let peer = Peer::start(None, answers("{}")).await;
    let url = peer.url("http://localhost", "/config.json");
    let egress = Egress::new(&EgressSection::default(), [url.clone()]);
    assert_eq!(
        limited(egress.fetch(Fetch::get(url))).await.unwrap().body,
        "{}"
    );
}

#[tokio::test]
async fn only_the_right_server_is_trusted() {
    let other = authority("another");
    let cases: [(TlsAcceptor, &str); 3] = [
        (
            certified(&other, &["idp.example.com"], |_| {}),
            "unknown authority",
        ),
        (
            certified(&AUTHORITY, &["other.example.com"], |_| {}),
            "another name",
        ),
        (
            certified(&AUTHORITY, &["idp.example.com"], |params| {
                params.not_after = rcgen::date_time_ymd(2020, 1, 1);
            }),
            "expired",
        ),
    ];
    for (tls, word) in cases {
        let peer = Peer::start(tls, answers("{}")).await;
        match fetch(&egress(&peer), &peer).await {
            Err(EgressError::Untrusted(why)) => assert!(why.contains(word), "{why}: {word}"),
            fetched => panic!("{fetched:?} though {word}"),
        }
        assert!(peer.seen().is_empty(), "{word}: nothing was asked");
    }
}

#[tokio::test]
async fn an_address_proves_that_it_is_that_address() {
    let peer = Peer::start(certified(&AUTHORITY, &["127.0.0.1"], |_| {}), answers("{}")).await;
    let url = peer.url("https://127.0.0.1", "/");
    let egress = |addresses: &[&str], named: Option<FetchUrl>| {
        let section = EgressSection {
            allowed_hosts: vec![Host::parse(&format!("127.0.0.1:{}", peer.port)).unwrap()],
            allowed_addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        };
        Egress::with(Allowed::new(&section, named), resolver(&[&[]]).0, roots)
    };
    for egress in [egress(&["127.0.0.1"], None), egress(&[], Some(url.clone()))] {
        let fetched = limited(egress.fetch(Fetch::get(url.clone()))).await;
        assert_eq!(fetched.unwrap().body, "{}");
    }
    let refused = limited(egress(&["127.0.0.2"], None).fetch(Fetch::get(url.clone()))).await;
    assert!(matches!(refused, Err(EgressError::Forbidden(_))));
    let wrong = Peer::start(idp(), answers("{}")).await;
    let url = wrong.url("https://127.0.0.1", "/");
    let egress = Egress::with(
        Allowed::new(&EgressSection::default(), [url.clone()]),
        resolver(&[&[]]).0,
        roots,
    );
    assert!(matches!(
        limited(egress.fetch(Fetch::get(url))).await,
        Err(EgressError::Untrusted(_))
    ));
}

#[tokio::test]
async fn bodies_are_bounded() {
    let of = |max_bytes: usize, does: Does| async move {
        let peer = Peer::start(idp(), does).await;
        let request = Fetch {
            max_bytes,
            timeout: LIMIT,
            ..Fetch::get(peer.url("https://idp.example.com", "/keys"))
        };
        limited(egress(&peer).fetch(request)).await
    };
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let until_closed = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    for whole in [
        answers("12345678"),
        writes(format!("{chunked}8\r\n12345678\r\n0\r\n\r\n")),
        writes(format!("{until_closed}12345678")),
    ] {
        assert_eq!(of(8, whole.clone()).await.unwrap().body, "12345678");
        assert_eq!(of(7, whole).await.unwrap_err(), EgressError::TooLarge);
    }
    let endless =
        |head: &str, more: &str| Does::Goes(head.into(), more.repeat(1_000).into(), Duration::ZERO);
    for without_end in [
        endless(chunked, "8\r\n12345678\r\n"),
        endless(until_closed, "12345678"),
        // Announced, and not waited for.
        Does::Goes(
            b"HTTP/1.1 200 OK\r\ncontent-length: 9999999999\r\n\r\n".into(),
            Vec::new(),
            SHORT,
        ),
        // More than was announced is not read.
        endless(
            "HTTP/1.1 200 OK\r\ncontent-length: 70000\r\n\r\n",
            "12345678",
        ),
    ] {
        assert_eq!(
            of(65_536, without_end).await.unwrap_err(),
            EgressError::TooLarge
        );
    }
    let more_than_announced = endless("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n", "12345678");
    assert_eq!(of(8, more_than_announced).await.unwrap().body, "12345678");
}

#[tokio::test]
async fn heads_are_bounded() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n";
    for large in [
        writes(format!("{ok}x: {}\r\n\r\n", "y".repeat(40_000))),
        writes(format!("{ok}{}\r\n", "x: y\r\n".repeat(200))),
        Does::Goes(ok.into(), b"x: y\r\n".repeat(10), Duration::ZERO),
    ] {
        assert_eq!(
            fetched_from(large).await.unwrap_err(),
            EgressError::TooLarge
        );
    }
    let usual = writes(format!("{ok}x: {}\r\n\r\n", "y".repeat(8_000)));
    assert!(fetched_from(usual).await.is_ok());
}

#[tokio::test]
async fn time_is_bounded() {
    let slow = "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
    let pause = Duration::from_millis(10);
    let mut peers = Vec::new();
    for does in [
        Does::Hangs,
        Does::Goes(slow.into(), b" ".into(), pause),
        Does::Goes(b"HTTP/1.1 200 OK\r\nx: ".into(), b"y".into(), pause),
        Does::Goes(Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n".into(), pause),
    ] {
        peers.push(Peer::start(idp(), does).await);
    }
    // It takes connections, and never begins TLS: it waits for the end of a request that is none.
    peers.push(Peer::start(None, Does::Hangs).await);
    for peer in peers {
        let request = Fetch {
            timeout: SHORT,
            ..Fetch::get(peer.url("https://idp.example.com", "/keys"))
        };
        let fetched = limited(egress(&peer).fetch(request)).await;
        assert_eq!(fetched.unwrap_err(), EgressError::TimedOut);
    }
    let peer = Peer::start(idp(), answers("{}")).await;
    let stuck = with_resolver(&peer, Box::new(|_| Box::pin(pending())));
    let request = Fetch {
        timeout: SHORT,
        ..Fetch::get(peer.url("https://idp.example.com", "/keys"))
    };
    assert_eq!(
        limited(stuck.fetch(request)).await.unwrap_err(),
        EgressError::TimedOut
    );
}

/// Takes no connection, though something listens: what comes is dropped, which the caller hears nothing of.
#[cfg(target_os = "linux")]
async fn full(address: SocketAddr) -> io::Result<(TcpListener, [TcpStream; 2])> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(address)?;
    // Two connections wait to be accepted, which nobody does.
    let listener = socket.listen(1)?;
    let address = listener.local_addr()?;
    let waiting = [
        limited(TcpStream::connect(address)).await?,
        limited(TcpStream::connect(address)).await?,
    ];
    Ok((listener, waiting))
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn connecting_takes_a_second_at_most() {
    let (listener, _waiting) = full("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let full = Peer {
        port: listener.local_addr().unwrap().port(),
        seen: Arc::default(),
        connections: Arc::default(),
    };
    assert_eq!(
        fetch(&egress(&full), &full).await.unwrap_err(),
        EgressError::Unreachable
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_silent_address_holds_up_no_other() {
    // The same port of two addresses: the system gives one that is free of the first.
    let (peer, _full) = limited(async {
        loop {
            let peer = Peer::start(idp(), answers("{}")).await;
            let silent = SocketAddr::new("127.0.0.2".parse().unwrap(), peer.port);
            if let Ok(full) = full(silent).await {
                break (peer, full);
            }
        }
    })
    .await;
    let section = EgressSection {
        allowed_hosts: vec![Host::parse(&format!("idp.example.com:{}", peer.port)).unwrap()],
        allowed_addresses: vec!["127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()],
    };
    let resolve = resolver(&[&["127.0.0.2", "127.0.0.1"]]).0;
    let egress = Egress::with(Allowed::new(&section, []), resolve, roots);
    assert_eq!(fetch(&egress, &peer).await.unwrap().body, "{}");
}

#[tokio::test]
async fn broken_answers_are_errors() {
    for broken in [
        writes("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"),
        writes("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n123"),
        writes("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
        writes("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"),
        writes("HTTP/1.1 200"),
        writes("<html>no HTTP</html>"),
        Does::Writes(b"\x00\xff\x15\x03\x01garbage\r\n\r\n".into()),
        writes(""),
        Does::HalfCloses,
    ] {
        let found = match &broken {
            Does::Writes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => "half-closed".to_owned(),
        };
        assert_eq!(
            fetched_from(broken).await.unwrap_err(),
            EgressError::Broken,
            "{found}"
        );
    }
    // Not even TLS.
    for plain in [writes("HTTP/1.1 400 Bad Request\r\n\r\n"), Does::HalfCloses] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Peer {
            port: listener.local_addr().unwrap().port(),
            seen: Arc::default(),
            connections: Arc::default(),
        };
        spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = [0; 1];
            let _ = stream.read(&mut hello).await;
            if let Does::Writes(bytes) = plain {
                let _ = stream.write_all(&bytes).await;
            }
            let _ = stream.shutdown().await;
        });
        assert_eq!(
            fetch(&egress(&peer), &peer).await.unwrap_err(),
            EgressError::Broken
        );
    }
}

#[tokio::test]
async fn nothing_is_built_before_the_first_use() {
    static BUILT: AtomicUsize = AtomicUsize::new(0);
    let peer = Peer::start(idp(), answers("{}")).await;
    let counted = || {
        BUILT.fetch_add(1, SeqCst);
        roots()
    };
    let egress = Egress {
        roots: counted,
        ..egress(&peer)
    };
    assert_eq!(BUILT.load(SeqCst), 0);
    for _ in 0..2 {
        fetch(&egress, &peer).await.unwrap();
    }
    assert_eq!(BUILT.load(SeqCst), 1);
}

/// Where a test's log lines go.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_names_what_the_configuration_names() {
    let log = Log::default();
    let lines = {
        let log = log.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish()
    };
    // With a single subscriber, whichever thread reaches a line first decides for all whether it is of interest, and
    // the other tests' threads have none. With two, both are asked.
    let second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let guard = tracing::subscriber::set_default(lines);
    let peer = Peer::start(idp(), answers("{\"a\":\"body\"}")).await;
    let egress = egress(&peer);
    let request = Fetch {
        authorization: Some("Bearer a-token".into()),
        form: Some("token=a-form".into()),
        ..Fetch::get(peer.url("https://idp.example.com", "/keys?a=query"))
    };
    limited(egress.fetch(request)).await.unwrap();
    let stranger = Fetch::get(peer.url("https://stranger.example", "/keys?a=query"));
    limited(egress.fetch(stranger)).await.unwrap_err();
    let broken = with_resolver(&peer, resolver(&[&["10.1.2.3"]]).0);
    fetch(&broken, &peer).await.unwrap_err();
    drop((guard, second));
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let ours: Vec<&str> = text.lines().filter(|line| line.contains("fetch")).collect();
    let [fetched, refused, private] = ours[..] else {
        panic!("{text}");
    };
    assert!(
        fetched.contains("DEBUG") && fetched.contains("idp.example.com"),
        "{fetched}"
    );
    assert!(
        fetched.contains("/keys") && fetched.contains("200"),
        "{fetched}"
    );
    assert!(
        refused.contains("WARN") && refused.contains("names no such host"),
        "{refused}"
    );
    assert!(
        private.contains("WARN") && private.contains("idp.example.com"),
        "{private}"
    );
    for planted in [
        "a-token",
        "a-form",
        "body",
        "query",
        "stranger",
        "10.1.2.3",
        "127.0.0.1",
    ] {
        assert!(!text.contains(planted), "{planted}: {text}");
    }
}

#[tokio::test]
async fn what_was_fetched_does_not_print_itself() {
    let fetched = fetched_from(answers("a-body")).await.unwrap();
    let printed = format!("{fetched:?}");
    assert!(
        printed.contains("200") && !printed.contains("a-body"),
        "{printed}"
    );
}

#[test]
fn whoever_causes_a_fetch_has_an_answer_within_five_seconds() {
    let url = FetchUrl::parse("https://idp.example.com/keys").unwrap();
    assert!(Fetch::get(url).timeout < Duration::from_secs(5));
}
