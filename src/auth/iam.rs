//! Callers that signed their request with AWS credentials (SigV4), as a front door found them to be.
//!
//! Owns [`SignedRequest`] (what an event says of its front door and of who signed), [`IamRules`] (whose word the
//! operator believes, and who may name which roles) and [`SignedCaller`] (what both make together). In comes a
//! `SignedRequest`, which only the reader of Lambda events makes: no header can. Out goes a caller without a role; the
//! role is what `X-Quilt-User-Role` names, judged in [`super::Principal::authorize_role`].
//!
//! The front door proves who calls; that an event is from it is proven by who may invoke the function at all. Whoever
//! is allowed `lambda:InvokeFunction` can write any event, so that permission belongs to front doors alone.
//! Source: Lambda developer guide, "Invoking Lambda function URLs"; API Gateway developer guide, "`$context` variables".

use super::{AuthError, Grants};
use crate::{
    clock::UnixSeconds,
    config::{
        HeaderMode, IAM_ISSUER, IamFrontDoor, IamFrontDoorKind, RolesSection,
        arn::{CallerPattern, RoleArn, RolePattern},
    },
};

/// How long a signed request speaks for its caller, in seconds. AWS takes a signature for five minutes from its date
/// (IAM user guide, "AWS Signature Version 4 for API requests"), and what the signer's own credentials have left is
/// not told to us: nothing is kept in the caller's name for longer than the request itself could be.
const SIGNATURE_SECONDS: u64 = 300;

/// What an event says of the front door that it came through, and of who signed the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRequest {
    /// Which kind of front door writes such events.
    pub kind: IamFrontDoorKind,
    /// `requestContext.accountId`.
    pub account_id: String,
    /// `requestContext.apiId`.
    pub api_id: String,
    /// `requestContext.domainName`.
    pub domain_name: String,
    /// The ARN of who signed.
    pub user_arn: String,
}

/// Whose word counts, and who may name which roles: `roles.iam`.
#[derive(Debug, Clone)]
pub(super) struct IamRules {
    front_doors: Vec<IamFrontDoor>,
    callers: Vec<(CallerPattern, Vec<RolePattern>)>,
}

/// Somebody whose signature a believed front door checked, and whom the operator knows.
#[derive(Debug)]
pub(super) struct SignedCaller {
    /// The IAM of the caller's account.
    pub(super) issuer: String,
    /// The caller's whole ARN.
    pub(super) arn: String,
    pub(super) expires_at: UnixSeconds,
    /// None: there is no token that could narrow.
    pub(super) grants: Grants,
    may_name: Vec<RolePattern>,
}

impl IamRules {
    /// The rules of a checked configuration. `None` unless `roles.header` is `iam`.
    pub(super) fn from_config(section: &RolesSection) -> Option<Self> {
        let iam = section
            .iam
            .as_ref()
            .filter(|_| section.header == HeaderMode::Iam)?;
        let callers = iam.callers.iter();
        Some(Self {
            front_doors: iam.front_doors.clone(),
            callers: callers
                .filter_map(|caller| Some((caller.caller.clone()?, caller.roles.clone())))
                .collect(),
        })
    }

    /// Judges what an event says.
    pub(super) fn judge(
        &self,
        signed: &SignedRequest,
        now: UnixSeconds,
    ) -> Result<SignedCaller, AuthError> {
        if !self.front_doors.iter().any(|door| is_from(signed, door)) {
            return Err(AuthError::UnknownFrontDoor);
        }
        let known = self.callers.iter();
        let mut known = known
            .filter(|(caller, _)| caller.matches(&signed.user_arn))
            .peekable();
        if known.peek().is_none() {
            return Err(AuthError::UnknownCaller);
        }
        // A caller that matched has an ARN of six parts: its pattern has.
        let account = signed.user_arn.split(':').nth(4).unwrap_or_default();
        Ok(SignedCaller {
            issuer: format!("{IAM_ISSUER}{account}"),
            arn: signed.user_arn.clone(),
            expires_at: now + SIGNATURE_SECONDS,
            grants: Grants::default(),
            may_name: known.flat_map(|(_, roles)| roles).cloned().collect(),
        })
    }
}

/// Whether an event is of this front door, in everything that the operator wrote down.
fn is_from(signed: &SignedRequest, door: &IamFrontDoor) -> bool {
    signed.kind == door.kind
        && signed.api_id == door.api_id
        && signed.domain_name == door.domain_name
        && door
            .account_id
            .as_ref()
            .is_none_or(|account| *account == signed.account_id)
}

impl SignedCaller {
    pub(super) fn may_name(&self, role: &RoleArn) -> bool {
        self.may_name.iter().any(|pattern| pattern.matches(role))
    }
}
