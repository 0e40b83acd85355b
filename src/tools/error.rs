//! Why a tool failed, in words for a model and for the person behind it.

use crate::{
    aws::{AwsError, SessionError},
    context::NoIdentity,
};

/// A failure of a tool: answered as a result with `isError: true`, which models read and act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ToolError(String);

impl ToolError {
    /// A failure with a sentence that says what to do.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// The arguments do not fit the tool's input schema.
    pub(super) fn arguments(error: &serde_json::Error) -> Self {
        // serde's text names the member and what was expected, and repeats at most the caller's own value.
        Self(format!(
            "The arguments do not fit this tool's input schema: {error}. Correct them and call again."
        ))
    }

    /// Something that cannot happen did.
    pub(super) fn internal() -> Self {
        Self("This server failed to write its answer. Please report it.".to_owned())
    }
}

impl From<NoIdentity> for ToolError {
    fn from(error: NoIdentity) -> Self {
        Self(error.to_string())
    }
}

impl From<SessionError> for ToolError {
    fn from(error: SessionError) -> Self {
        Self(error.to_string())
    }
}

impl From<AwsError> for ToolError {
    fn from(error: AwsError) -> Self {
        Self(error.to_string())
    }
}
