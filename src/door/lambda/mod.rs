//! The Lambda door: events of API Gateway (v1 and v2), Function URLs and ALBs, in and out.
//!
//! Owns the loop with Lambda's Runtime API (`lambda_runtime` asks for events, [`stream`] sends the answers), and the reading
//! of events. An event is parsed into a checked form of its own before it is a request ([`event`]), so that nothing in it
//! can panic, confuse a path, or hide a second `Authorization` header: docs/decisions/0003. A bad event is answered with
//! 400, and the instance lives on. Answers are whole, or streams, as the front door reads them: docs/decisions/0006.

mod event;
mod response;
mod stream;

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Response, StatusCode},
};
use futures_util::FutureExt;
use lambda_runtime::{Context, LambdaEvent, LambdaInvocation, Runtime, service_fn};
use serde::de::IgnoredAny;
use tokio::time::Instant;
use tower::{ServiceExt, layer::layer_fn};

use super::{
    error,
    layers::{self, Deadline, RequestId},
    mcp::AnswerLimit,
};
use crate::{clock::Clock, config::InvokeMode};
use event::{BadEvent, FrontDoor, Parsed};
use response::LambdaResponse;

/// How long before the function's own timeout a request is given up, so that its caller gets an answer at all.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long after that an answer may still be read: until the function's timeout has passed, and nobody waits for it.
const TOO_LATE: Duration = Duration::from_secs(1);

/// Answers events with `router` until the runtime ends, in the way that `mode` says the front door reads.
pub async fn serve(
    router: Router,
    base_path: String,
    clock: Clock,
    mode: InvokeMode,
) -> Result<(), lambda_runtime::Error> {
    let door = Arc::new(Door {
        router,
        base_path,
        clock,
        mode,
    });
    let client = Arc::new(stream::client());
    let answer = service_fn(move |invocation: LambdaInvocation| {
        let (door, client) = (Arc::clone(&door), Arc::clone(&client));
        async move {
            let until = Instant::now() + door.time_left(&invocation.context) + TOO_LATE;
            let answer = door.answer(&invocation).await?;
            stream::send(&client, &invocation, answer, until).await
        }
    });
    // The runtime asks for events. What it would answer them with is never called: ours takes its place.
    let unused = service_fn(async |_: LambdaEvent<IgnoredAny>| Ok::<_, Infallible>(()));
    let runtime = Runtime::new(unused).layer(layer_fn(|_| answer.clone()));
    runtime.run_concurrent().await
}

/// What answers events.
struct Door {
    router: Router,
    base_path: String,
    clock: Clock,
    mode: InvokeMode,
}

impl Door {
    async fn answer(
        &self,
        invocation: &LambdaInvocation,
    ) -> Result<stream::Answer, serde_json::Error> {
        let event = std::str::from_utf8(&invocation.body).unwrap_or_default();
        let (front_door, response) = self.respond(event, &invocation.context).await;
        if self.mode == InvokeMode::ResponseStream && front_door.streams() {
            return Ok(stream::Answer::Streamed(front_door, response));
        }
        let response = LambdaResponse::write(front_door, response).await;
        serde_json::to_vec(&response).map(stream::Answer::Whole)
    }

    /// What is answered to an event. A defect ends neither the process nor one of its workers: the runtime's own guard is
    /// around what is never called.
    async fn respond(&self, event: &str, context: &Context) -> (FrontDoor, Response<Body>) {
        AssertUnwindSafe(self.respond_unguarded(event, context))
            .catch_unwind()
            .await
            // What kind of event it was is not known any more.
            .unwrap_or_else(|panic| (FrontDoor::RestApi, layers::panicked(panic)))
    }

    async fn respond_unguarded(
        &self,
        event: &str,
        context: &Context,
    ) -> (FrontDoor, Response<Body>) {
        let request_id = context.request_id.as_str();
        let parsed = event::parse(event, &self.base_path);
        let front_door = match &parsed {
            Ok(Parsed { front_door, .. }) | Err(BadEvent { front_door, .. }) => *front_door,
        };
        if self.mode == InvokeMode::ResponseStream && !front_door.streams() {
            tracing::error!(
                request_id,
                ?front_door,
                "this front door does not read streams: ROLECALL_INVOKE_MODE must be BUFFERED"
            );
            return (front_door, misconfigured());
        }
        let mut request = match parsed {
            Ok(parsed) => parsed.request,
            Err(BadEvent { reason, .. }) => {
                tracing::warn!(request_id, reason, "bad event");
                let response = error::plain(StatusCode::BAD_REQUEST, "The request is malformed.");
                return (front_door, response);
            }
        };
        let extensions = request.extensions_mut();
        extensions.insert(RequestId(request_id.into()));
        extensions.insert(front_door.answer_limit(self.mode));
        extensions.insert(Deadline(Instant::now() + self.time_left(context)));
        let Ok(response) = self.router.clone().oneshot(request).await;
        (front_door, response.map(Body::new))
    }

    fn time_left(&self, context: &Context) -> Duration {
        time_left(context.deadline, self.clock.unix_millis())
    }
}

/// An answer that a front door can read, to whoever would otherwise get one that looks like a success, or like none.
fn misconfigured() -> Response<Body> {
    error::plain(
        StatusCode::INTERNAL_SERVER_ERROR,
        "This function is set to answer in streams, which its front door does not read. Its operator must set ROLECALL_INVOKE_MODE to BUFFERED.",
    )
}

/// An event as a request, or why it is none, for the fuzzer.
#[cfg(fuzzing)]
pub fn request_of_event(
    event: &str,
    base_path: &str,
) -> Result<axum::http::Request<Body>, &'static str> {
    event::parse(event, base_path)
        .map(|parsed| parsed.request)
        .map_err(|bad| bad.reason)
}

/// How long a request may still take. Both times in milliseconds since the epoch.
fn time_left(deadline: u64, now: u64) -> Duration {
    Duration::from_millis(deadline.saturating_sub(now)).saturating_sub(LAST_WORDS)
}

impl FrontDoor {
    /// Whether it can call a function for a streamed answer.
    fn streams(self) -> bool {
        matches!(self, Self::RestApi | Self::FunctionUrl)
    }

    /// The largest answer that this front door passes on, with room for headers and what is around it.
    /// Source: Lambda quotas (6 MB; streamed, 200 MB); ELB user guide, "Lambda functions as targets" (1 MB).
    fn answer_limit(self, mode: InvokeMode) -> AnswerLimit {
        if mode == InvokeMode::ResponseStream {
            return AnswerLimit {
                bytes: 200_000_000 - 65_536,
                escaped: false,
            };
        }
        let bytes = match self {
            Self::AlbSingle | Self::AlbMulti => 1_000_000 - 16_384,
            Self::RestApi | Self::HttpApi | Self::HttpApiV1 | Self::FunctionUrl => {
                6_000_000 - 65_536
            }
        };
        AnswerLimit {
            bytes,
            escaped: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_defect_is_an_answer_in_either_mode() {
        async fn defect() {
            panic!("a defect of ours");
        }
        for mode in [InvokeMode::Buffered, InvokeMode::ResponseStream] {
            let door = Door {
                router: Router::new().fallback(defect),
                base_path: String::new(),
                clock: Clock::system(),
                mode,
            };
            let event = r#"{"httpMethod":"GET","path":"/","requestContext":{}}"#;
            let (front_door, response) = door.respond(event, &Context::default()).await;
            let expected = (FrontDoor::RestApi, StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!((front_door, response.status()), expected, "{mode:?}");
        }
    }

    #[test]
    fn a_request_is_given_up_before_its_deadline() {
        let now = 1_700_000_000_000;
        for (left, expected) in [(30_000, 29_500), (501, 1), (500, 0), (0, 0)] {
            assert_eq!(
                time_left(now + left, now),
                Duration::from_millis(expected),
                "{left}"
            );
        }
        assert_eq!(time_left(now, now + 1), Duration::ZERO, "it is over");
    }
}
