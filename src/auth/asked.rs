//! Issuers that are asked about each token: what they answered not long ago, and how many may be asked at once.
//!
//! Owns [`Asked`]. In come a token's fingerprint and the way to ask; out goes the verdict, kept as long as the answer
//! said it holds. One question serves all who bring the same token meanwhile; a refusal is kept shortly, so that a bad
//! token repeated costs one question; at most [`MAX_QUESTIONS`] are open at a time, so that a storm of different ones
//! does not become a storm for the issuer.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::{AuthError, Judged, KeyError, token::Fingerprint};
use crate::{
    clock::UnixSeconds,
    refreshed::{Policy, Refreshed},
};

/// Tokens whose verdicts are kept.
const MAX_TOKENS: u64 = 2_048;
/// Questions that are open at a time.
const MAX_QUESTIONS: usize = 32;
/// All that a caller waits for a verdict: less than the 5 s in which a bad token must have its answer.
const BUDGET: Duration = Duration::from_secs(4);
/// How long a refusal is kept, in seconds.
const REFUSED_FOR: u64 = 30;

/// What an issuer answered.
pub(super) struct Answer {
    verdict: Result<Judged, AuthError>,
    until: UnixSeconds,
}

impl Answer {
    /// The token is good, and need not be asked about before `until`.
    pub(super) fn good(judged: Judged, until: UnixSeconds) -> Self {
        Self {
            verdict: Ok(judged),
            until,
        }
    }

    /// The token is refused.
    pub(super) fn refused(error: impl Into<AuthError>, now: UnixSeconds) -> Self {
        Self {
            verdict: Err(error.into()),
            until: now + REFUSED_FOR,
        }
    }

    fn holds(&self, now: UnixSeconds) -> bool {
        let refused = |judged: &Judged| {
            judged
                .credentials
                .as_ref()
                .is_some_and(|given| given.were_refused())
        };
        now < self.until && !self.verdict.as_ref().is_ok_and(refused)
    }
}

/// The verdicts of one issuer.
pub(super) struct Asked {
    answers: moka::sync::Cache<Fingerprint, Arc<Refreshed<Answer, KeyError>>>,
    questions: Arc<Semaphore>,
}

impl Asked {
    pub(super) fn new() -> Self {
        Self {
            answers: moka::sync::Cache::new(MAX_TOKENS),
            questions: Arc::new(Semaphore::new(MAX_QUESTIONS)),
        }
    }

    /// The verdict on a token; asks if none is known that still holds.
    pub(super) async fn verdict<F>(
        &self,
        fingerprint: Fingerprint,
        now: UnixSeconds,
        ask: impl FnOnce() -> F,
    ) -> Result<Judged, AuthError>
    where
        F: Future<Output = Result<Answer, KeyError>> + Send + 'static,
    {
        let slot = self
            .answers
            .get_with(fingerprint, || Arc::new(Refreshed::new(Policy::BY_VALUE)));
        let answer = slot.good(
            now,
            |answer| answer.holds(now),
            || {
                let (questions, question) = (Arc::clone(&self.questions), ask());
                async move {
                    let answered = tokio::time::timeout(BUDGET, async {
                        let _turn = questions.acquire().await;
                        question.await
                    });
                    answered.await.unwrap_or_else(|_| {
                        Err(KeyError::Unavailable(
                            "it does not answer in time".to_owned(),
                        ))
                    })
                }
            },
        );
        answer.await?.verdict.clone()
    }
}
