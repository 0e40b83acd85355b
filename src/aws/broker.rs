//! Roles assumed for callers.
//!
//! Owns [`RoleBroker`], the only caller of `sts:AssumeRole`, and its cache. In comes an [`AuthorizedRole`]; out goes an
//! [`AssumedRole`], from the cache or from STS. The cache's key is everything that is sent to STS, and the issuer, the
//! subject and the roles of the token: two callers share an entry only if they are one. Concurrent calls of one caller
//! share one request; callers never wait for each other's.
//! Source: STS API reference, "`AssumeRole`"; IAM user guide, "Monitor and control actions taken with assumed roles".

use std::{
    fmt,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use aws_sdk_sts::{config::Credentials, types::Tag};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;

use super::{
    AwsError, Sdk,
    external_id::ExternalId,
    names::{session_name, sha256, source_identity},
    session::{Identity, identity},
    session_policy::session_policy,
};
use crate::{
    auth::{AuthorizedRole, LoadSecret, SessionTag},
    clock::{Clock, UnixSeconds},
    config::{RolesSection, SessionPolicyMode, arn::RoleArn},
    context::Access,
    refreshed::{Policy, Refreshed},
    telemetry::{Metric, Metrics, SecretUse, audit},
};

/// Credentials are replaced when less than this is left of them, so that none expires during a call.
const MARGIN: u64 = 60;
/// How long a refusal by STS is remembered.
const DENIED_FOR: u64 = 30;
/// The longest session of a role that is assumed by a role: IAM user guide, "Role chaining".
const MAX_CHAINED_SECONDS: u64 = 3_600;
/// The shortest session that STS grants.
const MIN_SECONDS: u64 = 900;
/// All that a caller waits for an assumption, our own identity and the external id included.
const BUDGET: Duration = Duration::from_secs(9);
/// Callers whose roles are kept.
const MAX_ENTRIES: u64 = 10_000;

/// Assumes roles.
pub struct RoleBroker {
    inner: Arc<Inner>,
    cache: moka::sync::Cache<Key, Arc<Refreshed<Entry, AwsError>>>,
}

struct Inner {
    sdk: Arc<Sdk>,
    client: OnceCell<aws_sdk_sts::Client>,
    /// Who this process is: asked once, before the first role is assumed.
    own: OnceCell<Identity>,
    external_id: ExternalId,
    policy_mode: SessionPolicyMode,
    duration_seconds: u64,
    clock: Clock,
    metrics: Metrics,
}

/// Credentials of a role, assumed for one caller.
pub struct AssumedRole {
    credentials: Credentials,
    session_name: String,
    expires_at: UnixSeconds,
}

impl AssumedRole {
    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The name of the session: in CloudTrail, and in our log.
    pub fn session_name(&self) -> &str {
        &self.session_name
    }

    /// When the credentials, or the token they were assumed for, end.
    pub fn expires_at(&self) -> UnixSeconds {
        self.expires_at
    }
}

impl fmt::Debug for AssumedRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AssumedRole")
            .field("session_name", &self.session_name)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Everything that makes one assumption differ from another.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    issuer: String,
    subject: String,
    role: RoleArn,
    /// All roles of the token: a token that lists other roles is another caller.
    roles: Vec<RoleArn>,
    tags: Vec<SessionTag>,
    transitive: Vec<String>,
    external_id: Option<[u8; 32]>,
    /// A tool that reads and one that writes never share credentials.
    policy: Option<&'static str>,
}

/// What is sent beside what the role and its principal say.
#[derive(Clone)]
struct Terms {
    external_id: Option<Arc<SecretString>>,
    policy: Option<&'static str>,
}

enum Entry {
    Granted(Arc<AssumedRole>),
    Denied { until: UnixSeconds },
}

impl Entry {
    fn is_good(&self, now: UnixSeconds) -> bool {
        match self {
            Self::Granted(role) => now + MARGIN < role.expires_at,
            Self::Denied { until } => now < *until,
        }
    }

    /// Whether this is the very assumption `other`.
    fn is(&self, other: Option<&AssumedRole>) -> bool {
        matches!((self, other), (Self::Granted(role), Some(other)) if std::ptr::eq(Arc::as_ptr(role), other))
    }
}

impl RoleBroker {
    /// A broker for a checked configuration.
    pub fn new(
        sdk: Arc<Sdk>,
        section: &RolesSection,
        load: &LoadSecret,
        clock: Clock,
        metrics: Metrics,
    ) -> Self {
        let inner = Inner {
            sdk,
            client: OnceCell::new(),
            own: OnceCell::new(),
            external_id: ExternalId::from_config(section.external_id.as_ref(), load),
            policy_mode: section.session_policy,
            duration_seconds: section.duration_seconds.get(),
            clock,
            metrics,
        };
        Self {
            inner: Arc::new(inner),
            cache: moka::sync::Cache::new(MAX_ENTRIES),
        }
    }

    /// The credentials of a role for its caller, valid for at least another minute.
    pub async fn assume(
        &self,
        role: &AuthorizedRole,
        access: Access,
        request_id: &Arc<str>,
    ) -> Result<Arc<AssumedRole>, AwsError> {
        let assumed = tokio::time::timeout(BUDGET, self.other_than(None, role, access, request_id));
        assumed.await.unwrap_or(Err(AwsError::Busy))
    }

    /// The same, instead of credentials that AWS no longer accepts. Calls that learn of it together share one
    /// assumption: whoever comes late finds the new credentials.
    pub async fn replace(
        &self,
        refused: &AssumedRole,
        role: &AuthorizedRole,
        access: Access,
        request_id: &Arc<str>,
    ) -> Result<Arc<AssumedRole>, AwsError> {
        let assumed = tokio::time::timeout(
            BUDGET,
            self.other_than(Some(refused), role, access, request_id),
        );
        assumed.await.unwrap_or(Err(AwsError::Busy))
    }

    async fn other_than(
        &self,
        refused: Option<&AssumedRole>,
        role: &AuthorizedRole,
        access: Access,
        request_id: &Arc<str>,
    ) -> Result<Arc<AssumedRole>, AwsError> {
        let now = self.inner.clock.unix();
        let terms = Terms {
            external_id: self.inner.external_id.current(now).await?,
            policy: session_policy(self.inner.policy_mode, access),
        };
        let slot = self.slot(role, &terms);
        let now = self.inner.clock.unix();
        let entry = slot
            .good(
                now,
                |entry| entry.is_good(now) && !entry.is(refused),
                || {
                    let (inner, role, id) = (
                        Arc::clone(&self.inner),
                        role.clone(),
                        Arc::clone(request_id),
                    );
                    async move { inner.assume(&role, &terms, &id).await }
                },
            )
            .await?;
        match &*entry {
            Entry::Granted(role) => Ok(Arc::clone(role)),
            Entry::Denied { .. } => Err(AwsError::RoleDenied),
        }
    }

    /// Why no role can be assumed, if the last attempt showed a reason.
    pub fn ailment(&self) -> Option<&'static str> {
        self.inner.external_id.ailment()
    }

    fn slot(&self, role: &AuthorizedRole, terms: &Terms) -> Arc<Refreshed<Entry, AwsError>> {
        self.cache.get_with(key(role, terms), || {
            Arc::new(Refreshed::new(Policy::BY_VALUE))
        })
    }
}

fn key(role: &AuthorizedRole, terms: &Terms) -> Key {
    let principal = role.principal();
    Key {
        issuer: principal.issuer().to_owned(),
        subject: principal.subject().to_owned(),
        role: role.arn().clone(),
        roles: principal.roles().to_vec(),
        tags: principal.session_tags().to_vec(),
        transitive: principal.transitive_tag_keys().to_vec(),
        external_id: terms
            .external_id
            .as_ref()
            .map(|id| sha256(id.expose_secret())),
        policy: terms.policy,
    }
}

impl Inner {
    async fn client(&self) -> &aws_sdk_sts::Client {
        self.client
            .get_or_init(|| async { aws_sdk_sts::Client::new(&*self.sdk.shared().await) })
            .await
    }

    async fn assume(
        &self,
        role: &AuthorizedRole,
        terms: &Terms,
        request_id: &str,
    ) -> Result<Entry, AwsError> {
        let started = self.clock.now();
        let asked = tokio::time::timeout(BUDGET, self.ask(role, terms, request_id));
        let answer = asked.await.unwrap_or(Err(AwsError::Busy));
        let outcome = if answer.is_ok() {
            Metric::RoleAssumptionSuccess
        } else {
            Metric::RoleAssumptionFailure
        };
        let latency = self.clock.now().duration_since(started).unwrap_or_default();
        self.metrics.emit(
            &[outcome, Metric::RoleAssumptionLatency(latency)],
            request_id,
        );
        match answer {
            Ok(assumed) => {
                let (arn, session) = (role.arn(), assumed.session_name());
                tracing::info!(request_id, role = %arn, role_session = session, "role assumed");
                Ok(Entry::Granted(Arc::new(assumed)))
            }
            Err(AwsError::Denied | AwsError::RoleDenied | AwsError::Refused(_)) => {
                Ok(Entry::Denied {
                    until: self.clock.unix() + DENIED_FOR,
                })
            }
            Err(error) => Err(error),
        }
    }

    async fn ask(
        &self,
        role: &AuthorizedRole,
        terms: &Terms,
        request_id: &str,
    ) -> Result<AssumedRole, AwsError> {
        let client = self.client().await;
        let own = self.own.get_or_try_init(|| identity(client)).await?;
        if is_session_of(own, role.arn()) {
            tracing::error!(role = %role.arn(), "refused to assume this server's own role: take it out of roles.allow");
            return Err(AwsError::RoleDenied);
        }
        let principal = role.principal();
        let now = self.clock.unix();
        let source_identity = source_identity(principal.subject());
        let session_name = session_name(principal.subject(), now);
        let left = principal.expires_at().saturating_sub(now);
        let bound = if own.arn.contains(":assumed-role/") {
            MAX_CHAINED_SECONDS
        } else {
            u64::MAX
        };
        let duration = self.duration_seconds.min(bound).min(left).max(MIN_SECONDS);
        let mut tags = Vec::new();
        for tag in principal.session_tags() {
            tags.push(
                Tag::builder()
                    .key(&tag.key)
                    .value(&tag.value)
                    .build()
                    .map_err(|_| AwsError::Misconfigured)?,
            );
        }
        let request = client
            .assume_role()
            .role_arn(role.arn().as_str())
            .role_session_name(&session_name)
            .source_identity(source_identity)
            .duration_seconds(i32::try_from(duration).unwrap_or(i32::MAX))
            .set_external_id(
                terms
                    .external_id
                    .as_ref()
                    .map(|id| id.expose_secret().to_owned()),
            )
            .set_policy(terms.policy.map(str::to_owned))
            .set_tags((!tags.is_empty()).then_some(tags))
            .set_transitive_tag_keys(
                (!principal.transitive_tag_keys().is_empty())
                    .then(|| principal.transitive_tag_keys().to_vec()),
            );
        let about_to = SecretUse::AssumeRole {
            issuer: principal.issuer(),
            subject: principal.subject(),
            role: role.arn().as_str(),
            role_session: &session_name,
        };
        audit(request_id, about_to);
        let answer = request
            .send()
            .await
            .map_err(|error| AwsError::of("sts", &error))?;
        let given = answer.credentials.ok_or(AwsError::Busy)?;
        let expiry = u64::try_from(given.expiration.secs()).map_err(|_| AwsError::Busy)?;
        let credentials = Credentials::new(
            given.access_key_id,
            given.secret_access_key,
            Some(given.session_token),
            Some(UNIX_EPOCH + Duration::from_secs(expiry)),
            "rolecall",
        );
        // Not before: a token may end sooner than the shortest session that STS grants.
        let expires_at = expiry.min(principal.expires_at().max(now + 2 * MARGIN));
        Ok(AssumedRole {
            credentials,
            session_name,
            expires_at,
        })
    }
}

/// Whether `own` is a session of `role`: `arn:P:sts::A:assumed-role/NAME/SESSION` does not show the role's path.
fn is_session_of(own: &Identity, role: &RoleArn) -> bool {
    let name = own
        .arn
        .split_once(":assumed-role/")
        .and_then(|(_, rest)| rest.split('/').next());
    // IAM tells names apart without case.
    own.account == role.account() && name.is_some_and(|name| name.eq_ignore_ascii_case(role.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_role_is_recognised_with_or_without_a_path() {
        let own = Identity {
            arn: "arn:aws:sts::111122223333:assumed-role/rolecall/i-1".to_owned(),
            account: "111122223333".to_owned(),
        };
        let role = |text: &str| text.parse::<RoleArn>().unwrap();
        assert!(is_session_of(
            &own,
            &role("arn:aws:iam::111122223333:role/rolecall")
        ));
        assert!(is_session_of(
            &own,
            &role("arn:aws:iam::111122223333:role/service/rolecall")
        ));
        assert!(is_session_of(
            &own,
            &role("arn:aws:iam::111122223333:role/RoleCall")
        ));
        assert!(!is_session_of(
            &own,
            &role("arn:aws:iam::111122223333:role/rolecall2")
        ));
        assert!(!is_session_of(
            &own,
            &role("arn:aws:iam::999922223333:role/rolecall")
        ));
    }

    #[tokio::test]
    async fn calls_of_other_access_never_share_credentials() {
        let document = r#"{ "auth": { "issuers": [{ "issuer": "i", "audience": "a", "hs256": "0123456789012345678901234567890123456789" }] },
                            "roles": { "allow": ["arn:aws:iam::111122223333:role/*"] } }"#;
        let config = crate::config::Config::parse(document, &|_| None).unwrap();
        let clock = Clock::from_fn(|| UNIX_EPOCH + Duration::from_secs(1_000));
        let load: LoadSecret = Arc::new(|_| unreachable!());
        let choices = Arc::new(crate::auth::RoleChoices::new(&config.roles, false, clock));
        let egress = Arc::new(crate::egress::Egress::new(&config.server.egress, []));
        let authenticator = crate::auth::Authenticator::new(
            &config.auth,
            &config.server,
            &config.roles,
            choices,
            &egress,
            clock,
            &load,
        );
        let claims = r#"{"iss":"i","aud":"a","sub":"alice","exp":2000,"role_arn":"arn:aws:iam::111122223333:role/Quilt"}"#;
        let secret = SecretString::from("0123456789012345678901234567890123456789");
        let key_of_issuer = crate::auth::Hs256Key::new(&secret).unwrap();
        let claims: serde_json::Value = serde_json::from_str(claims).unwrap();
        let token = crate::auth::mint(&claims, &key_of_issuer);
        let mut headers = http::HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        let caller = authenticator
            .authenticate(&headers, None, &"test".into())
            .await
            .unwrap();
        let role = caller.role.unwrap();
        let key_for = |mode, access| {
            let terms = Terms {
                external_id: None,
                policy: session_policy(mode, access),
            };
            key(&role, &terms)
        };
        let mode = SessionPolicyMode::Tool;
        assert!(key_for(mode, Access::Read) == key_for(mode, Access::Read));
        assert!(key_for(mode, Access::Read) != key_for(mode, Access::Write));
        let off = SessionPolicyMode::Off;
        assert!(key_for(off, Access::Read) == key_for(off, Access::Write));
    }

    #[test]
    fn entries_end_before_their_credentials_do() {
        let credentials = Credentials::new("AKIA", "hunter2", None, None, "test");
        let role = AssumedRole {
            credentials,
            session_name: "mcp-a-1".to_owned(),
            expires_at: 1_000,
        };
        assert!(!format!("{role:?}").contains("hunter2"));
        let entry = Entry::Granted(Arc::new(role));
        assert!(entry.is_good(939));
        assert!(!entry.is_good(940));
        assert!(Entry::Denied { until: 30 }.is_good(29));
        assert!(!Entry::Denied { until: 30 }.is_good(30));
    }
}
