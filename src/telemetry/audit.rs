//! The audit lines: what is about to be done with a secret in a caller's name.
//!
//! Owns [`audit`]. In come the request's id and the use; out goes one line, before the use, so that the log also knows
//! of what never came to its end. It names who, what and as whom, and never the secret. These lines are written
//! whatever `telemetry.level` is: who turns warnings down does not mean these.

/// The target of these lines, for the one subscriber.
pub(super) const TARGET: &str = "audit";

/// A use of a secret.
#[derive(Debug, Clone, Copy)]
pub enum SecretUse<'a> {
    /// STS is about to be asked for credentials of a caller's role.
    AssumeRole {
        /// Who vouches for the caller.
        issuer: &'a str,
        /// The caller.
        subject: &'a str,
        /// The role's ARN.
        role: &'a str,
        /// The name of the session, as in CloudTrail.
        role_session: &'a str,
    },
    /// A caller's token is about to be presented to the issuer that judges it. Whose it is, only the answer says: the
    /// request's own line has the same id.
    PresentToken {
        /// The issuer, by its name in the configuration.
        issuer: &'a str,
    },
    /// AWS credentials that a registry gave a caller are about to be used.
    UseCredentials {
        /// The registry, by its name in the configuration.
        issuer: &'a str,
        /// The caller.
        subject: &'a str,
    },
}

/// Writes the line of a use that is about to begin.
pub fn audit(request_id: &str, secret_use: SecretUse<'_>) {
    let (name, issuer, subject, role, role_session) = match secret_use {
        SecretUse::AssumeRole {
            issuer,
            subject,
            role,
            role_session,
        } => (
            "assume_role",
            issuer,
            Some(subject),
            Some(role),
            Some(role_session),
        ),
        SecretUse::PresentToken { issuer } => ("present_token", issuer, None, None, None),
        SecretUse::UseCredentials { issuer, subject } => {
            ("use_credentials", issuer, Some(subject), None, None)
        }
    };
    tracing::info!(
        target: TARGET,
        audit = name,
        request_id,
        issuer,
        subject,
        role,
        role_session,
        "audit"
    );
}
