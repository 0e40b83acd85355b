//! The Runtime API: where a function's process asks for events, and says what became of them.
//!
//! Owns a worker's connection to it, and what it is asked. In comes its address; out go events, and whether an answer was
//! taken. Why this is not `lambda_runtime`: docs/decisions/0010.
//! Source: Lambda developer guide, "Using the Lambda runtime API for custom runtimes".

use std::{
    error::Error,
    fmt::Write,
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header, request},
};
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{self, SendRequest},
    },
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout_at},
};

type Response = axum::http::Response<Incoming>;

const REQUEST_ID: &str = "lambda-runtime-aws-request-id";
const INVOCATION_ID: &str = "lambda-runtime-invocation-id";
const DEADLINE: &str = "lambda-runtime-deadline-ms";
const USER_AGENT: &str = concat!("rolecall/", env!("CARGO_PKG_VERSION"));
/// How much of an event is read at once, in bytes.
const READ_BUFFER: usize = 1_024 * 1_024;
/// How long it may take to say that an event has no answer.
const REPORT: Duration = Duration::from_secs(1);

/// An event, and what its answer must know of it.
#[derive(Debug, Default)]
pub(super) struct Invocation {
    /// Its request id: letters, digits and `-`, for it stands in paths.
    pub(super) id: String,
    /// Where it comes, it goes back: by it Lambda knows the answers to events that it gave up.
    proof: Option<HeaderValue>,
    /// When the function's time is up, in milliseconds since the epoch; 0 where Lambda does not say.
    pub(super) deadline: u64,
    /// The event itself.
    pub(super) event: Bytes,
}

/// Why there is no event, or why an answer was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// The connection failed, or broke off. With all causes.
    #[error("{0}")]
    Connection(String),
    /// Lambda says no. To who asks for an event, 403: an earlier one has no answer yet, by its books; 500: this instance is
    /// lost.
    #[error("Lambda answered {0}")]
    Refused(StatusCode),
    /// Something that is not the Runtime API.
    #[error("an event without a request id, or with one that is none")]
    Nameless,
    /// Lambda did not read an answer while it was of use.
    #[error("Lambda did not read it in time")]
    TooLate,
}

impl ApiError {
    pub(super) fn of(error: impl Error + 'static) -> Self {
        Self::Connection(chain(&error))
    }
}

/// The Runtime API, as one worker uses it: one request after the other, over a connection of its own. It is driven only
/// while something is waited for, and whatever is given up ends with it: its socket, and what is left of an answer.
pub(super) struct RuntimeApi {
    /// Host and port.
    authority: String,
    /// What comes before the Runtime API's own paths.
    base: String,
    line: Option<Line>,
}

impl RuntimeApi {
    /// The Runtime API at `address`, an `http` URL. Nothing is sent yet.
    pub(super) fn new(address: &Uri) -> Self {
        Self {
            authority: address
                .authority()
                .map(ToString::to_string)
                .unwrap_or_default(),
            base: format!(
                "{}/2018-06-01/runtime",
                address.path().trim_end_matches('/')
            ),
            line: None,
        }
    }

    /// Waits for the next event; for none once `ended`.
    pub(super) async fn next(
        &mut self,
        ended: &mut watch::Receiver<bool>,
    ) -> Option<Result<Invocation, ApiError>> {
        let request = match self
            .request(Method::GET, "invocation/next")
            .body(Body::empty())
        {
            Ok(request) => request,
            Err(error) => return Some(Err(ApiError::of(error))),
        };
        let response = tokio::select! {
            biased;
            _ = ended.wait_for(|ended| *ended) => return None,
            response = self.send(request) => response,
        };
        // From here on the event is this worker's.
        Some(match response {
            Ok(response) => self.read_event(response).await,
            Err(error) => Err(error),
        })
    }

    async fn read_event(&mut self, response: Response) -> Result<Invocation, ApiError> {
        let (parts, body) = response.into_parts();
        if parts.status != StatusCode::OK {
            self.line = None;
            return Err(ApiError::Refused(parts.status));
        }
        let event = self.read(body).await?;
        let id = text(&parts.headers, REQUEST_ID)
            .filter(|id| {
                let is_of_ids = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
                !id.is_empty() && id.bytes().all(is_of_ids)
            })
            .ok_or(ApiError::Nameless)?;
        Ok(Invocation {
            id: id.to_owned(),
            proof: parts.headers.get(INVOCATION_ID).cloned(),
            deadline: text(&parts.headers, DEADLINE)
                .and_then(|number| number.parse().ok())
                .unwrap_or_default(),
            event,
        })
    }

    /// The beginning of the request that says what became of an event: `response` or `error`.
    pub(super) fn outcome(&self, invocation: &Invocation, of: &str) -> request::Builder {
        let path = format!("invocation/{}/{of}", invocation.id);
        let mut request = self.request(Method::POST, &path);
        if let Some(value) = &invocation.proof {
            request = request.header(INVOCATION_ID, value);
        }
        request
    }

    /// Sends what became of an event, and waits until Lambda has all of it, but no longer than `until`. What Lambda does not
    /// take, or not in time, is given up.
    pub(super) async fn report(
        &mut self,
        request: Request<Body>,
        until: Instant,
    ) -> Result<(), ApiError> {
        let report = async {
            let response = self.send(request).await?;
            if !response.status().is_success() {
                return Err(ApiError::Refused(response.status()));
            }
            self.read(response.into_body()).await?;
            // Lambda may have said so before it had all. A connection that it closes then, it closes because it has.
            let _ = self.settle().await;
            Ok(())
        };
        let reported = timeout_at(until, report).await;
        let reported = reported.unwrap_or(Err(ApiError::TooLate));
        if reported.is_err() {
            self.line = None;
        }
        reported
    }

    /// Says that an event has no answer, so that Lambda waits for none and gives the next event. What it says to this is
    /// not waited for long: if it is not content, the next event does not come.
    pub(super) async fn fail(&mut self, invocation: &Invocation, reason: &ApiError) {
        const TYPE: &str = "Rolecall.AnswerLost";
        let body = serde_json::json!({ "errorType": TYPE, "errorMessage": reason.to_string() });
        let request = self
            .outcome(invocation, "error")
            .header(super::answer::ERROR_TYPE, TYPE)
            .body(body.to_string().into());
        if let Ok(request) = request {
            let _ = self.report(request, Instant::now() + REPORT).await;
        }
    }

    /// Sends a request, over the connection that is there or a new one, and waits for the head of the response.
    async fn send(&mut self, mut request: Request<Body>) -> Result<Response, ApiError> {
        // One that was closed while it was idle, as in a freeze, is known by now, or gives the request back unsent.
        if self.line.is_some() && self.settle().await.is_ok() {
            let line = self.line.as_mut().ok_or_else(closed)?;
            match line.send(request).await {
                Ok(response) => return Ok(response),
                Err(mut error) => {
                    self.line = None;
                    match error.take_message() {
                        Some(unsent) => request = unsent,
                        None => return Err(ApiError::of(error.into_error())),
                    }
                }
            }
        }
        let line = Line::open(&self.authority).await?;
        let sent = self.line.insert(line).send(request).await;
        sent.map_err(|error| {
            self.line = None;
            ApiError::of(error.into_error())
        })
    }

    async fn read(&mut self, body: Incoming) -> Result<Bytes, ApiError> {
        let line = self.line.as_mut().ok_or_else(closed)?;
        let read = drive(&mut line.connection, body.collect()).await;
        read.map(http_body_util::Collected::to_bytes)
            .map_err(|error| {
                self.line = None;
                ApiError::of(error)
            })
    }

    /// Waits until the connection has sent and received all, and can take another request. One that cannot is closed.
    async fn settle(&mut self) -> Result<(), ApiError> {
        let line = self.line.as_mut().ok_or_else(closed)?;
        line.settle().await.map_err(|error| {
            self.line = None;
            ApiError::of(error)
        })
    }

    fn request(&self, method: Method, path: &str) -> request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.base))
            .header(header::HOST, &self.authority)
            .header(header::USER_AGENT, USER_AGENT)
    }
}

fn closed() -> ApiError {
    ApiError::Connection("the connection is closed".to_owned())
}

/// A connection, and the way to send over it.
struct Line {
    sender: SendRequest<Body>,
    /// `None` once it has ended.
    connection: Option<Driven>,
}

type Driven = Pin<Box<http1::Connection<TokioIo<TcpStream>, Body>>>;

impl Line {
    async fn open(authority: &str) -> Result<Self, ApiError> {
        let stream = TcpStream::connect(authority).await.map_err(ApiError::of)?;
        // A report of progress is a small write, and must not wait until the one before it is acknowledged.
        stream.set_nodelay(true).map_err(ApiError::of)?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(READ_BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(ApiError::of)?;
        Ok(Self {
            sender,
            connection: Some(Box::pin(connection)),
        })
    }

    async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response, TrySendError<Request<Body>>> {
        let sent = self.sender.try_send_request(request);
        drive(&mut self.connection, sent).await
    }

    async fn settle(&mut self) -> Result<(), hyper::Error> {
        drive(&mut self.connection, self.sender.ready()).await
    }
}

/// Waits for `work`, for which the connection must go on.
async fn drive<T>(connection: &mut Option<Driven>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Some(driven) = connection
            && let Poll::Ready(_) = driven.as_mut().poll(context)
        {
            // Why it ended, the work says.
            *connection = None;
        }
        work.as_mut().poll(context)
    })
    .await
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// An error with its causes: the outermost alone says only that something failed.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(said, ": {error}");
        cause = error.source();
    }
    said
}
