//! Tokens that were verified not long ago, so that a signature is checked once and not at every call.
//!
//! Owns [`VerifiedTokens`]. In come a token's fingerprint and the keys that are valid now; out goes the principal of a
//! token that those very keys verified, while its times hold. A key that its issuer drops or replaces makes another key
//! set, and a token is then verified anew: the cache never outlives what it rests on. The token itself is not kept.

use std::sync::Arc;

use super::{Principal, keys::KeySet, token::Fingerprint};
use crate::clock::UnixSeconds;

/// Tokens that are remembered: some 1 KB each.
const MAX_TOKENS: u64 = 2_048;

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
        Self(moka::sync::Cache::new(MAX_TOKENS))
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
