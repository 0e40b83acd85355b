//! AWS credentials that somebody else gave a caller: a Quilt registry.
//!
//! Owns [`GivenCredentials`]. They are used as they are, instead of a role that we assume.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use secrecy::SecretString;

use crate::clock::UnixSeconds;

/// Temporary credentials of AWS, and when they end.
pub struct GivenCredentials {
    /// `AccessKeyId`.
    pub access_key_id: String,
    /// `SecretAccessKey`.
    pub secret_access_key: SecretString,
    /// `SessionToken`.
    pub session_token: SecretString,
    /// `Expiration`.
    pub expires_at: UnixSeconds,
    refused: AtomicBool,
}

impl GivenCredentials {
    pub(super) fn new(
        access_key_id: String,
        secret_access_key: SecretString,
        session_token: SecretString,
        expires_at: UnixSeconds,
    ) -> Self {
        Self {
            access_key_id,
            secret_access_key,
            session_token,
            expires_at,
            refused: AtomicBool::new(false),
        }
    }

    /// Notes that AWS no longer accepts them: the next call asks for new ones.
    pub fn note_refused(&self) {
        self.refused.store(true, Relaxed);
    }

    pub(super) fn were_refused(&self) -> bool {
        self.refused.load(Relaxed)
    }
}

impl fmt::Debug for GivenCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GivenCredentials")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_holds_no_credentials() {
        let given = GivenCredentials::new(
            "hunter2".into(),
            "hunter2".to_owned().into(),
            "hunter2".to_owned().into(),
            7,
        );
        let printed = format!("{given:?}");
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(printed.contains("expires_at: 7"), "{printed}");
    }
}
