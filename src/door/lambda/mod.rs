//! The Lambda door: events of API Gateway (v1 and v2), Function URLs and ALBs, in and out.
//!
//! Owns the loop with Lambda's Runtime API (by `lambda_runtime`), and the reading of events. An event is parsed into a
//! checked form of its own before it is a request ([`event`]), so that nothing in it can panic, confuse a path, or hide
//! a second `Authorization` header: docs/decisions/0003. A bad event is answered with 400, and the instance lives on.

mod event;
mod response;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::StatusCode};
use lambda_runtime::{LambdaEvent, service_fn};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tower::ServiceExt;

use super::{
    error,
    layers::{RequestId, TimeLeft},
    mcp::AnswerLimit,
};
use crate::clock::Clock;
use event::{BadEvent, FrontDoor, Parsed};
use response::LambdaResponse;

/// How long before the function's own timeout a request is given up, so that its caller gets an answer at all.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Answers events with `router` until the runtime ends.
pub async fn serve(
    router: Router,
    base_path: String,
    clock: Clock,
) -> Result<(), lambda_runtime::Error> {
    let base_path: Arc<str> = base_path.into();
    let handler = service_fn(move |event: LambdaEvent<Payload>| {
        let (router, base_path) = (router.clone(), Arc::clone(&base_path));
        async move { Ok::<_, Infallible>(answer(router, &base_path, clock, &event).await) }
    });
    lambda_runtime::run_concurrent(handler).await
}

/// An event's text; `None` if it is not JSON, which the runtime would answer for us, and not with 400.
struct Payload(Option<Box<RawValue>>);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Box::deserialize(deserializer).ok()))
    }
}

impl Payload {
    fn text(&self) -> &str {
        self.0.as_deref().map_or("", RawValue::get)
    }
}

async fn answer(
    router: Router,
    base_path: &str,
    clock: Clock,
    event: &LambdaEvent<Payload>,
) -> LambdaResponse {
    let Parsed {
        front_door,
        mut request,
    } = match event::parse(event.payload.text(), base_path) {
        Ok(parsed) => parsed,
        Err(BadEvent { front_door, reason }) => {
            tracing::warn!(request_id = event.context.request_id, reason, "bad event");
            let response = error::plain(StatusCode::BAD_REQUEST, "The request is malformed.");
            return LambdaResponse::write(front_door, response).await;
        }
    };
    request
        .extensions_mut()
        .insert(RequestId(event.context.request_id.as_str().into()));
    request
        .extensions_mut()
        .insert(AnswerLimit(front_door.max_answer()));
    let left = time_left(event.context.deadline, clock.unix_millis());
    request.extensions_mut().insert(TimeLeft(left));
    let Ok(response) = router.oneshot(request).await;
    LambdaResponse::write(front_door, response.map(Body::new)).await
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
    /// The largest answer that this front door passes on, in bytes, with room for headers and the event around it.
    /// Source: Lambda quotas (6 MB); ELB user guide, "Lambda functions as targets" (1 MB).
    fn max_answer(self) -> usize {
        match self {
            Self::AlbSingle | Self::AlbMulti => 1_000_000 - 16_384,
            Self::RestApi | Self::HttpApi => 6_000_000 - 65_536,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
