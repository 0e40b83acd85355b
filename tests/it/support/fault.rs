//! A proxy before moto, or before another server of HTTP, that lets requests through, or does to them what networks and
//! busy services do. It keeps connections, as AWS does, and can close them behind its client's back.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_sts::primitives::{DateTime, DateTimeFormat};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use super::{token::now, world};

/// How far the time of a signature may be from AWS's, in seconds: SigV4.
const TOLERANCE: i64 = 300;

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Answered at once with a status and a body.
    Answer(u16, &'static str, String),
    /// The connection is reset.
    Reset,
    /// Never answered.
    Hang,
    /// Answered a byte at a time.
    Drip,
    /// Answered with something that is not HTTP.
    Garbage,
    /// Answered with less than was announced.
    Truncated,
    /// Done, and the answer is lost.
    LostReply,
    /// Judged by a clock so many seconds ahead: what was not signed at about its time is refused, as AWS does.
    Clock(i64),
    /// Done; the credentials in the answer end so many seconds from now.
    EndsIn(u64),
}

impl Fault {
    /// What a throttled AWS API answers.
    pub fn throttled() -> Self {
        let json = r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;
        let xml = "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>";
        Self::Answer(400, "text/xml", format!("{xml}<!--{json}-->"))
    }

    /// The same, as Secrets Manager writes it.
    pub fn throttled_json() -> Self {
        let json = r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;
        Self::Answer(400, "application/x-amz-json-1.1", json.to_owned())
    }

    /// The same, as S3 writes it.
    pub fn throttled_s3() -> Self {
        let xml = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
        Self::Answer(503, "application/xml", xml.to_owned())
    }

    /// What STS answers to whom it does not let act as a role.
    pub fn denied() -> Self {
        let xml = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: arn:aws:iam::123456789012:user/x is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::111111111111:role/QuiltAlice</Message></Error></ErrorResponse>";
        Self::Answer(403, "text/xml", xml.to_owned())
    }

    /// What STS answers to credentials past their time.
    pub fn expired() -> Self {
        Self::Answer(
            403,
            "text/xml",
            format!("<ErrorResponse>{EXPIRED}</ErrorResponse>"),
        )
    }

    /// The same, as S3 writes it.
    pub fn expired_s3() -> Self {
        Self::Answer(403, "application/xml", EXPIRED.to_owned())
    }

    /// What STS, Secrets Manager and S3 answer to a signature of another time, without saying what time it is.
    pub fn off_time() -> [Self; 3] {
        ["Action=", "x-amz-target", ""].map(|asked| {
            let (status, content_type, body) = refused_time(asked, "Signature expired: long ago");
            Self::Answer(status, content_type, body)
        })
    }

    /// What S3 answers to whom it does not let.
    pub fn denied_s3() -> Self {
        let xml = "<Error><Code>AccessDenied</Code><Message>User: arn:aws:sts::111111111111:assumed-role/QuiltAlice/x is not authorized</Message></Error>";
        Self::Answer(403, "application/xml", xml.to_owned())
    }

    /// What Secrets Manager answers to whom it does not let.
    pub fn denied_json() -> Self {
        let json = r#"{"__type":"AccessDeniedException","message":"User is not authorized"}"#;
        Self::Answer(400, "application/x-amz-json-1.1", json.to_owned())
    }

    /// What Secrets Manager answers to credentials past their time.
    pub fn expired_json() -> Self {
        let json = r#"{"__type":"ExpiredTokenException","message":"The security token included in the request is expired"}"#;
        Self::Answer(400, "application/x-amz-json-1.1", json.to_owned())
    }
}

const EXPIRED: &str =
    "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>";

/// Which requests a fault is for, by a text in their head or body, and how many of them.
struct Rule {
    text: String,
    fault: Fault,
    left: u32,
}

/// The proxy. It ends with this value.
pub struct Faults {
    pub address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    /// The host and port of what stands behind.
    upstream: String,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<String>>,
    /// How many connections came.
    connections: AtomicUsize,
    /// How many of the next connections are reset before a byte is read.
    refused: AtomicU32,
    /// Changes when the connections that nothing happens on are to be reset.
    idle: watch::Sender<()>,
    /// How many requests came.
    came: watch::Sender<usize>,
}

impl Faults {
    /// Before moto.
    pub async fn start() -> Self {
        Self::before(world().endpoint.strip_prefix("http://").unwrap()).await
    }

    /// Before what listens at this host and port.
    pub async fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            upstream: upstream.to_owned(),
            rules: Mutex::default(),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            refused: AtomicU32::new(0),
            idle: watch::channel(()).0,
            came: watch::channel(0).0,
        });
        let accepting = {
            let state = Arc::clone(&state);
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&state)));
                }
            })
        };
        Self {
            address,
            state,
            accepting,
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the next `times` requests that hold `text` suffer `fault`.
    pub fn inject(&self, text: impl Into<String>, fault: Fault, times: u32) {
        self.state.rules.lock().unwrap().push(Rule {
            text: text.into(),
            fault,
            left: times,
        });
    }

    /// Lets everything through again.
    pub fn heal(&self) {
        self.state.rules.lock().unwrap().clear();
        self.state.refused.store(0, Ordering::SeqCst);
    }

    /// Resets the next `times` connections before a byte of them is read, and those that are kept.
    pub fn refuse_connections(&self, times: u32) {
        self.state.refused.store(times, Ordering::SeqCst);
        self.reset_idle();
    }

    /// Resets the connections that are kept for the next request, and those in use after their answer.
    pub fn reset_idle(&self) {
        self.state.idle.send_replace(());
    }

    /// Waits until no connection is open.
    pub async fn all_closed(&self) {
        while self.state.idle.receiver_count() > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// How many connections came.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// The parameters of the calls whose requests hold `text`, in the order they came: an AWS query, without its order.
    pub fn queries(&self, text: &str) -> Vec<BTreeMap<String, String>> {
        self.calls(text)
            .iter()
            .map(|request| {
                let (_, body) = request.split_once("\r\n\r\n").unwrap();
                url::form_urlencoded::parse(body.as_bytes())
                    .into_owned()
                    .collect()
            })
            .collect()
    }

    /// The access key that the last of the requests that hold `text` was signed with.
    pub fn access_key(&self, text: &str) -> String {
        let seen = self.state.seen.lock().unwrap();
        let last = seen.iter().rfind(|request| request.contains(text)).unwrap();
        let (_, credential) = last.split_once("Credential=").unwrap();
        credential.split('/').next().unwrap().to_owned()
    }

    /// The first request of each call whose requests hold `text`. The SDK repeats a request that is not answered in
    /// time, as it may be on a busy machine, under the same id.
    pub fn calls(&self, text: &str) -> Vec<String> {
        let mut ids = HashSet::new();
        let mut first = |request: &&String| {
            let (_, rest) = request.split_once("\r\namz-sdk-invocation-id: ").unwrap();
            ids.insert(rest.split("\r\n").next().unwrap().to_owned())
        };
        let seen = self.state.seen.lock().unwrap();
        seen.iter()
            .filter(|request| request.contains(text))
            .filter(&mut first)
            .cloned()
            .collect()
    }

    /// How many requests came until now: where to look on from.
    pub fn mark(&self) -> usize {
        self.state.seen.lock().unwrap().len()
    }

    /// Waits for a request that holds `text` and came after `mark`.
    pub async fn until_seen(&self, text: &str, mut mark: usize) {
        let mut came = self.state.came.subscribe();
        loop {
            came.borrow_and_update();
            {
                let seen = self.state.seen.lock().unwrap();
                if seen[mark..].iter().any(|request| request.contains(text)) {
                    return;
                }
                mark = seen.len();
            }
            came.changed().await.unwrap();
        }
    }

    /// How many requests came that hold `text`, repeated ones included.
    pub fn count(&self, text: &str) -> usize {
        self.state
            .seen
            .lock()
            .unwrap()
            .iter()
            .filter(|request| request.contains(text))
            .count()
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves a connection: one request after the other, until one suffers something.
async fn serve(mut client: TcpStream, state: Arc<State>) {
    state.connections.fetch_add(1, Ordering::SeqCst);
    let refuse = |left: u32| left.checked_sub(1);
    let order = Ordering::SeqCst;
    if state.refused.fetch_update(order, order, refuse).is_ok() {
        // Closed with unread or unsent data pending, a socket that does not linger resets.
        let _ = client.set_zero_linger();
        return;
    }
    let mut idle = state.idle.subscribe();
    loop {
        let request = tokio::select! {
            biased;
            _ = idle.changed() => None,
            request = read_request(&mut client) => request,
        };
        // A client that did not see the reset in time may still have sent something.
        let Some(request) = request.filter(|_| !idle.has_changed().unwrap_or(true)) else {
            let _ = client.set_zero_linger();
            return;
        };
        if !answer(&mut client, &request, &state).await {
            return;
        }
    }
}

/// Answers a request, or lets it suffer. Whether the connection may have another.
async fn answer(client: &mut TcpStream, request: &[u8], state: &State) -> bool {
    let text = String::from_utf8_lossy(request).into_owned();
    state.seen.lock().unwrap().push(text.clone());
    state.came.send_modify(|came| *came += 1);
    let fault = {
        let mut rules = state.rules.lock().unwrap();
        let rule = rules
            .iter_mut()
            .find(|rule| rule.left > 0 && text.contains(&rule.text));
        rule.map(|rule| {
            rule.left -= 1;
            rule.fault.clone()
        })
    };
    match fault {
        None => return forward(client, request, &state.upstream, str::to_owned).await,
        Some(Fault::Clock(ahead)) => match skewed(&text, ahead) {
            Some(refusal) => {
                let _ = client.write_all(refusal.as_bytes()).await;
            }
            None => return forward(client, request, &state.upstream, str::to_owned).await,
        },
        Some(Fault::EndsIn(seconds)) => {
            let soon = |answer: &str| ending(answer, now() + seconds);
            return forward(client, request, &state.upstream, soon).await;
        }
        Some(Fault::LostReply) => {
            ask(request, &state.upstream).await;
            let _ = client.set_zero_linger();
        }
        Some(Fault::Answer(status, content_type, body)) => {
            let head = format!(
                "HTTP/1.1 {status} Fault\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = client.write_all(format!("{head}{body}").as_bytes()).await;
        }
        Some(Fault::Reset) => {
            let _ = client.set_zero_linger();
        }
        // Until the other side gives up.
        Some(Fault::Hang) => drop(client.read(&mut [0]).await),
        Some(Fault::Drip) => {
            for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"
                .iter()
                .chain(std::iter::repeat_n(&b' ', 1_000))
            {
                if client.write_all(&[*byte]).await.is_err() {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Some(Fault::Garbage) => {
            let _ = client
                .write_all(b"\x00\xff\x15\x03\x01garbage\r\n\r\n")
                .await;
        }
        Some(Fault::Truncated) => {
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: 500\r\n\r\n<AssumeRole").await;
        }
    }
    false
}

/// Passes a request on, and its answer, changed, back. Whether the connection may have another.
async fn forward(
    client: &mut TcpStream,
    request: &[u8],
    upstream: &str,
    change: impl Fn(&str) -> String,
) -> bool {
    let answer = ask(request, upstream).await;
    let Some(end) = answer.windows(4).position(|part| part == b"\r\n\r\n") else {
        return false;
    };
    let (head, body) = answer.split_at(end + 4);
    let head = String::from_utf8_lossy(head);
    let is_kept = |head: &str| {
        let head = head.to_ascii_lowercase();
        head.contains("\r\ncontent-length:") && !head.contains("\r\nconnection: close\r\n")
    };
    // That the upstream closes is between it and this proxy.
    let head: String = head
        .split_inclusive("\r\n")
        .filter(|line| !line.eq_ignore_ascii_case("connection: close\r\n"))
        .collect();
    let head = head.replacen("HTTP/1.0", "HTTP/1.1", 1);
    let asked_to_close = {
        let end = request.windows(4).position(|part| part == b"\r\n\r\n");
        let head = &request[..end.map_or(request.len(), |end| end + 4)];
        String::from_utf8_lossy(head)
            .to_ascii_lowercase()
            .contains("\r\nconnection: close\r\n")
    };
    let body = match std::str::from_utf8(body) {
        Ok(text) => change(text).into_bytes(),
        Err(_) => body.to_vec(),
    };
    let whole = [head.as_bytes(), body.as_slice()].concat();
    client.write_all(&whole).await.is_ok() && is_kept(&head) && !asked_to_close
}

/// What the upstream answers, over a connection of its own, so that the answer ends with it.
async fn ask(request: &[u8], upstream: &str) -> Vec<u8> {
    let mut upstream = TcpStream::connect(upstream).await.unwrap();
    let text = String::from_utf8_lossy(request);
    let (head, _) = text.split_once("\r\n").unwrap();
    let rest = &request[head.len() + 2..];
    let mut whole = format!("{head}\r\nconnection: close\r\n").into_bytes();
    whole.extend_from_slice(rest);
    let mut answer = Vec::new();
    if upstream.write_all(&whole).await.is_ok() {
        let _ = upstream.read_to_end(&mut answer).await;
    }
    answer
}

/// The answer of an STS whose credentials end at another time: as long as it was.
fn ending(answer: &str, end: u64) -> String {
    const BEGINS: &str = "<Expiration>";
    let (before, rest) = answer.split_once(BEGINS).unwrap();
    let (was, after) = rest.split_once("</Expiration>").unwrap();
    let end = DateTime::from_secs(i64::try_from(end).unwrap());
    let end = end.fmt(DateTimeFormat::DateTime).unwrap();
    // moto writes fractions of a second.
    let fraction = "0".repeat(was.split_once('.').map_or(0, |(_, rest)| rest.len() - 1));
    let end = match fraction.as_str() {
        "" => end,
        fraction => end.replace('Z', &format!(".{fraction}Z")),
    };
    assert_eq!(end.len(), was.len(), "{was}");
    format!("{before}{BEGINS}{end}</Expiration>{after}")
}

/// What AWS says of a request that was not signed at about its time, by a clock so many seconds ahead.
fn skewed(request: &str, ahead: i64) -> Option<String> {
    let (_, rest) = request.split_once("\r\nx-amz-date: ")?;
    let signed = rest.split("\r\n").next()?;
    let (date, time) = signed.trim_end_matches('Z').split_once('T')?;
    let rfc3339 = format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &time[..2],
        &time[2..4],
        &time[4..]
    );
    let at = DateTime::from_str(&rfc3339, DateTimeFormat::DateTime).unwrap();
    let present = i64::try_from(now()).unwrap() + ahead;
    if (present - at.secs()).abs() <= TOLERANCE {
        return None;
    }
    let message = if present > at.secs() {
        format!("Signature expired: {signed} is now earlier than another time")
    } else {
        format!("Signature not yet current: {signed} is still later than another time")
    };
    let (status, content_type, body) = refused_time(request, &message);
    let date = DateTime::from_secs(present).fmt(DateTimeFormat::HttpDate);
    Some(format!(
        "HTTP/1.1 {status} Fault\r\ndate: {}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        date.unwrap(),
        body.len()
    ))
}

/// How the service that is asked refuses a signature of another time: status, content type, body.
fn refused_time(request: &str, message: &str) -> (u16, &'static str, String) {
    if request.contains("x-amz-target") {
        let body = format!(r#"{{"__type":"InvalidSignatureException","message":"{message}"}}"#);
        (400, "application/x-amz-json-1.1", body)
    } else if request.contains("Action=") {
        let body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code><Message>{message}</Message></Error></ErrorResponse>"
        );
        (403, "text/xml", body)
    } else {
        let body = "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the current time is too large.</Message></Error>";
        (403, "application/xml", body.to_owned())
    }
}

async fn read_request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        let read = client
            .read(&mut buffer)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request);
        if let Some(end) = text.find("\r\n\r\n") {
            let length = text[..end]
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length:")
                        .map(|value| value.trim().parse::<usize>().unwrap())
                })
                .unwrap_or(0);
            if request.len() >= end + 4 + length {
                return Some(request);
            }
        }
    }
}
