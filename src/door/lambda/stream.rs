//! Answers on their way to Lambda, whole or as a stream: docs/decisions/0006.
//!
//! Owns what is sent to the Runtime API for an event. In comes an answer and its event; out goes the request that answers
//! it: one JSON document, or for an event that was invoked with `InvokeWithResponseStream` the prelude, then the body, frame
//! by frame. A body that breaks off ends with trailers that say so, and Lambda breaks off the client's answer.
//!
//! `lambda_runtime` sends answers too, but ends the process where a connection fails, or one of the workers of a Managed
//! Instance, which nothing replaces. Of a stream it writes the trailers into the body, where they look like a part of it, and
//! sends over a connection on which each small write waits for the acknowledgement of the one before.
//! Source: Lambda developer guide, "Using the Lambda runtime API for custom runtimes", response streaming.

use std::panic::AssertUnwindSafe;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::{Stream, StreamExt};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper_util::client::legacy::connect::HttpConnector;
use lambda_runtime::{Error, LambdaInvocation};
use lambda_runtime_api_client::{PooledClient, build_request};
use tokio::time::{Instant, timeout_at};

use super::{event::FrontDoor, response};

const INVOCATION_ID: &str = "lambda-runtime-invocation-id";
const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-runtime-function-error-type");
const ERROR_BODY: HeaderName = HeaderName::from_static("lambda-runtime-function-error-body");

/// An answer, and how it is read.
pub(super) enum Answer {
    /// Whole, as JSON.
    Whole(Vec<u8>),
    /// As it comes.
    Streamed(FrontDoor, Response<Body>),
}

/// A client of the Runtime API.
pub(super) fn client() -> PooledClient {
    let mut connector = HttpConnector::new();
    // A report of progress is a small write, and must not wait until the one before it is acknowledged.
    connector.set_nodelay(true);
    PooledClient::builder().with_connector(connector).build()
}

/// Sends `answer` to the event of `invocation`, and waits until Lambda has it, but no longer than `until`.
///
/// A connection that fails is of this event alone: if it is more, the next request for an event says so.
pub(super) async fn send(
    client: &PooledClient,
    invocation: &LambdaInvocation,
    answer: Answer,
    until: Instant,
) -> Result<(), Error> {
    let id = &invocation.context.request_id;
    let mut request = build_request()
        .method("POST")
        .uri(format!("/2018-06-01/runtime/invocation/{id}/response"));
    // Where it comes, it goes back: by it Lambda knows the answers to events that it gave up.
    if let Some(value) = invocation.parts.headers.get(INVOCATION_ID) {
        request = request.header(INVOCATION_ID, value);
    }
    let request = match answer {
        Answer::Whole(json) => request.body(json.into())?,
        Answer::Streamed(front_door, response) => streamed(request, front_door, response, id)?,
    };
    match timeout_at(until, client.call(request)).await {
        Ok(Ok(taken)) if taken.status().is_success() => {}
        Ok(Ok(refused)) => {
            tracing::error!(request_id = id, status = %refused.status(), "Lambda did not take an answer");
        }
        Ok(Err(reason)) => {
            tracing::error!(request_id = id, %reason, "Lambda broke off an answer");
        }
        Err(_) => tracing::error!(request_id = id, "Lambda did not read an answer in time"),
    }
    Ok(())
}

fn streamed(
    request: axum::http::request::Builder,
    front_door: FrontDoor,
    response: Response<Body>,
    id: &str,
) -> Result<Request<lambda_runtime::streaming::Body>, Error> {
    let (parts, body) = response.into_parts();
    let prelude = response::prelude(front_door, &parts)?;
    let body = StreamBody::new(frames(prelude, body.into_data_stream(), id.to_owned()));
    let request = request
        .header(
            header::CONTENT_TYPE,
            "application/vnd.awslambda.http-integration-response",
        )
        .header("lambda-runtime-function-response-mode", "streaming")
        .header(header::TRANSFER_ENCODING, "chunked")
        .header(header::TRAILER, ERROR_TYPE.as_str())
        .header(header::TRAILER, ERROR_BODY.as_str())
        .body(lambda_runtime::streaming::Body::new(body))?;
    Ok(request)
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
    use lambda_runtime::Context;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        sync::oneshot,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Where a Runtime API listens, and a client of it.
    async fn runtime_api() -> (TcpListener, PooledClient) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let client = PooledClient::builder().with_endpoint(endpoint.parse().unwrap());
        (listener, client.build())
    }

    /// What Lambda gets of an answer with this body.
    async fn sent(body: Body) -> String {
        let (listener, client) = runtime_api().await;
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::OK;
        let request = build_request().method("POST").uri("/response");
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
            text
        };
        let both = async { tokio::join!(client.call(request), read).1 };
        tokio::time::timeout(PATIENCE, both).await.unwrap()
    }

    /// Sends an answer that never ends to a Runtime API that does `api` with the connection. Gives what is dropped with
    /// the answer.
    async fn send_endless(
        time: Duration,
        api: impl AsyncFn(&mut TcpStream),
    ) -> (Result<(), Error>, oneshot::Receiver<()>) {
        let (listener, client) = runtime_api().await;
        let invocation = LambdaInvocation {
            parts: Response::new(()).into_parts().0,
            body: Bytes::new(),
            context: Context::default(),
        };
        let (held, dropped) = oneshot::channel();
        let body = futures_util::stream::once(async { Ok::<_, axum::Error>("part") });
        let body = body
            .chain(futures_util::stream::pending())
            .map(move |part| {
                let _held = &held;
                part
            });
        let response = Response::new(Body::from_stream(body));
        let answer = Answer::Streamed(FrontDoor::FunctionUrl, response);
        let until = Instant::now() + time;
        let sending = send(&client, &invocation, answer, until);
        let reading = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut part = [0; 4_096];
            assert!(connection.read(&mut part).await.unwrap() > 0);
            api(&mut connection).await;
            connection
        };
        let both = async { tokio::join!(sending, reading) };
        let (sent, _connection) = tokio::time::timeout(PATIENCE, both)
            .await
            .expect("it goes on");
        (sent, dropped)
    }

    /// Fails unless nothing goes on of the answer.
    async fn assert_ended(dropped: oneshot::Receiver<()>) {
        let dropped = tokio::time::timeout(PATIENCE, dropped).await;
        dropped.expect("the answer goes on").unwrap_err();
    }

    #[tokio::test]
    async fn a_connection_that_fails_ends_its_answer_and_nothing_else() {
        let (sent, dropped) = send_endless(PATIENCE, async |connection| {
            connection.shutdown().await.unwrap();
        })
        .await;
        assert!(sent.is_ok(), "the runtime would end: {sent:?}");
        assert_ended(dropped).await;
    }

    #[tokio::test]
    async fn an_answer_that_is_not_read_ends_with_its_time() {
        let time = Duration::from_millis(50);
        let (sent, dropped) = send_endless(time, async |_| {}).await;
        assert!(sent.is_ok(), "the runtime would end: {sent:?}");
        assert_ended(dropped).await;
    }

    #[tokio::test]
    async fn an_answer_that_is_refused_goes_on_no_more() {
        let (sent, dropped) = send_endless(PATIENCE, async |connection| {
            let refusal = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
            connection.write_all(refusal).await.unwrap();
        })
        .await;
        assert!(sent.is_ok(), "the runtime would end: {sent:?}");
        assert_ended(dropped).await;
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
