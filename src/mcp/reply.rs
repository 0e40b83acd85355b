//! Answers as bytes: the one place where a JSON-RPC message is put together.

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::StatusCode;
use memchr::memchr2;

use super::{Id, RpcError};
use crate::tools::ProgressUpdate;

/// What a door sends back.
pub enum Reply {
    /// Nothing to say: 202, or no line.
    Accepted,
    /// The caller gave it up: a line to nobody. Over HTTP, something must still end the exchange.
    Cancelled(Bytes),
    /// One JSON document.
    Json {
        /// The HTTP status.
        status: StatusCode,
        /// The document.
        body: Bytes,
    },
    /// The error that a token lacks a scope: a challenge where the transport has them.
    InsufficientScope {
        /// All scopes that the call needs, separated by spaces.
        scope: String,
        /// The error.
        body: Bytes,
    },
    /// Messages one after the other, the answer last.
    Stream(BoxStream<'static, Bytes>),
}

/// A message that is not served, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The request's id, where it could be read.
    pub id: Option<Id>,
    /// What is wrong.
    pub error: RpcError,
}

impl Refusal {
    /// A refusal of something whose id could not be read.
    pub fn nameless(error: RpcError) -> Self {
        Self { id: None, error }
    }

    /// The JSON-RPC message.
    pub fn to_bytes(&self) -> Bytes {
        Body::refused(self).json
    }
}

/// The answer to one request.
pub(super) struct Body {
    id: Option<Id>,
    json: Bytes,
    status: StatusCode,
    /// What a token must hold for this call.
    scope: Option<String>,
    cancelled: bool,
}

impl Body {
    /// A result, whose JSON is spliced in as it is.
    pub(super) fn result(id: &Id, result: &str) -> Self {
        let mut json = String::with_capacity(result.len() + id.as_str().len() + 40);
        json.push_str(r#"{"jsonrpc":"2.0","id":"#);
        json.push_str(id.as_str());
        json.push_str(r#","result":"#);
        json.push_str(result);
        json.push('}');
        // An answer is one line on stdio and in a stream of events. Inside a JSON string a line break is escaped; between
        // tokens it is white space.
        if memchr2(b'\n', b'\r', json.as_bytes()).is_some() {
            json = json.replace(['\n', '\r'], " ");
        }
        Self {
            id: Some(id.clone()),
            json: json.into(),
            status: StatusCode::OK,
            scope: None,
            cancelled: false,
        }
    }

    /// An error. An id that could not be read is left out.
    pub(super) fn refused(refusal: &Refusal) -> Self {
        let RpcError {
            code,
            message,
            data,
            status,
            scope,
        } = &refusal.error;
        let id = refusal
            .id
            .as_ref()
            .map(|id| format!(r#""id":{},"#, id.as_str()))
            .unwrap_or_default();
        let data = data
            .as_ref()
            .map(|data| format!(r#","data":{data}"#))
            .unwrap_or_default();
        let message = serde_json::Value::from(message.as_ref());
        let json = format!(
            r#"{{"jsonrpc":"2.0",{id}"error":{{"code":{code},"message":{message}{data}}}}}"#
        );
        Self {
            id: refusal.id.clone(),
            json: json.into(),
            status: *status,
            scope: scope.clone(),
            cancelled: false,
        }
    }

    pub(super) fn cancelled(id: Id) -> Self {
        Self {
            cancelled: true,
            ..Self::refused(&Refusal {
                id: Some(id),
                error: RpcError::cancelled(),
            })
        }
    }

    /// The answer itself, or the error that it does not fit. Where it is `escaped`, a quote takes two bytes.
    pub(super) fn fitted(self, max_bytes: usize, escaped: bool) -> Self {
        // Most answers are far below it, however much is escaped.
        if self.json.len().saturating_mul(2) <= max_bytes {
            return self;
        }
        let quotes = || {
            let bytes = self.json.iter();
            bytes.filter(|byte| matches!(byte, b'"' | b'\\')).count()
        };
        let size = self.json.len() + if escaped { quotes() } else { 0 };
        if size <= max_bytes {
            return self;
        }
        Self::refused(&Refusal {
            id: self.id,
            error: RpcError::too_large(max_bytes),
        })
    }

    /// The message, unless nobody waits for it.
    pub(super) fn into_sent(self) -> Option<Bytes> {
        (!self.cancelled).then_some(self.json)
    }
}

impl From<Body> for Reply {
    fn from(body: Body) -> Self {
        match body.scope {
            _ if body.cancelled => Self::Cancelled(body.json),
            Some(scope) => Self::InsufficientScope {
                scope,
                body: body.json,
            },
            None => Self::Json {
                status: body.status,
                body: body.json,
            },
        }
    }
}

impl Reply {
    /// A batch's answers: always 200, each with its own error.
    pub(super) fn batch(answers: &[Body]) -> Self {
        let mut json = Vec::with_capacity(
            answers
                .iter()
                .map(|answer| answer.json.len() + 1)
                .sum::<usize>()
                + 1,
        );
        for (index, answer) in answers.iter().enumerate() {
            json.push(if index == 0 { b'[' } else { b',' });
            json.extend_from_slice(&answer.json);
        }
        json.push(b']');
        Self::Json {
            status: StatusCode::OK,
            body: json.into(),
        }
    }
}

/// `notifications/progress`, with the token as it came.
pub(super) fn progress_notification(token: &Id, update: &ProgressUpdate) -> Bytes {
    let token = token.as_str();
    let total = update
        .total
        .map(|total| format!(r#","total":{total}"#))
        .unwrap_or_default();
    let message = update.message.as_deref().map(serde_json::Value::from);
    let message = message
        .map(|message| format!(r#","message":{message}"#))
        .unwrap_or_default();
    let params = format!(
        r#"{{"progressToken":{token},"progress":{}{total}{message}}}"#,
        update.progress
    );
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{params}}}"#).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_one_line_whatever_its_tool_wrote() {
        let text = Bytes::from_static(b"7");
        let raw = serde_json::from_slice(&text).unwrap();
        let id = Id::read(&text, raw).unwrap();
        let result = "{\r\n  \"content\": [\n],\n  \"text\": \"a\\nb\"\n}";
        let body = Body::result(&id, result);
        let sent: serde_json::Value = serde_json::from_slice(&body.json).unwrap();
        let meant: serde_json::Value = serde_json::from_str(result).unwrap();
        assert_eq!(sent["result"], meant, "and it says the same");
        assert!(!body.json.iter().any(|byte| matches!(byte, b'\n' | b'\r')));
    }
}
