//! A proxy before moto that lets requests through, or does to them what networks and busy services do.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use super::world;

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
    rules: Arc<Mutex<Vec<Rule>>>,
    seen: Arc<Mutex<Vec<String>>>,
    /// How many requests came.
    came: watch::Receiver<usize>,
    accepting: JoinHandle<()>,
}

impl Faults {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let rules: Arc<Mutex<Vec<Rule>>> = Arc::default();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (coming, came) = watch::channel(0);
        let accepting = {
            let (rules, seen) = (Arc::clone(&rules), Arc::clone(&seen));
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (rules, seen) = (Arc::clone(&rules), Arc::clone(&seen));
                    tokio::spawn(serve(stream, rules, seen, coming.clone()));
                }
            })
        };
        Self {
            address,
            rules,
            seen,
            came,
            accepting,
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the next `times` requests that hold `text` suffer `fault`.
    pub fn inject(&self, text: impl Into<String>, fault: Fault, times: u32) {
        self.rules.lock().unwrap().push(Rule {
            text: text.into(),
            fault,
            left: times,
        });
    }

    /// Lets everything through again.
    pub fn heal(&self) {
        self.rules.lock().unwrap().clear();
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
        let seen = self.seen.lock().unwrap();
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
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|request| request.contains(text))
            .filter(&mut first)
            .cloned()
            .collect()
    }

    /// How many requests came until now: where to look on from.
    pub fn mark(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Waits for a request that holds `text` and came after `mark`.
    pub async fn until_seen(&self, text: &str, mut mark: usize) {
        let mut came = self.came.clone();
        loop {
            came.borrow_and_update();
            {
                let seen = self.seen.lock().unwrap();
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
        self.seen
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

/// One request a connection: the SDK opens another.
async fn serve(
    mut client: TcpStream,
    rules: Arc<Mutex<Vec<Rule>>>,
    seen: Arc<Mutex<Vec<String>>>,
    coming: watch::Sender<usize>,
) {
    let Some(request) = read_request(&mut client).await else {
        return;
    };
    let text = String::from_utf8_lossy(&request).into_owned();
    seen.lock().unwrap().push(text.clone());
    coming.send_modify(|came| *came += 1);
    let fault = {
        let mut rules = rules.lock().unwrap();
        let rule = rules
            .iter_mut()
            .find(|rule| rule.left > 0 && text.contains(&rule.text));
        rule.map(|rule| {
            rule.left -= 1;
            rule.fault.clone()
        })
    };
    match fault {
        None => forward(client, &request).await,
        Some(Fault::Answer(status, content_type, body)) => {
            let head = format!(
                "HTTP/1.1 {status} Fault\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = client.write_all(format!("{head}{body}").as_bytes()).await;
        }
        Some(Fault::Reset) => {
            // Closed with unread or unsent data pending, a socket that does not linger resets.
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
                    return;
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
}

async fn forward(mut client: TcpStream, request: &[u8]) {
    let moto = world().endpoint.strip_prefix("http://").unwrap();
    let mut upstream = TcpStream::connect(moto).await.unwrap();
    // One request a connection, so that the answer ends with it.
    let text = String::from_utf8_lossy(request);
    let (head, _) = text.split_once("\r\n").unwrap();
    let rest = &request[head.len() + 2..];
    let mut whole = format!("{head}\r\nconnection: close\r\n").into_bytes();
    whole.extend_from_slice(rest);
    if upstream.write_all(&whole).await.is_ok() {
        let _ = tokio::io::copy(&mut upstream, &mut client).await;
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
