//! `POST /mcp`: authenticate, read the body, let the edge answer.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts},
};
use futures_util::StreamExt;
use http_body::Body as _;
use http_body_util::{BodyExt, Limited};

use super::{
    ARRIVAL, Services, Shared, error,
    layers::{Deadline, RequestId, Streamed},
};
use crate::{
    auth::{AuthError, KeyError, SignedRequest},
    context::RuntimeContext,
    mcp::{Delivery, Reply, Wire},
    telemetry::{Metric, Trail},
};

/// How large an answer may be: given by the door, where it has a bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerLimit {
    pub(super) bytes: usize,
    /// Whether the answer goes inside a JSON document.
    pub(super) escaped: bool,
}

pub(super) async fn handle(State(shared): State<Shared>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    match answer(&shared, &parts, body).await {
        Ok(response) | Err(response) => response,
    }
}

async fn answer(
    shared: &Shared,
    parts: &Parts,
    body: Body,
) -> Result<Response<Body>, Response<Body>> {
    let services = &shared.services;
    let context = context(services, parts).await?;
    if parts.method != Method::POST {
        let mut response = error::refused(
            StatusCode::METHOD_NOT_ALLOWED,
            "This endpoint answers POST only: it opens no streams of its own and keeps no sessions.",
        );
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("POST"));
        return Err(response);
    }
    check_content_type(&parts.headers)?;
    let accepts = Accepted::of(&parts.headers)?;
    let limit = usize::try_from(services.server.max_body_bytes.get()).unwrap_or(usize::MAX);
    let body = read(body, limit).await?;
    let incoming = match services.edge.receive(Wire::Http(&parts.headers), &body) {
        Ok(incoming) => incoming,
        Err(refusal) => {
            context.trail().note_outcome("rpc_error");
            return Err(error::json(refusal.error.status, refusal.to_bytes().into()));
        }
    };
    let limit = parts.extensions.get::<AnswerLimit>();
    let delivery = Delivery {
        streams: shared.transport.streams() && accepts.events,
        max_bytes: limit.map_or(usize::MAX, |limit| limit.bytes),
        escaped: limit.is_some_and(|limit| limit.escaped),
        until: parts.extensions.get::<Deadline>().map(|until| until.0),
    };
    let reply = Arc::clone(&services.edge)
        .answer(context, incoming, delivery)
        .await;
    Ok(respond(reply, services))
}

fn respond(reply: Reply, services: &Services) -> Response<Body> {
    match reply {
        Reply::Accepted => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::ACCEPTED;
            response
        }
        Reply::Cancelled(body) => error::json(StatusCode::OK, body.into()),
        Reply::Json { status, body } => error::json(status, body.into()),
        Reply::InsufficientScope { scope, body } => {
            error::insufficient_scope(body.into(), &scope, services)
        }
        Reply::Stream(messages) => {
            // No `id:` and no `retry:`: a client must not try to resume what nothing remembers.
            let events = messages.map(|message| {
                let mut event = Vec::with_capacity(message.len() + 24);
                event.extend_from_slice(b"event: message\ndata: ");
                event.extend_from_slice(&message);
                event.extend_from_slice(b"\n\n");
                Ok::<_, Infallible>(Bytes::from(event))
            });
            let mut response = Response::new(Body::from_stream(events));
            let headers = response.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/event-stream"),
            );
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
            response.extensions_mut().insert(Streamed);
            response
        }
    }
}

/// Establishes who calls. The one place where a request gets its context.
async fn context(
    services: &Services,
    parts: &Parts,
) -> Result<Arc<RuntimeContext>, Response<Body>> {
    let id = parts
        .extensions
        .get::<RequestId>()
        .map_or_else(|| "-".into(), |id| Arc::clone(&id.0));
    let trail = parts
        .extensions
        .get::<Arc<Trail>>()
        .cloned()
        .unwrap_or_default();
    let Some(authenticator) = &services.authenticator else {
        return Ok(Arc::new(RuntimeContext::unauthenticated(id, trail)));
    };
    let signed = parts.extensions.get::<SignedRequest>();
    match authenticator
        .authenticate(&parts.headers, signed, &id)
        .await
    {
        Ok(caller) => {
            trail.note_subject(caller.principal.subject());
            Ok(Arc::new(RuntimeContext::of_caller(caller, id, trail)))
        }
        Err(reason) => {
            if let AuthError::Unavailable(_) = reason {
                tracing::error!(request_id = %id, %reason, "tokens cannot be verified");
            }
            if let Some(counted) = counted(&reason) {
                services.metrics.emit(&[counted], &id);
            }
            trail.note_reason(&reason.to_string());
            trail.note_outcome("refused");
            Err(error::unauthorized(&reason, services))
        }
    }
}

/// What a refusal is counted as. One alarm says that strangers try, another that nobody can call.
fn counted(reason: &AuthError) -> Option<Metric> {
    match reason {
        // How every client begins that does not have a token yet.
        AuthError::MissingToken => None,
        AuthError::Unavailable(KeyError::Unavailable(_) | KeyError::Unusable(_)) => {
            Some(Metric::AuthUnavailable)
        }
        // Among them `KeyError::Busy`, which strangers alone can bring about: it is no word on the issuer.
        _ => Some(Metric::AuthFailures),
    }
}

/// Reads a body that is not too large and not too slow.
async fn read(body: Body, limit: usize) -> Result<Bytes, Response<Body>> {
    let too_large = || {
        error::refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The request body is larger than this server accepts (server.maxBodyBytes).",
        )
    };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(ARRIVAL, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(failure)) if failure.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(error::refused(
            StatusCode::BAD_REQUEST,
            "The request body broke off.",
        )),
        Err(_) => Err(error::refused(
            StatusCode::REQUEST_TIMEOUT,
            "The request body did not arrive within 5 seconds.",
        )),
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Response<Body>> {
    let refuse = |message| Err(error::refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let value = values
        .next()
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") || values.next().is_some() {
        return refuse("Send Content-Type: application/json.");
    }
    match headers
        .get(header::CONTENT_ENCODING)
        .map(HeaderValue::as_bytes)
    {
        None | Some(b"identity") => Ok(()),
        Some(_) => refuse("Send the body without Content-Encoding."),
    }
}

/// What the client reads. It always gets JSON unless there is something to stream.
struct Accepted {
    events: bool,
}

impl Accepted {
    fn of(headers: &HeaderMap) -> Result<Self, Response<Body>> {
        let mut named = false;
        let (mut json, mut events) = (false, false);
        for value in headers.get_all(header::ACCEPT) {
            for range in value.to_str().unwrap_or_default().split(',') {
                let essence = range
                    .split(';')
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .to_ascii_lowercase();
                named |= !essence.is_empty();
                json |= matches!(
                    essence.as_str(),
                    "*/*" | "application/*" | "application/json"
                );
                // A wildcard does not ask for a stream; naming it does.
                events |= matches!(essence.as_str(), "text/event-stream");
            }
        }
        if named && !json && !events {
            return Err(error::refused(
                StatusCode::NOT_ACCEPTABLE,
                "Send Accept: application/json, text/event-stream.",
            ));
        }
        Ok(Self { events })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Rejection;

    #[test]
    fn what_strangers_alone_can_bring_about_does_not_count_as_an_outage() {
        let down = || "down".to_owned();
        for (reason, expected) in [
            (AuthError::MissingToken, None),
            (Rejection::Refused.into(), Some(Metric::AuthFailures)),
            (KeyError::Busy.into(), Some(Metric::AuthFailures)),
            (
                KeyError::Unavailable(down()).into(),
                Some(Metric::AuthUnavailable),
            ),
            (
                KeyError::Unusable(down()).into(),
                Some(Metric::AuthUnavailable),
            ),
        ] {
            assert_eq!(counted(&reason), expected, "{reason}");
        }
    }
}
