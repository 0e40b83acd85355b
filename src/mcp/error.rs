//! JSON-RPC errors: every code that this edge answers with, and the HTTP status that goes with it.

use std::borrow::Cow;

use http::StatusCode;
use serde_json::{Value, json};

use super::envelope::{Era, MODERN_VERSION};

/// A protocol error. Failures of tools are not errors but results (`isError`).
#[derive(Debug, Clone, PartialEq)]
pub struct RpcError {
    /// The JSON-RPC code.
    pub code: i32,
    /// What is wrong, and what would be right.
    pub message: Cow<'static, str>,
    /// Members that the specification asks for.
    pub data: Option<Value>,
    /// The status of an HTTP answer that holds nothing else.
    pub status: StatusCode,
    /// All scopes that the call needs, where the token lacks some: separated by spaces, for the challenge.
    pub scope: Option<String>,
}

impl RpcError {
    fn new(code: i32, status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
            status,
            scope: None,
        }
    }

    /// -32700: the body is not JSON.
    pub fn parse(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32700, StatusCode::BAD_REQUEST, message)
    }

    /// -32600: JSON, but not a request.
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32600, StatusCode::BAD_REQUEST, message)
    }

    /// -32601: 404 in the modern era, 200 before.
    pub fn method_not_found(method: &str, era: Era) -> Self {
        let status = match era {
            Era::Modern => StatusCode::NOT_FOUND,
            Era::Legacy => StatusCode::OK,
        };
        let name: String = method.chars().take(64).collect();
        Self::new(
            -32601,
            status,
            format!("This server has no method {name:?} in this protocol revision."),
        )
    }

    /// -32602: the parameters of a known method are wrong.
    pub fn invalid_params(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32602, StatusCode::OK, message)
    }

    /// -32602 with 400: the envelope that every modern request carries is incomplete.
    pub fn envelope(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32602, StatusCode::BAD_REQUEST, message)
    }

    /// -32603: our own failure.
    pub fn internal() -> Self {
        Self::new(
            -32603,
            StatusCode::OK,
            "This server failed to answer. Please report it with the request id.",
        )
    }

    /// -32020: a header does not say what the body says.
    pub fn header_mismatch(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32020, StatusCode::BAD_REQUEST, message)
    }

    /// -32021: the client did not declare a capability that the call needs.
    pub fn missing_capability(required: &Value) -> Self {
        let mut error = Self::new(
            -32021,
            StatusCode::BAD_REQUEST,
            "This tool needs a client capability that the request does not declare.",
        );
        error.data = Some(json!({ "requiredCapabilities": required }));
        error
    }

    /// -32022: a protocol revision that this server does not speak.
    pub fn unsupported_version(requested: &str) -> Self {
        let requested: String = requested.chars().take(64).collect();
        let mut error = Self::new(
            -32022,
            StatusCode::BAD_REQUEST,
            "This server does not speak that protocol version.",
        );
        error.data = Some(json!({ "supported": [MODERN_VERSION], "requested": requested }));
        error
    }

    /// The answer is larger than the way back carries.
    pub(super) fn too_large(max_bytes: usize) -> Self {
        let message = format!(
            "The answer is larger than this endpoint can send ({} KiB). Ask for less at once.",
            max_bytes / 1_024
        );
        Self::new(-32000, StatusCode::OK, message)
    }

    /// The time that the way back leaves is over.
    pub fn out_of_time() -> Self {
        Self::new(
            -32000,
            StatusCode::GATEWAY_TIMEOUT,
            "The function's time is up. Ask for less at once, or have its timeout raised.",
        )
    }

    /// The caller gave the request up; nobody waits for this answer.
    pub(super) fn cancelled() -> Self {
        Self::new(-32800, StatusCode::OK, "The client cancelled this request.")
    }

    /// The token lacks a scope that this call needs: RFC 6750, section 3.1.
    pub(super) fn insufficient_scope(scope: String) -> Self {
        let message = format!(
            "insufficient_scope: a call of this tool needs a token with the scopes: {scope}. Sign in again and ask for them."
        );
        // In a batch there is no challenge that could name them.
        let data = json!({ "error": "insufficient_scope", "scope": scope });
        Self {
            data: Some(data),
            scope: Some(scope),
            ..Self::new(-32000, StatusCode::FORBIDDEN, message)
        }
    }

    /// A failure before the edge, in JSON-RPC's clothes: 401, 403, 413 …
    pub fn refused(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32000, status, message)
    }
}
