//! The context of one call: who calls, as which role, from where.
//!
//! Owns [`RuntimeContext`] and its scope. A context is made by the door, once, and never changes. It travels with the
//! request as a value; the task-local scope is entered in one place, where a tool is called ([`RuntimeContext::scope`]),
//! so that a tool can read it in its first line. Outside that scope there is no identity, not a default one: a task that
//! a library spawns has none, and [`spawn`] hands it on where it is wanted.

use std::{future::Future, sync::Arc};

use serde::Serialize;

use crate::{
    auth::{AuthorizedRole, Caller, GivenCredentials, Principal, Proof},
    telemetry::Trail,
};

/// Where a call comes from, and how its identity was established.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Environment {
    /// The standard input and output of a client on this machine: the process's own AWS credentials.
    DesktopStdio,
    /// HTTP, without a token, on a server that was started without authentication.
    WebUnauthenticated,
    /// HTTP, with a verified JWT.
    WebJwt,
    /// HTTP, with a token that its issuer was asked about.
    WebBearer,
    /// HTTP, signed with AWS credentials, as the front door found: `roles.header` is `iam`.
    WebRole,
}

/// How a caller proved its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// A signed token.
    Jwt,
    /// A token that its issuer vouched for when asked.
    Bearer,
    /// A request signed with AWS credentials (SigV4), whose caller names a role.
    AssumeRole,
}

/// What a call may do in AWS: set where a tool is called, from what the tool declares of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Access {
    /// Reads. What declares nothing gets no more.
    #[default]
    Read,
    /// All that the role may do.
    Write,
}

/// One call's identity. Immutable; shared, never copied into anything that outlives the call.
#[derive(Debug)]
pub struct RuntimeContext {
    environment: Environment,
    principal: Option<Arc<Principal>>,
    role: Option<AuthorizedRole>,
    credentials: Option<Arc<GivenCredentials>>,
    access: Access,
    request_id: Arc<str>,
    trail: Arc<Trail>,
}

/// With whose AWS credentials a call works.
#[derive(Debug)]
pub enum Authority<'a> {
    /// With those of the role that the caller may act as.
    Role(&'a AuthorizedRole),
    /// With those that came with the verdict on the caller's token.
    Given(&'a Arc<GivenCredentials>),
    /// With the process's own: a client on this machine that speaks over stdio.
    Process,
}

/// Why there is nobody to work for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoIdentity {
    /// Asked for outside a call's scope: a defect of ours, answered as a failure.
    #[error("This call lost its identity on the way. Nothing was done; please report it.")]
    OutsideScope,
    /// The server runs without authentication.
    #[error(
        "This needs AWS, and the server runs without authentication: start it with a configured issuer and call with a token."
    )]
    Unauthenticated,
    /// The token carries no role.
    #[error(
        "Your token carries no AWS role, or the one chosen for this session is no longer yours. Ask whoever issues the token for a `role_arn` claim, choose a role that it lists with assume_quilt_user_role, or send that role as X-Quilt-User-Role."
    )]
    NoRole,
    /// A signed request that names no role: the signature says who calls, and the header as what.
    #[error(
        "You signed this request and named no AWS role. Send X-Quilt-User-Role with one that this server lets you name."
    )]
    NoRoleNamed,
}

tokio::task_local! {
    static SCOPE: Arc<RuntimeContext>;
}

impl RuntimeContext {
    /// The context of a proven caller.
    pub fn of_caller(caller: Caller, request_id: Arc<str>, trail: Arc<Trail>) -> Self {
        let Caller {
            principal,
            role,
            credentials,
        } = caller;
        Self {
            environment: match principal.proof() {
                Proof::Jwt => Environment::WebJwt,
                Proof::Bearer => Environment::WebBearer,
                Proof::Signature => Environment::WebRole,
            },
            principal: Some(principal),
            role,
            credentials,
            access: Access::default(),
            request_id,
            trail,
        }
    }

    /// The context of a request to a server without authentication.
    pub fn unauthenticated(request_id: Arc<str>, trail: Arc<Trail>) -> Self {
        Self {
            environment: Environment::WebUnauthenticated,
            principal: None,
            role: None,
            credentials: None,
            access: Access::default(),
            request_id,
            trail,
        }
    }

    /// The context of a message on standard input.
    pub fn stdio(request_id: Arc<str>, trail: Arc<Trail>) -> Self {
        Self {
            environment: Environment::DesktopStdio,
            principal: None,
            role: None,
            credentials: None,
            access: Access::default(),
            request_id,
            trail,
        }
    }

    /// Where the call comes from.
    pub fn environment(&self) -> Environment {
        self.environment
    }

    /// Who calls, where that was proven.
    pub fn principal(&self) -> Option<&Arc<Principal>> {
        self.principal.as_ref()
    }

    /// The role that the caller acts as.
    pub fn role(&self) -> Option<&AuthorizedRole> {
        self.role.as_ref()
    }

    /// How the caller proved its identity.
    pub fn scheme(&self) -> Option<Scheme> {
        match self.environment {
            Environment::WebJwt => Some(Scheme::Jwt),
            Environment::WebBearer => Some(Scheme::Bearer),
            Environment::WebRole => Some(Scheme::AssumeRole),
            Environment::DesktopStdio | Environment::WebUnauthenticated => None,
        }
    }

    /// What the call may do in AWS.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The same call, for a tool that needs this access.
    #[must_use]
    pub fn with_access(&self, access: Access) -> Self {
        Self {
            environment: self.environment,
            principal: self.principal.clone(),
            role: self.role.clone(),
            credentials: self.credentials.clone(),
            access,
            request_id: Arc::clone(&self.request_id),
            trail: Arc::clone(&self.trail),
        }
    }

    /// The request's id, as in the logs and in the `x-request-id` header.
    pub fn request_id(&self) -> &Arc<str> {
        &self.request_id
    }

    /// Where facts for the log are noted.
    pub fn trail(&self) -> &Arc<Trail> {
        &self.trail
    }

    /// With whose credentials this call may reach AWS.
    pub fn authority(&self) -> Result<Authority<'_>, NoIdentity> {
        match (self.environment, &self.credentials, &self.role) {
            (Environment::DesktopStdio, _, _) => Ok(Authority::Process),
            (Environment::WebUnauthenticated, _, _) => Err(NoIdentity::Unauthenticated),
            (_, Some(given), _) => Ok(Authority::Given(given)),
            (_, None, Some(role)) => Ok(Authority::Role(role)),
            (Environment::WebRole, None, None) => Err(NoIdentity::NoRoleNamed),
            (Environment::WebJwt | Environment::WebBearer, None, None) => Err(NoIdentity::NoRole),
        }
    }

    /// The context of the call that this code runs in.
    pub fn current() -> Result<Arc<Self>, NoIdentity> {
        SCOPE
            .try_with(Arc::clone)
            .map_err(|_| NoIdentity::OutsideScope)
    }

    /// Runs `call` in this context. Entered in one place: where a tool is called.
    pub async fn scope<F: Future>(self: Arc<Self>, call: F) -> F::Output {
        SCOPE.scope(self, call).await
    }
}

/// Spawns a task that keeps the caller's context.
pub fn spawn<F>(task: F) -> Result<tokio::task::JoinHandle<F::Output>, NoIdentity>
where
    F: Future<Output: Send> + Send + 'static,
{
    let context = RuntimeContext::current()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the spawn that keeps the scope"
    )]
    Ok(tokio::spawn(context.scope(task)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(id: &str) -> Arc<RuntimeContext> {
        Arc::new(RuntimeContext::stdio(id.into(), Arc::default()))
    }

    #[tokio::test]
    async fn outside_a_scope_there_is_no_identity() {
        assert_eq!(
            RuntimeContext::current().unwrap_err(),
            NoIdentity::OutsideScope
        );
        assert_eq!(spawn(async {}).unwrap_err(), NoIdentity::OutsideScope);
        context("a")
            .scope(async { assert_eq!(&**RuntimeContext::current().unwrap().request_id(), "a") })
            .await;
        assert_eq!(
            RuntimeContext::current().unwrap_err(),
            NoIdentity::OutsideScope
        );
    }

    #[tokio::test]
    async fn a_spawned_task_has_an_identity_only_if_it_is_handed_on() {
        context("a")
            .scope(async {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "shows what a library's own spawn does"
                )]
                let lost = tokio::spawn(async { RuntimeContext::current().err() })
                    .await
                    .unwrap();
                assert_eq!(lost, Some(NoIdentity::OutsideScope));
                let kept = spawn(async {
                    RuntimeContext::current().map(|context| Arc::clone(context.request_id()))
                });
                assert_eq!(&*kept.unwrap().await.unwrap().unwrap(), "a");
            })
            .await;
    }

    #[test]
    fn only_stdio_works_with_the_process_s_credentials() {
        assert!(matches!(context("a").authority(), Ok(Authority::Process)));
        let anonymous = RuntimeContext::unauthenticated("a".into(), Arc::default());
        assert_eq!(
            anonymous.authority().unwrap_err(),
            NoIdentity::Unauthenticated
        );
    }
}
