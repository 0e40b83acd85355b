//! AWS: the SDK's configuration, secrets, and roles assumed for callers.
//!
//! Owns every client of an AWS service, and whose credentials it carries. In comes a call's context; out comes a
//! [`Session`] with that caller's credentials, or an error that says what to do. The process's own credentials are used
//! for three things only: to read secrets, to assume roles, and for a client on this machine (stdio).
//! Nothing is built or asked before the first call that needs it.

mod broker;
mod error;
mod external_id;
mod names;
mod sdk;
mod secrets;
mod session;
mod session_policy;

pub use broker::{AssumedRole, RoleBroker};
pub use error::AwsError;
pub use sdk::Sdk;
pub use secrets::load_secret;
pub use session::Session;

use std::sync::Arc;

use crate::{
    auth::AuthorizedRole,
    context::{Authority, NoIdentity, RuntimeContext},
    telemetry::{SecretUse, audit},
};

/// The AWS room: one for a process.
pub struct Aws {
    sdk: Arc<Sdk>,
    broker: RoleBroker,
}

impl Aws {
    /// A room that assumes roles through `broker`.
    pub fn new(sdk: Arc<Sdk>, broker: RoleBroker) -> Self {
        Self { sdk, broker }
    }

    /// The AWS session of a call: with the credentials of its caller, or none at all.
    pub async fn session(&self, context: &RuntimeContext) -> Result<Session, SessionError> {
        self.session_after(None, context).await
    }

    /// The AWS session of a call, with other credentials than those of `refused`.
    async fn session_after(
        &self,
        refused: Option<&Session>,
        context: &RuntimeContext,
    ) -> Result<Session, SessionError> {
        let authority = context.authority()?;
        let shared = self.sdk.shared().await;
        // The SDK would say so too, in a form that cannot be told from an outage.
        if shared.region().is_none() {
            return Err(AwsError::NoRegion.into());
        }
        match authority {
            Authority::Role(role) => {
                let (access, id) = (context.access(), context.request_id());
                let assumed = match refused.and_then(Session::role) {
                    Some(refused) => self.broker.replace(refused, role, access, id).await?,
                    None => self.broker.assume(role, access, id).await?,
                };
                context.trail().note_role_session(assumed.session_name());
                Ok(Session::of_role(assumed, shared))
            }
            // Only their giver can replace them: the next request asks for new ones.
            Authority::Given(_) if refused.is_some() => Err(AwsError::Expired.into()),
            Authority::Given(given) => {
                // Who has been given credentials was proven; whoever was not uses none.
                let principal = context.principal().ok_or(NoIdentity::Unauthenticated)?;
                let about_to = SecretUse::UseCredentials {
                    issuer: principal.issuer(),
                    subject: principal.subject(),
                };
                audit(context.request_id(), about_to);
                Ok(Session::of_given(Arc::clone(given), shared))
            }
            Authority::Process => Ok(Session::of_process(shared)),
        }
    }

    /// Runs `call` in the caller's session. Where AWS calls credentials expired, the role's or our own, what is cached is
    /// dropped, and all of it is tried once more.
    pub async fn call<T, F>(
        &self,
        context: &RuntimeContext,
        call: impl Fn(Session) -> F,
    ) -> Result<T, SessionError>
    where
        F: Future<Output = Result<T, AwsError>>,
    {
        let session = match self.session(context).await {
            // Our own had expired: the SDK looks for new ones.
            Err(SessionError::Aws(AwsError::Expired)) => self.session(context).await?,
            session => session?,
        };
        match call(session.clone()).await {
            Err(AwsError::Expired) => {
                session.note_refused();
                let renewed = self.session_after(Some(&session), context).await?;
                Ok(call(renewed).await?)
            }
            answered => Ok(answered?),
        }
    }

    /// Proves that a caller may act as a role which their call does not have yet, by assuming it.
    pub async fn prove(
        &self,
        role: &AuthorizedRole,
        context: &RuntimeContext,
    ) -> Result<(), AwsError> {
        let (access, id) = (context.access(), context.request_id());
        self.broker.assume(role, access, id).await.map(|_| ())
    }

    /// Why no role can be assumed, if the last attempt showed a reason.
    pub fn ailment(&self) -> Option<&'static str> {
        self.broker.ailment()
    }
}

/// Why a call does not reach AWS, or not with success. `Display` is for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// There is nobody to act as.
    #[error(transparent)]
    NoIdentity(#[from] NoIdentity),
    /// AWS refused, or did not answer.
    #[error(transparent)]
    Aws(#[from] AwsError),
}
