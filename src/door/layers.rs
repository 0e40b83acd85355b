//! The layers around every route: request id, access log, panic guard, Host, Origin.

use std::{any::Any, sync::Arc};

use super::{
    Shared, Transport,
    access::{AccessLine, HttpLine},
    body::Held,
    error, origin,
};
use crate::{
    mcp::{Refusal, RpcError},
    telemetry::Trail,
};
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, Method, Response, StatusCode, header},
    middleware::Next,
};
use tokio::time::Instant;

/// The id of a request: our own word, never the caller's.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) Arc<str>);

/// Marks a response whose body is a stream, so that it is logged when it ends.
#[derive(Debug, Clone)]
pub(super) struct Streamed;

/// When a request must be answered: given by the door, where its caller waits no longer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(pub(super) Instant);

/// Gives the request its trail, and logs it once when it is over, however it ends.
pub(super) async fn log(
    State(shared): State<Shared>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let trail = Arc::new(Trail::default());
    // Given by the door; a request that came without has none to show.
    let id = request
        .extensions()
        .get::<RequestId>()
        .cloned()
        .unwrap_or_else(|| RequestId("-".into()));
    request.extensions_mut().insert(Arc::clone(&trail));
    let http = HttpLine {
        method: known_method(request.method()),
        path: known_path(request.uri().path()),
        given_up: match shared.transport {
            Transport::Http => "client_gone",
            Transport::Lambda(_) => "out_of_time",
        },
    };
    let mut line = AccessLine::new(Arc::clone(&id.0), trail, Some(http));
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert("x-request-id", value);
    }
    if response.extensions().get::<Streamed>().is_some() {
        line.begun(response.status());
        response.map(|body| Body::new(Held::new(body, line, AccessLine::ended)))
    } else {
        line.answered(Some(response.status()));
        response
    }
}

/// What of a method may be logged: a client can make up its own.
fn known_method(method: &Method) -> &'static str {
    ["POST", "GET", "OPTIONS", "HEAD", "DELETE", "PUT", "PATCH"]
        .into_iter()
        .find(|known| method == known)
        .unwrap_or("(other)")
}

/// What of a path may be logged: unknown ones could hold anything.
fn known_path(path: &str) -> &'static str {
    const METADATA: &str = "/.well-known/oauth-protected-resource";
    // The resource's own path may follow, and ends as other paths do.
    if path.contains(METADATA) {
        return METADATA;
    }
    ["/healthz", "/mcp/", "/mcp"]
        .into_iter()
        .find(|known| path.ends_with(known))
        .unwrap_or("(other)")
}

/// Gives up a request whose time is over. What is a stream by then ends itself: `Delivery::until`.
pub(super) async fn end_in_time(request: Request, next: Next) -> Response<Body> {
    let Some(Deadline(until)) = request.extensions().get().copied() else {
        return next.run(request).await;
    };
    let trail = request.extensions().get::<Arc<Trail>>().cloned();
    let id = request.extensions().get::<RequestId>().cloned();
    if let Ok(response) = tokio::time::timeout_at(until, next.run(request)).await {
        return response;
    }
    if let Some(trail) = trail {
        trail.note_outcome("out_of_time");
    }
    tracing::warn!(
        request_id = id.as_ref().map(|id| &*id.0),
        "the function's time is up"
    );
    let error = RpcError::out_of_time();
    error::json(error.status, Refusal::nameless(error).to_bytes().into())
}

/// Answers for a handler that panicked. The instance lives on.
pub(super) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response<Body> {
    // The payload may hold anything; the panic hook has written it where it belongs.
    tracing::error!("a request handler panicked");
    error::refused(
        StatusCode::INTERNAL_SERVER_ERROR,
        "This server failed to answer. Please report it with the request id.",
    )
}

/// Refuses names that are not this server's. Health checks come by address, and say nothing.
pub(super) async fn check_host(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Response<Body> {
    if known_path(request.uri().path()) == "/healthz" {
        return next.run(request).await;
    }
    // HTTP/2 has `:authority` in the header's place; where both come, both must be ours.
    let header = request.headers().get_all(header::HOST).iter();
    let header = header.map(|value| value.to_str().unwrap_or_default());
    let authority = request
        .uri()
        .authority()
        .map(axum::http::uri::Authority::as_str);
    let names: Vec<&str> = header.chain(authority).collect();
    let hosts = request.headers().get_all(header::HOST).iter().count();
    match names.as_slice() {
        [_, ..] if hosts <= 1 && names.iter().all(|name| shared.hosts.allows(name)) => {
            next.run(request).await
        }
        _ => error::refused(
            StatusCode::MISDIRECTED_REQUEST,
            "This server does not go by that Host. Whoever runs it can add it to server.allowedHosts.",
        ),
    }
}

/// Refuses web pages of origins that are not allowed, and takes from a preflight what no browser asks for.
pub(super) async fn check_origin(
    State(shared): State<Shared>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let mut origins = request.headers().get_all(header::ORIGIN).iter();
    let allowed = match (origins.next(), origins.next()) {
        (None, _) => true,
        (Some(origin), None) => shared.origins.allows(origin),
        (Some(_), Some(_)) => false,
    };
    if allowed {
        origin::bound_preflight(request.headers_mut());
        return next.run(request).await;
    }
    let mut refused = error::refused(
        StatusCode::FORBIDDEN,
        "Web pages of this origin may not call this server. Whoever runs it can add it to server.allowedOrigins.",
    );
    // Another page's answer differs, for a cache as well.
    refused
        .headers_mut()
        .insert(header::VARY, HeaderValue::from_static("origin"));
    refused
}
