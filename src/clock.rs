//! The wall clock, as a parameter.
//!
//! Owns the one call of `SystemTime::now`. Everything that expires is told the time, so that a test can hold it still,
//! and is judged by the wall clock: a Lambda instance is frozen between calls, and monotonic time may stop with it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since 1970-01-01T00:00:00Z, without leap seconds (RFC 7519 "NumericDate").
pub type UnixSeconds = u64;

/// Where the time comes from: [`Clock::system`], or a function of a test's.
#[derive(Debug, Clone, Copy)]
pub struct Clock(fn() -> SystemTime);

impl Clock {
    /// The machine's clock.
    pub const fn system() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that asks the machine for the time"
        )]
        Self(SystemTime::now)
    }

    /// A clock that asks `now`.
    pub const fn from_fn(now: fn() -> SystemTime) -> Self {
        Self(now)
    }

    /// The time now.
    pub fn now(self) -> SystemTime {
        (self.0)()
    }

    /// The time now in whole seconds since the epoch.
    pub fn unix(self) -> UnixSeconds {
        self.since_epoch().as_secs()
    }

    /// The time now in milliseconds since the epoch.
    pub fn unix_millis(self) -> u64 {
        u64::try_from(self.since_epoch().as_millis()).unwrap_or(u64::MAX)
    }

    fn since_epoch(self) -> Duration {
        self.now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// `seconds` as RFC 3339 in UTC, such as `2026-11-20T10:00:00Z`; `None` beyond the year 9999.
pub fn rfc3339(seconds: UnixSeconds) -> Option<String> {
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};
    let seconds = i64::try_from(seconds).ok()?;
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()?
        .format(&Rfc3339)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_rfc_3339() {
        assert_eq!(rfc3339(0).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(
            rfc3339(1_795_000_000).as_deref(),
            Some("2026-11-18T11:06:40Z")
        );
        assert_eq!(rfc3339(u64::MAX), None);
    }
}
