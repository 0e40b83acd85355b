//! Failures before the MCP edge, as HTTP responses: the one place that knows both.
//!
//! In comes an [`AuthError`] or a status with a sentence; out goes a response whose body is a JSON-RPC error where an
//! MCP client reads it, with the challenge that RFC 6750 asks for. What the caller is told is fixed here: one text for
//! every bad token, one for every refused role.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};

use super::Services;
use crate::{
    auth::AuthError,
    mcp::{Refusal, RpcError},
};

/// A JSON-RPC error without an id.
pub(super) fn refused(status: StatusCode, message: &'static str) -> Response<Body> {
    json(
        status,
        Refusal::nameless(RpcError::refused(status, message))
            .to_bytes()
            .into(),
    )
}

/// An error of a path that is not MCP's.
pub(super) fn plain(status: StatusCode, message: &'static str) -> Response<Body> {
    json(
        status,
        serde_json::json!({ "error": message }).to_string().into(),
    )
}

/// A JSON document.
pub(super) fn json(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// The answer to a request that authentication refused.
pub(super) fn unauthorized(error: &AuthError, services: &Services) -> Response<Body> {
    match error {
        AuthError::MissingToken | AuthError::UnknownFrontDoor => challenge(
            refused(
                StatusCode::UNAUTHORIZED,
                "Send a bearer token: Authorization: Bearer <token>.",
            ),
            services,
            None,
            &services.required_scopes.join(" "),
        ),
        AuthError::InvalidToken(_) => challenge(
            refused(
                StatusCode::UNAUTHORIZED,
                "invalid_token: the bearer token is malformed, expired, or not issued for this server. Get a new one.",
            ),
            services,
            Some("invalid_token"),
            &services.required_scopes.join(" "),
        ),
        AuthError::InsufficientScope => challenge(
            refused(
                StatusCode::FORBIDDEN,
                "insufficient_scope: the token lacks a scope that this server asks for. Sign in again with the scopes of the challenge.",
            ),
            services,
            Some("insufficient_scope"),
            &services.required_scopes.join(" "),
        ),
        AuthError::RepeatedAuthorization => refused(
            StatusCode::BAD_REQUEST,
            "Send one Authorization header with one value.",
        ),
        AuthError::MalformedRole => refused(
            StatusCode::BAD_REQUEST,
            "X-Quilt-User-Role must be one role ARN: arn:aws:iam::123456789012:role/Name.",
        ),
        AuthError::RoleNotAllowed(_) => refused(
            StatusCode::FORBIDDEN,
            "role_not_allowed: you may not act as this role here. Use a role that your token lists and this server allows.",
        ),
        AuthError::UnknownCaller => refused(
            StatusCode::FORBIDDEN,
            "caller_not_allowed: whoever signed this request may not call this server. Ask its operator for an entry in roles.iam.callers.",
        ),
        AuthError::Unavailable(_) => {
            let mut response = refused(
                StatusCode::SERVICE_UNAVAILABLE,
                "Tokens cannot be verified at the moment: the key is not available. Try again in a moment.",
            );
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            response
        }
    }
}

/// The answer to a call that needs scopes which the token lacks, with all those it needs.
pub(super) fn insufficient_scope(body: Body, scope: &str, services: &Services) -> Response<Body> {
    challenge(
        json(StatusCode::FORBIDDEN, body),
        services,
        Some("insufficient_scope"),
        scope,
    )
}

/// Adds `WWW-Authenticate`: RFC 6750, section 3; RFC 9728, section 5.1. Scopes hold no quotes and no backslashes.
fn challenge(
    mut response: Response<Body>,
    services: &Services,
    error: Option<&str>,
    scope: &str,
) -> Response<Body> {
    let mut parameters = Vec::new();
    if let Some(error) = error {
        parameters.push(format!(r#"error="{error}""#));
    }
    if let Some(url) = super::metadata::url(services) {
        parameters.push(format!(r#"resource_metadata="{url}""#));
    }
    if !scope.is_empty() {
        parameters.push(format!(r#"scope="{scope}""#));
    }
    let value = format!("Bearer {}", parameters.join(", "));
    if let Ok(value) = HeaderValue::from_str(value.trim_end()) {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, value);
    }
    response
}
