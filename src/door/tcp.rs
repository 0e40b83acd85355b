//! The TCP door: HTTP/1.1 and HTTP/2 without TLS (h2c), for a laptop, a container, or a proxy in front.
//!
//! Owns the listener, its connections and their patience: a request's head has 5 s to arrive, an idle connection 75 s
//! until the next. In come connections; out go responses. A signal ends it: what is being answered may finish.

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

use axum::{Router, body::Body, extract::Request};
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

use super::{ARRIVAL, body::Held, layers::RequestId};

/// How long a connection may be idle between requests.
const IDLE: Duration = Duration::from_secs(75);
/// Connections at once; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 4_096;
/// How long requests may take to finish once the server is told to end.
const GRACE: Duration = Duration::from_secs(10);

/// Serves `router` on `listener` until `ended`.
pub async fn serve(listener: TcpListener, router: Router, ended: impl Future<Output = ()>) {
    let ids = Arc::new(RequestIds::new());
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
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
            let mut request: Request = request.map(Body::new);
            request.extensions_mut().insert(RequestId(ids.next()));
            let answer = router.clone().oneshot(request);
            async move {
                answer
                    .await
                    .map(|response| response.map(|body| Held::new(body, pending)))
            }
        });
        let io = TokioIo::new(PatientStream::new(stream, activity));
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

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> (TcpStream, Option<tokio::sync::OwnedSemaphorePermit>) {
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
                tracing::warn!(%error, "cannot accept a connection");
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

/// A connection that waits for its client only so long: for the rest of a request's head, or for the next request.
/// While a request is pending, patience is the handler's.
struct PatientStream {
    stream: TcpStream,
    activity: Arc<Activity>,
    /// How many requests had begun when this was last looked at.
    begun: usize,
    patience: Pin<Box<Sleep>>,
    waiting: Waiting,
    /// How much of HTTP/2's preface has come; `None` once something else has.
    preface: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// A request is being answered.
    No,
    /// Nothing of the next request has come.
    ForRequest,
    /// The head has begun.
    ForHead,
}

/// What an HTTP/2 connection begins with: RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 63\r\n\r\n{\"error\":\"The request's head did not arrive within 5 seconds.\"}";

impl PatientStream {
    fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        let patience = Box::pin(tokio::time::sleep(ARRIVAL));
        // A client that opens a connection has something to say.
        Self {
            stream,
            activity,
            begun: 0,
            patience,
            waiting: Waiting::ForRequest,
            preface: Some(0),
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
            Waiting::No => return,
            Waiting::ForHead if !self.is_http2() => ARRIVAL,
            // HTTP/2 is never silent, and its frames do not show where a head begins.
            Waiting::ForHead | Waiting::ForRequest => IDLE,
        };
        self.patience.as_mut().reset(Instant::now() + patience);
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
        let is_pending = self.activity.pending.load(Ordering::Relaxed) > 0;
        let begun = self.activity.begun.load(Ordering::Relaxed);
        if is_pending || begun != self.begun {
            self.begun = begun;
            self.waiting = Waiting::No;
        }
        if !is_pending && self.waiting == Waiting::No {
            self.wait(Waiting::ForRequest);
        }
        let came = &buffer.filled()[before..];
        self.see(came);
        let begins = self.waiting == Waiting::ForRequest || self.is_http2();
        if !is_pending && begins && !came.is_empty() {
            self.wait(Waiting::ForHead);
        }
        if polled.is_pending() && !is_pending && self.patience.as_mut().poll(context).is_ready() {
            if self.waiting == Waiting::ForHead && !self.is_http2() {
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
        Pin::new(&mut self.stream).poll_write(context, bytes)
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
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
