//! What is learnt about a request on its way, for its one log line.
//!
//! Owns [`Trail`]: a few facts, each written once, by whoever learns it. It decides nothing; no room reads it but the
//! door, when the request is over.

use std::sync::OnceLock;

/// The facts of one request.
#[derive(Debug, Default)]
pub struct Trail {
    subject: OnceLock<String>,
    method: OnceLock<String>,
    tool: OnceLock<String>,
    role_session: OnceLock<String>,
    reason: OnceLock<String>,
    outcome: OnceLock<&'static str>,
}

macro_rules! fact {
    ($($(#[$doc:meta])* $note:ident $name:ident),+) => { $(
        $(#[$doc])*
        pub fn $note(&self, value: &str) {
            // The first word stands: of a batch, the log names the first call.
            let _ = self.$name.set(value.to_owned());
        }
        /// What was noted.
        pub fn $name(&self) -> Option<&str> {
            self.$name.get().map(String::as_str)
        }
    )+ };
}

impl Trail {
    fact! {
        /// The verified subject.
        note_subject subject,
        /// The JSON-RPC method.
        note_method method,
        /// The tool that was called.
        note_tool tool,
        /// The name of the STS session that the call used.
        note_role_session role_session,
        /// Why the request was refused: for the operator, not for the caller.
        note_reason reason
    }

    /// How the call ended, where it did not simply succeed: `tool_error`, `rpc_error`, `cancelled` …
    pub fn note_outcome(&self, outcome: &'static str) {
        let _ = self.outcome.set(outcome);
    }

    /// What was noted.
    pub fn outcome(&self) -> Option<&'static str> {
        self.outcome.get().copied()
    }
}
