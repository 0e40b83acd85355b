//! Issuers that are asked about each token: what they answered not long ago, and how many may be asked at once.
//!
//! Owns [`Asked`]. In come a token's fingerprint and the way to ask; out goes the verdict, kept as long as the answer
//! said it holds. One question serves all who bring the same token meanwhile; a refusal is kept shortly, so that a bad
//! token repeated costs one question; at most [`MAX_QUESTIONS`] are open at a time, and [`MAX_WAITING`] wait, so that a
//! storm of different ones becomes a storm neither for the issuer nor for our memory. Tokens that were good have turns
//! of their own: whoever makes some up does not hold their holders up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use http::StatusCode;
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
/// Questions that are open or wait for their turn: each holds its token. Further ones are not asked.
const MAX_WAITING: usize = 1_024;
/// All that a caller waits for a verdict: less than the 5 s in which a bad token must have its answer.
const BUDGET: Duration = Duration::from_secs(4);
/// How long a refusal is kept, in seconds.
const REFUSED_FOR: u64 = 30;

/// Whether an issuer says with this status that it cannot take what it was asked about, as malformed or too long: it is
/// no token of its own. Strangers choose what that is, so it is no word on the issuer. RFC 9110, section 15.5; RFC 6585.
pub(super) fn is_of_the_token(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 413 | 414 | 422 | 431)
}

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
    strangers: Arc<Turns>,
    known: Arc<Turns>,
}

/// Who may ask, and who may wait to.
struct Turns {
    open: Semaphore,
    waiting: Semaphore,
    budget: Duration,
}

impl Turns {
    fn new(budget: Duration) -> Arc<Self> {
        Arc::new(Self {
            open: Semaphore::new(MAX_QUESTIONS),
            waiting: Semaphore::new(MAX_WAITING),
            budget,
        })
    }

    /// Asks when it is its turn.
    async fn ask(
        &self,
        question: impl Future<Output = Result<Answer, KeyError>>,
    ) -> Result<Answer, KeyError> {
        let _waiting = self.waiting.try_acquire().map_err(|_| KeyError::Busy)?;
        let mut late = KeyError::Unavailable("it does not answer in time".to_owned());
        let answered = tokio::time::timeout(self.budget, async {
            if self.open.available_permits() == 0 {
                // What time will be left for the answer is the doing of those before it.
                late = KeyError::Busy;
            }
            // It is never closed.
            let _turn = self.open.acquire().await;
            question.await
        });
        answered.await.unwrap_or(Err(late))
    }
}

impl Asked {
    pub(super) fn new() -> Self {
        Self {
            answers: moka::sync::Cache::new(MAX_TOKENS),
            strangers: Turns::new(BUDGET),
            known: Turns::new(BUDGET),
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
        let was_good = AtomicBool::new(false);
        let answer = slot.good(
            now,
            |answer| {
                was_good.store(answer.verdict.is_ok(), Relaxed);
                answer.holds(now)
            },
            || {
                let turns = if was_good.load(Relaxed) {
                    &self.known
                } else {
                    &self.strangers
                };
                let (turns, question) = (Arc::clone(turns), ask());
                async move { turns.ask(question).await }
            },
        );
        answer.await?.verdict.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Principal, Proof, VerifiedClaims};

    const NOW: UnixSeconds = 1_795_000_000;

    fn good(until: UnixSeconds) -> Answer {
        let principal = Principal::of_token(VerifiedClaims::default(), [0; 32], Proof::Bearer);
        let judged = Judged {
            principal: Arc::new(principal),
            credentials: None,
        };
        Answer::good(judged, until)
    }

    fn stranger(number: usize) -> Fingerprint {
        let mut fingerprint = [1; 32];
        fingerprint[..8].copy_from_slice(&number.to_be_bytes());
        fingerprint
    }

    #[tokio::test]
    async fn made_up_tokens_do_not_hold_up_the_holder_of_a_good_one() {
        let asked = &Asked::new();
        let known = async |now, until| {
            let verdict = asked.verdict([0; 32], now, move || async move { Ok(good(until)) });
            verdict.await
        };
        assert!(known(NOW, NOW + 60).await.is_ok());
        // The issuer is slow, and all its turns are taken.
        let made_up = |number| Box::pin(asked.verdict(stranger(number), NOW, std::future::pending));
        let mut storm: Vec<_> = (0..2 * MAX_QUESTIONS).map(made_up).collect();
        for verdict in &mut storm {
            assert!(futures_util::poll!(verdict).is_pending());
        }
        tokio::task::yield_now().await;
        // What was known has to be asked for again, and is.
        tokio::select! {
            biased;
            verdict = known(NOW + 60, NOW + 120) => assert!(verdict.is_ok()),
            _ = &mut storm[0] => panic!("it waited for the storm"),
        }
    }

    #[tokio::test]
    async fn only_so_many_questions_wait() {
        let asked = &Asked::new();
        let made_up = |number| Box::pin(asked.verdict(stranger(number), NOW, std::future::pending));
        let mut storm: Vec<_> = (0..MAX_WAITING).map(made_up).collect();
        for verdict in &mut storm {
            assert!(futures_util::poll!(verdict).is_pending());
        }
        // Each question is a task of its own, and those before this one begin before it.
        let one_more = made_up(MAX_WAITING).await;
        assert_eq!(
            one_more.unwrap_err(),
            AuthError::Unavailable(KeyError::Busy)
        );
    }

    #[tokio::test]
    async fn who_waits_for_a_turn_in_vain_does_not_say_that_the_issuer_is_down() {
        let turns = &Turns::new(Duration::from_millis(20));
        let ask = |_| turns.ask(std::future::pending());
        let answers = futures_util::future::join_all((0..=MAX_QUESTIONS).map(ask)).await;
        let busy = |answer: &&Result<Answer, KeyError>| matches!(answer, Err(KeyError::Busy));
        let down =
            |answer: &&Result<Answer, KeyError>| matches!(answer, Err(KeyError::Unavailable(_)));
        assert_eq!(answers.iter().filter(busy).count(), 1);
        assert_eq!(answers.iter().filter(down).count(), MAX_QUESTIONS);
    }
}
