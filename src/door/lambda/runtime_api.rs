//! The Runtime API: where a function's process asks for events, and says what became of them.
//!
//! Owns the connection to it, and what it is asked. In comes its address; out go events, and what it answers to answers.
//! Why this is not `lambda_runtime`: docs/decisions/0010.
//! Source: Lambda developer guide, "Using the Lambda runtime API for custom runtimes".

use std::{error::Error, fmt::Write, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header, request},
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;

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
    /// When the function's time is up, in milliseconds since the epoch.
    pub(super) deadline: u64,
    /// The event itself.
    pub(super) event: Bytes,
}

/// Why there is no event.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoEvent {
    /// The connection failed, or broke off.
    #[error("{0}")]
    Connection(String),
    /// Lambda says no. 403: an earlier event has no answer yet, by its books. 500: this instance is lost.
    #[error("Lambda answered {0}")]
    Refused(StatusCode),
    /// Something that is not the Runtime API.
    #[error("an event without a request id, or with one that is none")]
    Nameless,
}

/// The Runtime API of this process.
pub(super) struct RuntimeApi {
    client: Client<HttpConnector, Body>,
    /// Without a slash at its end.
    base: String,
}

impl RuntimeApi {
    /// The Runtime API at `address`, an `http` URL. Nothing is sent yet.
    pub(super) fn new(address: &Uri) -> Self {
        let mut connector = HttpConnector::new();
        // A report of progress is a small write, and must not wait until the one before it is acknowledged.
        connector.set_nodelay(true);
        let mut client = Client::builder(TokioExecutor::new());
        client.http1_max_buf_size(READ_BUFFER);
        let base = address.to_string();
        Self {
            client: client.build(connector),
            base: format!("{}/2018-06-01/runtime", base.trim_end_matches('/')),
        }
    }

    /// Waits for the next event.
    pub(super) async fn next(&self) -> Result<Invocation, NoEvent> {
        let request = self
            .request(Method::GET, "invocation/next")
            .body(Body::empty())
            .map_err(|error| NoEvent::Connection(chain(&error)))?;
        let response = self
            .call(request)
            .await
            .map_err(|error| NoEvent::Connection(chain(&error)))?;
        if response.status() != StatusCode::OK {
            return Err(NoEvent::Refused(response.status()));
        }
        let (parts, body) = response.into_parts();
        let event = body
            .collect()
            .await
            .map_err(|error| NoEvent::Connection(chain(&error)))?
            .to_bytes();
        let id = text(&parts.headers, REQUEST_ID)
            .filter(|id| {
                !id.is_empty()
                    && id
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            })
            .ok_or(NoEvent::Nameless)?;
        Ok(Invocation {
            id: id.to_owned(),
            proof: parts.headers.get(INVOCATION_ID).cloned(),
            // Without one, its time is up: it is answered so.
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

    /// Says that an event has no answer, so that Lambda waits for none and gives the next event. What it says to this is
    /// not waited for long: if it is not content, the next event does not come.
    pub(super) async fn fail(&self, invocation: &Invocation) {
        const TYPE: &str = "Rolecall.AnswerLost";
        let body = format!(
            r#"{{"errorType":"{TYPE}","errorMessage":"The connection to Lambda failed under this answer."}}"#
        );
        let request = self
            .outcome(invocation, "error")
            .header(super::answer::ERROR_TYPE, TYPE)
            .body(body.into());
        if let Ok(request) = request {
            let _ = timeout(REPORT, self.call(request)).await;
        }
    }

    /// Sends a request of this Runtime API.
    pub(super) fn call(
        &self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Incoming>, hyper_util::client::legacy::Error>> + use<>
    {
        self.client.request(request)
    }

    fn request(&self, method: Method, path: &str) -> request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.base))
            .header(header::USER_AGENT, USER_AGENT)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// An error with its causes: the outermost alone says only that something failed.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(said, ": {error}");
        cause = error.source();
    }
    said
}
