//! The TCP door: HTTP/1.1 and HTTP/2 without TLS (h2c), for a laptop, a container, or a proxy in front.
//!
//! Owns the listener, its connections and their patience: a request's head has 5 s to arrive, an idle connection 75 s
//! until the next, and an answer 75 s to be read. In come connections; out go responses. A signal ends it: what is being answered may finish.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, Version, header},
};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, Sleep},
};
use tower::ServiceExt;

use super::{
    ARRIVAL,
    body::{Held, Watched},
    layers::RequestId,
};

/// How long a connection may be idle between requests, and how long its client may leave an answer unread.
const IDLE: Duration = Duration::from_secs(75);
/// Connections at once; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 4_096;
/// Files and sockets that are left for everything else: AWS first.
const SPARE_DESCRIPTORS: usize = 128;
/// How long requests may take to finish once the server is told to end.
const GRACE: Duration = Duration::from_secs(10);

/// Serves `router`, which takes at most `work` for an answer, on `listener` until `ended`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    work: Duration,
    ended: impl Future<Output = ()>,
) {
    let ids = Arc::new(RequestIds::new());
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let connections = Arc::new(Semaphore::new(max_connections(&limits)));
    let graceful = GracefulShutdown::new();
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).max_headers(100);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .max_concurrent_streams(256)
        .max_header_list_size(65_536);
    tokio::pin!(ended);
    loop {
        let stream = tokio::select! {
            biased;
            () = &mut ended => break,
            stream = accept(&listener, &connections) => stream,
        };
        let (stream, permit) = stream;
        let activity = Arc::new(Activity::default());
        let (router, ids, counted) = (router.clone(), Arc::clone(&ids), Arc::clone(&activity));
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let pending = Pending::new(&counted);
            let (parts, body) = request.into_parts();
            let is_http1 = parts.version <= Version::HTTP_11;
            let (body, is_read) = Watched::new(body);
            let mut request = Request::from_parts(parts, Body::new(body));
            request.extensions_mut().insert(RequestId(ids.next()));
            let answer = router.clone().oneshot(request);
            async move {
                answer.await.map(|mut response| {
                    // What is left of the body makes hyper end the connection: whoever keeps connections must know, or
                    // loses their next request on this one. HTTP/2 ends the stream alone, and has no such header.
                    if is_http1 && !is_read.load(Ordering::Relaxed) {
                        let close = HeaderValue::from_static("close");
                        response.headers_mut().insert(header::CONNECTION, close);
                    }
                    response.map(|body| Held::new(body, pending, |_| {}))
                })
            }
        });
        let io = TokioIo::new(PatientStream::new(stream, activity, work + IDLE));
        let connection = graceful.watch(server.serve_connection(io, service).into_owned());
        #[expect(
            clippy::disallowed_methods,
            reason = "a connection carries no caller; each request brings its own"
        )]
        tokio::spawn(async move {
            // A connection that breaks is the client's affair.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}

/// As many as the process may have descriptors for, by what proc(5) says in `limits`; elsewhere, the bound is ours alone.
fn max_connections(limits: &str) -> usize {
    // `Max open files  <soft>  <hard>  files`
    let soft = limits.lines().find_map(|line| {
        let soft = line
            .strip_prefix("Max open files")?
            .split_whitespace()
            .next()?;
        soft.parse().ok()
    });
    soft.map_or(MAX_CONNECTIONS, |soft: usize| {
        soft.saturating_sub(SPARE_DESCRIPTORS)
            .clamp(16, MAX_CONNECTIONS)
    })
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> (TcpStream, Option<tokio::sync::OwnedSemaphorePermit>) {
    let mut warned = false;
    loop {
        // The semaphore is never closed.
        let permit = Arc::clone(connections).acquire_owned().await.ok();
        match listener.accept().await {
            Ok((stream, _)) => {
                // Small answers must not wait for the client's acknowledgement of earlier ones.
                let _ = stream.set_nodelay(true);
                return (stream, permit);
            }
            Err(error) => {
                // Out of descriptors, most often: let some connections end.
                if !std::mem::replace(&mut warned, true) {
                    tracing::warn!(%error, "cannot accept a connection");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Ids that are unique to this process and, by a random beginning, among processes.
struct RequestIds {
    process: u64,
    next: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        Self {
            process: super::random_u64(),
            next: AtomicU64::new(1),
        }
    }

    fn next(&self) -> Arc<str> {
        format!(
            "{:016x}-{}",
            self.process,
            self.next.fetch_add(1, Ordering::Relaxed)
        )
        .into()
    }
}

/// What a connection is doing.
#[derive(Default)]
struct Activity {
    /// Requests that are being answered.
    pending: AtomicUsize,
    /// Requests that ever were.
    begun: AtomicUsize,
}

/// A request that is being answered.
struct Pending(Arc<Activity>);

impl Pending {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.pending.fetch_add(1, Ordering::Relaxed);
        activity.begun.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that waits for its client only so long: for the rest of a request's head, for the next request, or for
/// an answer to be read. A client of HTTP/2 that gives an answer no room, and one that reads nothing, would otherwise
/// hold its connection for ever.
struct PatientStream {
    stream: TcpStream,
    activity: Arc<Activity>,
    /// How long the last request may take until its answer is sent.
    answer: Duration,
    /// How many requests had begun when this was last looked at.
    begun: usize,
    patience: Pin<Box<Sleep>>,
    waiting: Waiting,
    /// How much of HTTP/2's preface has come; `None` once something else has.
    preface: Option<usize>,
    /// Whether what there is to write finds no room.
    stalled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// A request is being answered.
    Answer,
    /// Nothing of the next request has come.
    Request,
    /// The head has begun.
    Head,
}

/// What an HTTP/2 connection begins with: RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 63\r\n\r\n{\"error\":\"The request's head did not arrive within 5 seconds.\"}";

impl PatientStream {
    fn new(stream: TcpStream, activity: Arc<Activity>, answer: Duration) -> Self {
        let patience = Box::pin(tokio::time::sleep(ARRIVAL));
        // A client that opens a connection has something to say.
        Self {
            stream,
            activity,
            answer,
            begun: 0,
            patience,
            waiting: Waiting::Request,
            preface: Some(0),
            stalled: false,
        }
    }

    fn is_http2(&self) -> bool {
        self.preface == Some(PREFACE.len())
    }

    /// Learns from a connection's first bytes what it speaks.
    fn see(&mut self, bytes: &[u8]) {
        if let Some(seen) = self.preface.filter(|seen| *seen < PREFACE.len()) {
            let expected = &PREFACE[seen..];
            let compared = expected.len().min(bytes.len());
            let agrees = bytes[..compared] == expected[..compared];
            self.preface = agrees.then_some(seen + compared);
        }
    }

    fn wait(&mut self, waiting: Waiting) {
        self.waiting = waiting;
        let patience = match waiting {
            Waiting::Answer => self.answer,
            // HTTP/2 is never silent, and its frames do not show where a head begins; only the first must come soon.
            Waiting::Head if !self.is_http2() || self.begun == 0 => ARRIVAL,
            Waiting::Head | Waiting::Request => IDLE,
        };
        self.patience.as_mut().reset(Instant::now() + patience);
    }

    /// Looks at what the connection is doing.
    fn observe(&mut self) {
        let is_pending = self.activity.pending.load(Ordering::Relaxed) > 0;
        let begun = self.activity.begun.load(Ordering::Relaxed);
        if begun != self.begun {
            self.begun = begun;
            self.wait(Waiting::Answer);
        }
        if !is_pending && self.waiting == Waiting::Answer {
            self.wait(Waiting::Request);
        }
    }

    /// Whether the client has had its time. Wakes the connection when it has.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        self.patience.as_mut().poll(context).is_ready()
    }

    /// Ends a write that has waited too long for its client to read.
    fn written<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_pending() {
            self.observe();
            self.stalled = true;
            if self.is_over(context) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        } else if std::mem::take(&mut self.stalled) {
            // It reads, if slowly.
            self.wait(self.waiting);
        }
        polled
    }
}

impl AsyncRead for PatientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.observe();
        let came = &buffer.filled()[before..];
        self.see(came);
        if self.waiting == Waiting::Request && !came.is_empty() {
            self.wait(Waiting::Head);
        }
        if polled.is_pending() && self.is_over(context) {
            if self.waiting == Waiting::Head && !self.is_http2() {
                // Nothing was answered yet, so nothing of ours is half-written.
                let _ = self.stream.try_write(LATE);
            }
            // The end of the stream, as far as the server is concerned.
            return Poll::Ready(Ok(()));
        }
        polled
    }
}

impl AsyncWrite for PatientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(polled, context)
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.written(polled, context)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// The server's end of a connection whose one request is being answered, and the client's end.
    async fn answering() -> (PatientStream, Pending, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        let activity = Arc::new(Activity::default());
        let pending = Pending::new(&activity);
        let patience = Duration::from_millis(50);
        let server = PatientStream::new(accepted.unwrap().0, activity, patience);
        (server, pending, client.unwrap())
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_ends_the_connection() {
        let (mut server, _pending, _client) = answering().await;
        let more_than_sockets_hold = vec![0; 64 << 20];
        let written = server.write_all(&more_than_sockets_hold);
        let failed = tokio::time::timeout(ARRIVAL, written).await.unwrap();
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn an_answer_that_is_given_no_room_ends_the_connection() {
        let (mut server, _pending, mut client) = answering().await;
        // A client of HTTP/2 that opens no window still says that it is there.
        client.write_all(b"ping").await.unwrap();
        let mut read = Vec::new();
        let ended = tokio::time::timeout(ARRIVAL, server.read_to_end(&mut read)).await;
        assert_eq!((ended.unwrap().unwrap(), &read[..]), (4, &b"ping"[..]));
    }

    #[tokio::test]
    async fn an_answer_that_is_read_slowly_arrives() {
        let (mut server, pending, mut client) = answering().await;
        // Shorter than the whole takes, and far longer than one part of it takes on a busy machine.
        server.answer = Duration::from_secs(2);
        let sending = async {
            server.write_all(&vec![1; 48 << 20]).await.unwrap();
            drop((server, pending));
        };
        let reading = async {
            let (mut read, mut part) = (0, vec![0; 1 << 20]);
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                match client.read(&mut part).await.unwrap() {
                    0 => return read,
                    more => read += more,
                }
            }
        };
        let both = tokio::time::timeout(Duration::from_secs(30), async {
            tokio::join!(sending, reading).1
        });
        assert_eq!(both.await.unwrap(), 48 << 20);
    }

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        let limits = |soft: &str| {
            format!("Max cpu time  1  1  seconds\nMax open files  {soft}  4096  files\n")
        };
        for (soft, connections) in [
            ("1024", 896),
            ("1000000", 4_096),
            ("100", 16),
            ("unlimited", 4_096),
        ] {
            assert_eq!(max_connections(&limits(soft)), connections, "{soft}");
        }
        assert_eq!(max_connections(""), 4_096);
    }
}
