//! The caller: HTTP/1.1 over connections that stay open, with as little work for each call as can be.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Barrier,
    task::JoinSet,
    time::timeout,
};

use crate::Result;

/// The longest that anything may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A request, ready to be written, and what its answer must hold.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) bytes: Vec<u8>,
    pub(crate) expected: String,
}

pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = timeout(LIMIT, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(16_384),
        })
    }

    /// Sends a request and reads its answer, which must be the expected one.
    pub(crate) async fn call(&mut self, request: &Request) -> Result<()> {
        timeout(LIMIT, self.exchange(request)).await?
    }

    async fn exchange(&mut self, request: &Request) -> Result<()> {
        self.stream.write_all(&request.bytes).await?;
        self.buffer.clear();
        let mut end = None;
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(self.unexpected("the connection ended"));
            }
            if end.is_none() {
                end = whole_length(&self.buffer)?;
            }
            if end.is_some_and(|end| self.buffer.len() >= end) {
                break;
            }
        }
        let expected = request.expected.as_bytes();
        let found = self
            .buffer
            .windows(expected.len())
            .any(|part| part == expected);
        if self.buffer.starts_with(b"HTTP/1.1 200 ") && found {
            Ok(())
        } else {
            Err(self.unexpected(&request.expected))
        }
    }

    fn unexpected(&self, wanted: &str) -> Box<dyn std::error::Error + Send + Sync> {
        format!(
            "wanted {wanted:?}, got {}",
            String::from_utf8_lossy(&self.buffer)
        )
        .into()
    }
}

/// How long the answer is that begins with `head`; `None` until its headers are whole.
fn whole_length(head: &[u8]) -> Result<Option<usize>> {
    let Some(end) = head.windows(4).position(|part| part == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&head[..end])?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    let length: usize = length
        .ok_or_else(|| format!("an answer without a length: {text}"))?
        .trim()
        .parse()?;
    Ok(Some(end + 4 + length))
}

/// Makes `calls` calls on each connection, one after the other. Gives the time of it all, and of each call.
pub(crate) async fn run(
    connections: Vec<Connection>,
    requests: &[Request],
    calls: usize,
) -> Result<(Duration, Vec<Duration>)> {
    let together = Arc::new(Barrier::new(connections.len() + 1));
    let requests: Arc<[Request]> = requests.into();
    let mut tasks: JoinSet<Result<Vec<Duration>>> = JoinSet::new();
    let total = connections.len() * calls;
    for (index, mut connection) in connections.into_iter().enumerate() {
        let (together, requests) = (Arc::clone(&together), Arc::clone(&requests));
        tasks.spawn(async move {
            let mut latencies = Vec::with_capacity(calls);
            together.wait().await;
            for request in requests.iter().cycle().skip(index).take(calls) {
                let sent = Instant::now();
                connection.exchange(request).await?;
                latencies.push(sent.elapsed());
            }
            Ok(latencies)
        });
    }
    together.wait().await;
    let started = Instant::now();
    let mut latencies = Vec::with_capacity(total);
    while let Some(done) = timeout(LIMIT, tasks.join_next()).await? {
        latencies.extend(done??);
    }
    Ok((started.elapsed(), latencies))
}
