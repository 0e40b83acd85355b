//! `GET /healthz`: whether this instance can do its work, as far as its calls have shown.
//!
//! It asks nobody: a health check must not cost a call to AWS. 503 once a secret of our own could not be read, or no
//! issuer could judge, and 200 again once that is over.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, Response, StatusCode, header},
};

use super::{Shared, Transport, error};
use crate::clock::rfc3339;

pub(super) async fn handle(State(shared): State<Shared>) -> Response<Body> {
    let services = &shared.services;
    let ailment = services
        .authenticator
        .as_ref()
        .and_then(|authenticator| authenticator.ailment())
        .or_else(|| services.aws.ailment());
    let mut document = serde_json::json!({
        "status": if ailment.is_some() { "unhealthy" } else { "ok" },
        "timestamp": rfc3339(services.clock.unix()),
        "route": "/healthz",
        "server": {
            "name": "rolecall",
            "version": env!("CARGO_PKG_VERSION"),
            "transport": match shared.transport {
                Transport::Http => "http",
                Transport::Lambda(_) => "lambda",
            },
        },
    });
    if let Some(reason) = ailment {
        document["reason"] = reason.into();
    }
    let status = if ailment.is_some() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    let mut response = error::json(status, document.to_string().into());
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
