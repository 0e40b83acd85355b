//! One value that is loaded on first use, kept, and loaded again when it ages or turns out to be outdated.
//!
//! Owns the rules that secrets and key sets share: a load is single-flight (followers wait for the same answer), an old
//! value serves while its replacement cannot be had, and a demand for a newer one is granted at most once per cool-down.
//! A load is a task of its own, so that it comes to its end when its caller goes away: one that stood still would keep
//! what it holds, such as the turn to set the SDK up, from everybody else. None is begun without a caller: on Lambda
//! there is no background.
//! In come the time and a way to load; out goes the value, shared, or the error of the load.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::{FutureExt, Shared};

use crate::clock::UnixSeconds;

/// When a value is loaded again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// A value younger than this serves without a look at its source.
    pub(crate) fresh_for: Duration,
    /// A value younger than this serves when its source fails.
    pub(crate) usable_for: Duration,
    /// The least time between two loads that [`Refreshed::newer`] asks for, and between two failed ones that an old
    /// value covers.
    pub(crate) cool_down: Duration,
}

impl Policy {
    /// For values that know themselves how long they serve: see [`Refreshed::good`].
    pub(crate) const BY_VALUE: Self = Self {
        fresh_for: Duration::ZERO,
        usable_for: Duration::ZERO,
        cool_down: Duration::ZERO,
    };
}

/// A load that took longer hangs, or lay in a frozen instance: the next caller starts anew.
const STUCK_AFTER: Duration = Duration::from_secs(15);

/// Callers read the clock before they wait for each other: so much of the future is the present.
const DISORDER: UnixSeconds = 60;

/// How long ago `then` was. A time beyond the present is from before the clock was set back, and of no known age.
fn age(then: UnixSeconds, now: UnixSeconds) -> UnixSeconds {
    if then > now.saturating_add(DISORDER) {
        UnixSeconds::MAX
    } else {
        now.saturating_sub(then)
    }
}

type Flight<T, E> = Shared<Pin<Box<dyn Future<Output = Result<Arc<T>, E>> + Send>>>;

/// A value of type `T` with its [`Policy`].
pub(crate) struct Refreshed<T, E: Clone> {
    policy: Policy,
    state: Mutex<State<T, E>>,
}

struct State<T, E: Clone> {
    value: Option<(Arc<T>, UnixSeconds)>,
    flight: Option<Flight<T, E>>,
    last_attempt: Option<UnixSeconds>,
    failing: bool,
}

impl<T: Send + Sync + 'static, E: Clone + Send + Sync + 'static> State<T, E> {
    fn join_or_start<F>(&mut self, now: UnixSeconds, load: impl FnOnce() -> F) -> Flight<T, E>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let began = self.last_attempt.unwrap_or_default();
        if let Some(flight) = &self.flight
            && age(began, now) < STUCK_AFTER.as_secs()
        {
            return flight.clone();
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "a load carries no caller: it serves all who wait for it"
        )]
        let loading = tokio::spawn(load());
        let flight = async move {
            match loading.await {
                Ok(loaded) => loaded.map(Arc::new),
                // Nobody aborts it: it panicked, and so do those who wait for it.
                Err(failure) => std::panic::resume_unwind(failure.into_panic()),
            }
        }
        .boxed()
        .shared();
        self.flight = Some(flight.clone());
        self.last_attempt = Some(now);
        flight
    }
}

impl<T: Send + Sync + 'static, E: Clone + Send + Sync + 'static> Refreshed<T, E> {
    /// An empty holder.
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            state: Mutex::new(State {
                value: None,
                flight: None,
                last_attempt: None,
                failing: false,
            }),
        }
    }

    /// The value, loaded if there is none, or none fresh enough. Fails only when there is none to fall back on.
    pub(crate) async fn current<F>(
        &self,
        now: UnixSeconds,
        load: impl FnOnce() -> F,
    ) -> Result<Arc<T>, E>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (flight, fallback) = {
            let mut state = self.lock();
            let fallback = match &state.value {
                Some((value, loaded)) => {
                    let age = age(*loaded, now);
                    if age < self.policy.fresh_for.as_secs() {
                        return Ok(Arc::clone(value));
                    }
                    let usable =
                        (age < self.policy.usable_for.as_secs()).then(|| Arc::clone(value));
                    match usable {
                        Some(value) if self.cooling(&state, now) => return Ok(value),
                        usable => usable,
                    }
                }
                None => None,
            };
            if fallback.is_none() {
                // What serves nobody is not held: `is_missing` must not take it for a value.
                state.value = None;
            }
            (state.join_or_start(now, load), fallback)
        };
        match (self.land(flight, now).await, fallback) {
            (Err(_), Some(value)) => Ok(value),
            (landed, _) => landed,
        }
    }

    /// The value if it `is_good`, whatever its age; loaded otherwise. One that came before the clock was set back is not
    /// asked: it would be good for longer than it said.
    pub(crate) async fn good<F>(
        &self,
        now: UnixSeconds,
        is_good: impl FnOnce(&T) -> bool,
        load: impl FnOnce() -> F,
    ) -> Result<Arc<T>, E>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let flight = {
            let mut state = self.lock();
            match &state.value {
                Some((value, loaded)) if age(*loaded, now) < UnixSeconds::MAX && is_good(value) => {
                    return Ok(Arc::clone(value));
                }
                _ => {
                    // Bad for one is bad for all, also if no other can be had.
                    state.value = None;
                    state.join_or_start(now, load)
                }
            }
        };
        self.land(flight, now).await
    }

    /// A value loaded after `outdated` was, for a caller whom that one failed: `None` if the cool-down forbids another
    /// load, or the load fails.
    pub(crate) async fn newer<F>(
        &self,
        outdated: &Arc<T>,
        now: UnixSeconds,
        load: impl FnOnce() -> F,
    ) -> Option<Arc<T>>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let flight = {
            let mut state = self.lock();
            match &state.value {
                Some((value, _)) if !Arc::ptr_eq(value, outdated) => {
                    return Some(Arc::clone(value));
                }
                _ if state.flight.is_none() && self.cooling(&state, now) => return None,
                _ => state.join_or_start(now, load),
            }
        };
        self.land(flight, now).await.ok()
    }

    /// Whether the last load failed and there is no value to fall back on.
    pub(crate) fn is_missing(&self) -> bool {
        let state = self.lock();
        state.failing && state.value.is_none()
    }

    fn cooling(&self, state: &State<T, E>, now: UnixSeconds) -> bool {
        state
            .last_attempt
            .is_some_and(|at| age(at, now) < self.policy.cool_down.as_secs())
    }

    async fn land(&self, flight: Flight<T, E>, now: UnixSeconds) -> Result<Arc<T>, E> {
        let landed = flight.clone().await;
        let mut state = self.lock();
        // Whoever comes first clears the flight; a later one may already see its successor.
        if state
            .flight
            .as_ref()
            .is_some_and(|current| current.ptr_eq(&flight))
        {
            state.flight = None;
            state.failing = landed.is_err();
            if let Ok(value) = &landed {
                state.value = Some((Arc::clone(value), now));
            }
        }
        landed
    }

    fn lock(&self) -> MutexGuard<'_, State<T, E>> {
        // Nothing panics while the lock is held; a poisoned one still guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    const POLICY: Policy = Policy {
        fresh_for: Duration::from_secs(100),
        usable_for: Duration::from_secs(1000),
        cool_down: Duration::from_secs(10),
    };

    /// A source that counts its loads, fails from the `fails_from`th on, and answers only while its gate is open.
    struct Source {
        loads: Arc<AtomicU32>,
        fails_from: u32,
        gate: Arc<tokio::sync::RwLock<()>>,
    }

    impl Source {
        fn new(fails_from: u32) -> Self {
            Self {
                loads: Arc::default(),
                fails_from,
                gate: Arc::default(),
            }
        }
        fn load(&self) -> impl Future<Output = Result<u32, &'static str>> + Send + use<> {
            let (loads, fails_from, gate) = (
                Arc::clone(&self.loads),
                self.fails_from,
                Arc::clone(&self.gate),
            );
            async move {
                let load = loads.fetch_add(1, Relaxed) + 1;
                drop(gate.read().await);
                if load >= fails_from {
                    Err("down")
                } else {
                    Ok(load)
                }
            }
        }
        fn loads(&self) -> u32 {
            self.loads.load(Relaxed)
        }
        /// Lets all callers ask before it answers any.
        async fn answer_together<T>(
            &self,
            callers: impl Iterator<Item = impl Future<Output = T>>,
        ) -> Vec<T> {
            let closed = self.gate.write().await;
            let mut callers: Vec<_> = callers.map(Box::pin).collect();
            for caller in &mut callers {
                assert!(futures_util::poll!(caller).is_pending());
            }
            drop(closed);
            futures_util::future::join_all(callers).await
        }
    }

    #[tokio::test]
    async fn a_hundred_callers_load_once() {
        let (value, source) = (Refreshed::new(POLICY), Source::new(u32::MAX));
        let callers = (0..100).map(|_| value.current(0, || source.load()));
        for result in source.answer_together(callers).await {
            assert_eq!(*result.unwrap(), 1);
        }
        assert_eq!(source.loads(), 1);
    }

    #[tokio::test]
    async fn a_hundred_callers_share_a_failure_and_the_next_call_tries_again() {
        let (value, source) = (Refreshed::new(POLICY), Source::new(1));
        let callers = (0..100).map(|_| value.current(0, || source.load()));
        assert!(
            source
                .answer_together(callers)
                .await
                .iter()
                .all(Result::is_err)
        );
        assert_eq!(source.loads(), 1);
        assert!(value.is_missing());
        let mended = Source::new(u32::MAX);
        assert!(value.current(0, || mended.load()).await.is_ok());
        assert!(!value.is_missing());
    }

    #[tokio::test]
    async fn a_leader_that_goes_away_leaves_its_flight_to_the_followers() {
        let (value, source) = (Refreshed::new(POLICY), Source::new(u32::MAX));
        {
            let _closed = source.gate.write().await;
            let mut leader = Box::pin(value.current(0, || source.load()));
            assert!(futures_util::poll!(&mut leader).is_pending());
        }
        assert_eq!(*value.current(0, || source.load()).await.unwrap(), 1);
        assert_eq!(source.loads(), 1);
    }

    #[tokio::test]
    async fn a_load_that_everybody_left_comes_to_its_end_and_frees_what_it_holds() {
        let (value, turn) = (
            Refreshed::new(POLICY),
            Arc::new(tokio::sync::Mutex::new(())),
        );
        let load = || {
            let turn = Arc::clone(&turn);
            async move {
                let _held = turn.lock().await;
                tokio::task::yield_now().await;
                Ok::<u32, &'static str>(1)
            }
        };
        {
            let mut leader = Box::pin(value.current(0, load));
            assert!(futures_util::poll!(&mut leader).is_pending());
            tokio::task::yield_now().await;
            assert!(turn.try_lock().is_err(), "the load has its turn");
        }
        let freed = tokio::time::timeout(Duration::from_secs(5), turn.lock()).await;
        assert!(freed.is_ok());
    }

    #[tokio::test]
    async fn a_flight_that_everybody_left_long_ago_is_not_waited_for() {
        let (value, stuck) = (Refreshed::new(POLICY), Source::new(u32::MAX));
        let _closed = stuck.gate.write().await;
        assert!(futures_util::poll!(Box::pin(value.current(0, || stuck.load()))).is_pending());
        let source = Source::new(u32::MAX);
        assert!(futures_util::poll!(Box::pin(value.current(14, || source.load()))).is_pending());
        assert_eq!(*value.current(15, || source.load()).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn an_old_value_serves_through_an_outage_but_not_for_ever() {
        let (value, source) = (Refreshed::new(POLICY), Source::new(2));
        assert_eq!(*value.current(0, || source.load()).await.unwrap(), 1);
        assert_eq!(*value.current(99, || source.load()).await.unwrap(), 1);
        assert_eq!(source.loads(), 1, "fresh");
        assert_eq!(*value.current(100, || source.load()).await.unwrap(), 1);
        assert_eq!(*value.current(105, || source.load()).await.unwrap(), 1);
        assert_eq!(source.loads(), 2, "stale: one attempt per cool-down");
        assert_eq!(*value.current(110, || source.load()).await.unwrap(), 1);
        assert_eq!(source.loads(), 3);
        assert!(!value.is_missing(), "it still serves");
        assert_eq!(value.current(1000, || source.load()).await, Err("down"));
        assert!(value.is_missing());
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_keeps_no_value_fresh() {
        let (value, source) = (Refreshed::new(POLICY), Source::new(u32::MAX));
        assert_eq!(
            *value.current(1_000_000, || source.load()).await.unwrap(),
            1
        );
        assert_eq!(*value.current(999_999, || source.load()).await.unwrap(), 1);
        assert_eq!(*value.current(10, || source.load()).await.unwrap(), 2);
        assert_eq!(*value.current(11, || source.load()).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_lengthens_no_value_s_time() {
        let (value, source) = (Refreshed::new(Policy::BY_VALUE), Source::new(u32::MAX));
        let (value, source) = (&value, &source);
        let good = async |now: UnixSeconds| {
            let until = value.good(now, |_| now < 1_000_300, || source.load());
            *until.await.unwrap()
        };
        assert_eq!(good(1_000_000).await, 1);
        // Whoever read the clock before the load began.
        assert_eq!(good(999_990).await, 1);
        assert_eq!(good(1_000_299).await, 1);
        assert_eq!(good(900_000).await, 2);
        assert_eq!(good(900_001).await, 2);
    }

    #[tokio::test]
    async fn a_demand_for_a_newer_value_is_granted_once_per_cool_down() {
        let (value, source) = (Refreshed::new(POLICY), Source::new(u32::MAX));
        let first = value.current(0, || source.load()).await.unwrap();
        assert!(value.newer(&first, 9, || source.load()).await.is_none());
        let storm = (0..100).map(|_| value.newer(&first, 10, || source.load()));
        for newer in source.answer_together(storm).await {
            assert_eq!(*newer.unwrap(), 2);
        }
        assert_eq!(source.loads(), 2);
    }
}
