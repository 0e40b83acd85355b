//! Tokens that were verified not long ago, so that a signature is checked once and not at every call.
//!
//! Owns [`VerifiedTokens`]. In come a token's fingerprint and the keys that are valid now; out goes the principal of a
//! token that those very keys verified, while its times hold. A key that its issuer drops or replaces makes another key
//! set, and a token is then verified anew: the cache never outlives what it rests on. The token itself is not kept.

use std::sync::Arc;

use super::{Principal, keys::KeySet, token::Fingerprint};
use crate::clock::UnixSeconds;

/// What all remembered tokens may take together, in bytes: some 4,000 plain ones, or a dozen that name as many buckets as
/// a token can.
const MAX_BYTES: u64 = 4 * 1_024 * 1_024;
/// What one takes beside the texts of its claims, in bytes.
const BYTES_OF_ONE: usize = 1_024;

/// Verified tokens, by their fingerprint.
pub(super) struct VerifiedTokens(moka::sync::Cache<Fingerprint, Arc<Verified>>);

/// One of them.
pub(super) struct Verified {
    pub(super) principal: Arc<Principal>,
    /// Which of the configured issuers judged it.
    pub(super) issuer: usize,
    keys: Arc<KeySet>,
    at: UnixSeconds,
}

impl VerifiedTokens {
    pub(super) fn new() -> Self {
        let bytes = |_: &Fingerprint, verified: &Arc<Verified>| {
            u32::try_from(BYTES_OF_ONE + verified.principal.bytes()).unwrap_or(u32::MAX)
        };
        let cache = moka::sync::Cache::builder();
        Self(cache.max_capacity(MAX_BYTES).weigher(bytes).build())
    }

    /// What is known of a token. It counts only if [`Verified::holds`].
    pub(super) fn recall(&self, fingerprint: &Fingerprint) -> Option<Arc<Verified>> {
        self.0.get(fingerprint)
    }

    pub(super) fn remember(
        &self,
        fingerprint: Fingerprint,
        issuer: usize,
        keys: Arc<KeySet>,
        principal: &Arc<Principal>,
        now: UnixSeconds,
    ) {
        let verified = Verified {
            principal: Arc::clone(principal),
            issuer,
            keys,
            at: now,
        };
        self.0.insert(fingerprint, Arc::new(verified));
    }
}

impl Verified {
    /// Whether it may stand for another verification: by the same keys, and with no clock set back meanwhile, before
    /// which the token may not have been valid yet.
    pub(super) fn holds(&self, keys: &Arc<KeySet>, now: UnixSeconds) -> bool {
        Arc::ptr_eq(&self.keys, keys) && self.at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Grants, Proof, VerifiedClaims};

    fn remember(tokens: &VerifiedTokens, number: usize, buckets: usize) {
        let name = |bucket: usize| format!("a-bucket-of-some-length-{number}-{bucket}");
        let claims = VerifiedClaims {
            grants: Grants {
                buckets: Some((0..buckets).map(name).collect()),
                ..Grants::default()
            },
            ..VerifiedClaims::default()
        };
        let principal = Arc::new(Principal::of_token(claims, [0; 32], Proof::Jwt));
        let keys = Arc::new(KeySet::Shared(Vec::new()));
        tokens.remember(fingerprint(number), 0, keys, &principal, 0);
        tokens.0.run_pending_tasks();
    }

    fn fingerprint(number: usize) -> Fingerprint {
        let mut fingerprint = [0; 32];
        fingerprint[..8].copy_from_slice(&number.to_be_bytes());
        fingerprint
    }

    #[test]
    fn tokens_that_permit_much_do_not_fill_the_memory() {
        let tokens = VerifiedTokens::new();
        // 400 of them would take more than 200 MB.
        for number in 0..400 {
            remember(&tokens, number, 10_000);
        }
        assert!((1..16).contains(&tokens.0.entry_count()));
    }

    #[test]
    fn plain_tokens_are_all_remembered() {
        let tokens = VerifiedTokens::new();
        for number in 0..3_000 {
            remember(&tokens, number, 1);
        }
        assert!((0..3_000).all(|number| tokens.recall(&fingerprint(number)).is_some()));
    }
}
