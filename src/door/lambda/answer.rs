//! Answers on their way to Lambda, whole or as a stream: docs/decisions/0006.
//!
//! Owns what is sent to the Runtime API for an event. In comes an answer and its event; out goes the request that answers
//! it: one JSON document, or for an event that was invoked with `InvokeWithResponseStream` the prelude, then the body, frame
//! by frame. A body that breaks off ends with trailers that say so, and Lambda breaks off the client's answer.
//! Source: Lambda developer guide, "Using the Lambda runtime API for custom runtimes", response streaming.

use std::panic::AssertUnwindSafe;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header, request},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::{Stream, StreamExt};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::time::Instant;

use super::{
    event::FrontDoor,
    response::{self, LambdaResponse},
    runtime_api::{ApiError, Invocation, RuntimeApi},
};

pub(super) const ERROR_TYPE: HeaderName =
    HeaderName::from_static("lambda-runtime-function-error-type");
const ERROR_BODY: HeaderName = HeaderName::from_static("lambda-runtime-function-error-body");

/// An answer, and how it is read.
pub(super) enum Answer {
    /// Whole, as JSON.
    Whole(LambdaResponse),
    /// As it comes.
    Streamed(FrontDoor, Response<Body>),
}

/// Sends `answer` to the event of `invocation`, and waits until Lambda has it, but no longer than `until`.
///
/// A connection that fails is of this event alone: Lambda is told that it has no answer. If more is wrong, the next request
/// for an event says so.
pub(super) async fn send(
    api: &mut RuntimeApi,
    invocation: &Invocation,
    answer: Answer,
    until: Instant,
) {
    let request = api.outcome(invocation, "response");
    let request = match answer {
        Answer::Whole(response) => whole(request, &response),
        Answer::Streamed(front_door, response) => {
            streamed(request, front_door, response, &invocation.id)
        }
    };
    let sent = match request {
        Ok(request) => api.report(request, until).await,
        Err(error) => Err(error),
    };
    if let Err(reason) = sent {
        tracing::error!(request_id = invocation.id, %reason, "Lambda did not take an answer");
        // After its time, nobody waits for an event any more.
        if !matches!(reason, ApiError::TooLate) {
            api.fail(invocation, &reason).await;
        }
    }
}

fn whole(request: request::Builder, response: &LambdaResponse) -> Result<Request<Body>, ApiError> {
    let json = serde_json::to_vec(response).map_err(ApiError::of)?;
    request.body(json.into()).map_err(ApiError::of)
}

fn streamed(
    request: request::Builder,
    front_door: FrontDoor,
    response: Response<Body>,
    id: &str,
) -> Result<Request<Body>, ApiError> {
    let (parts, body) = response.into_parts();
    let prelude = response::prelude(front_door, &parts).map_err(ApiError::of)?;
    let body = StreamBody::new(frames(prelude, body.into_data_stream(), id.to_owned()));
    request
        .header(
            header::CONTENT_TYPE,
            "application/vnd.awslambda.http-integration-response",
        )
        .header("lambda-runtime-function-response-mode", "streaming")
        .header(header::TRANSFER_ENCODING, "chunked")
        .header(header::TRAILER, ERROR_TYPE.as_str())
        .header(header::TRAILER, ERROR_BODY.as_str())
        .body(Body::new(body))
        .map_err(ApiError::of)
}

/// The prelude and the body's data, or trailers in the place of what does not come any more.
fn frames(
    prelude: Bytes,
    body: impl Stream<Item = Result<Bytes, axum::Error>> + Send + 'static,
    id: String,
) -> impl Stream<Item = Result<Frame<Bytes>, std::convert::Infallible>> + Send + 'static {
    let prelude = futures_util::stream::once(std::future::ready(Ok(prelude)));
    AssertUnwindSafe(prelude.chain(body))
        .catch_unwind()
        .map(move |data| {
            let Ok(Ok(data)) = data else {
                tracing::error!(request_id = id, "an answer broke off");
                return Ok(Frame::trailers(broken_off()));
            };
            Ok(Frame::data(data))
        })
}

/// What tells Lambda that what it has is not all.
fn broken_off() -> HeaderMap {
    let body = r#"{"errorType":"Rolecall.BrokenOff","errorMessage":"This server failed to finish its answer."}"#;
    let body = HeaderValue::from_str(&BASE64_STANDARD.encode(body));
    let mut trailers = HeaderMap::new();
    trailers.insert(ERROR_TYPE, HeaderValue::from_static("Rolecall.BrokenOff"));
    trailers.extend(body.map(|body| (ERROR_BODY, body)));
    trailers
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::StatusCode;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        sync::oneshot,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Where a Runtime API listens, and a client of it.
    async fn runtime_api() -> (TcpListener, RuntimeApi) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        (listener, RuntimeApi::new(&address.parse().unwrap()))
    }

    /// What Lambda gets of an answer with this body.
    async fn sent(body: Body) -> String {
        let (listener, mut api) = runtime_api().await;
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::OK;
        let request = api.outcome(&Invocation::default(), "response");
        let request = streamed(request, FrontDoor::FunctionUrl, response, "id").unwrap();
        let read = async {
            let (mut lambda, _) = listener.accept().await.unwrap();
            let mut text = String::new();
            while !text.contains("\r\n0\r\n") || !text.ends_with("\r\n\r\n") {
                let mut part = [0; 4_096];
                let length = lambda.read(&mut part).await.unwrap();
                assert!(length > 0, "the connection ended: {text}");
                text.push_str(std::str::from_utf8(&part[..length]).unwrap());
            }
            lambda
                .write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
                .await
                .unwrap();
            text
        };
        let until = Instant::now() + PATIENCE;
        let (reported, text) = tokio::join!(api.report(request, until), read);
        reported.unwrap();
        text
    }

    /// Sends an answer that is large and never ends to a Runtime API that does `with` the connection, and keeps it. Fails
    /// unless nothing goes on of the answer once it is given up.
    async fn is_given_up(time: Duration, with: impl AsyncFn(&mut TcpStream)) {
        let (listener, mut api) = runtime_api().await;
        let invocation = Invocation::default();
        let (held, dropped) = oneshot::channel::<()>();
        // More than the system takes for one who does not read.
        let part = Bytes::from(vec![b'x'; 32 * 1_024 * 1_024]);
        let body = futures_util::stream::once(async { Ok::<_, axum::Error>(part) });
        let body = body
            .chain(futures_util::stream::pending())
            .map(move |part| {
                let _held = &held;
                part
            });
        let response = Response::new(Body::from_stream(body));
        let answer = Answer::Streamed(FrontDoor::FunctionUrl, response);
        let until = Instant::now() + time;
        let sending = send(&mut api, &invocation, answer, until);
        let reading = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut part = [0; 4_096];
            assert!(connection.read(&mut part).await.unwrap() > 0);
            with(&mut connection).await;
            connection
        };
        let both = async { tokio::join!(sending, reading) };
        let both = tokio::time::timeout(PATIENCE, both).await;
        let ((), _connection) = both.expect("it goes on");
        let dropped = tokio::time::timeout(Duration::from_secs(1), dropped).await;
        dropped.expect("the answer goes on").unwrap_err();
    }

    #[tokio::test]
    async fn a_connection_that_fails_ends_its_answer_and_nothing_else() {
        is_given_up(PATIENCE, async |connection| {
            connection.shutdown().await.unwrap();
        })
        .await;
    }

    #[tokio::test]
    async fn an_answer_that_is_not_read_ends_with_its_time() {
        is_given_up(Duration::from_millis(50), async |_| {}).await;
    }

    #[tokio::test]
    async fn an_answer_that_is_refused_goes_on_no_more() {
        is_given_up(PATIENCE, async |connection| {
            let refusal = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
            connection.write_all(refusal).await.unwrap();
        })
        .await;
    }

    #[tokio::test]
    async fn a_whole_stream_ends_without_a_word() {
        let text = sent(Body::from("all")).await;
        assert!(
            text.contains("{\"statusCode\":200,\"headers\":{}}\0\0\0\0\0\0\0\0\r\n"),
            "{text}"
        );
        assert!(text.ends_with("\r\n3\r\nall\r\n0\r\n\r\n"), "{text}");
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_says_so() {
        let defect = futures_util::stream::iter([true, false]).map(|whole| {
            assert!(whole, "a defect of ours");
            Ok::<_, axum::Error>("part")
        });
        let failure = futures_util::stream::iter([
            Ok("part"),
            Err(axum::Error::new("broken off")),
            Ok("what came later"),
        ]);
        for body in [Body::from_stream(defect), Body::from_stream(failure)] {
            let text = sent(body).await;
            let (_, end) = text.split_once("\r\n4\r\npart\r\n0\r\n").expect(&text);
            assert!(
                end.starts_with("lambda-runtime-function-error-type: Rolecall.BrokenOff\r\n"),
                "{text}"
            );
            assert!(
                end.contains("lambda-runtime-function-error-body: ey"),
                "{text}"
            );
        }
    }
}
