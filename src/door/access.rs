//! The access log: one line a request, whichever door it came through and however it ended.

use std::{sync::Arc, time::Instant};

use axum::http::StatusCode;

use crate::telemetry::Trail;

/// One line, written when it is dropped: also by a caller who went away.
pub(super) struct AccessLine {
    id: Arc<str>,
    trail: Arc<Trail>,
    http: Option<HttpLine>,
    started: Instant,
    status: Option<StatusCode>,
    /// How the log calls a request that ends now; `None` once all of its answer is there.
    unfinished: Option<&'static str>,
}

/// What only HTTP has.
pub(super) struct HttpLine {
    /// One of the usual methods: any other could hold anything.
    pub(super) method: &'static str,
    /// One of the paths we know: any other could hold anything.
    pub(super) path: &'static str,
    /// How the log calls a request that its door gave up.
    pub(super) given_up: &'static str,
}

impl AccessLine {
    /// The line of a request that begins now.
    pub(super) fn new(id: Arc<str>, trail: Arc<Trail>, http: Option<HttpLine>) -> Self {
        let given_up = http.as_ref().map_or("client_gone", |http| http.given_up);
        Self {
            id,
            trail,
            http,
            started: Instant::now(),
            status: None,
            unfinished: Some(given_up),
        }
    }

    /// Notes that there is an answer.
    pub(super) fn answered(&mut self, status: Option<StatusCode>) {
        self.status = status;
        self.unfinished = None;
    }

    /// Notes that an answer begins, which breaks off unless its end is noted.
    pub(super) fn begun(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.unfinished = Some("broken_off");
    }

    /// Notes the end of an answer that had begun.
    pub(super) fn ended(&mut self) {
        self.unfinished = None;
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        let milliseconds = (self.started.elapsed().as_secs_f64() * 1_000_000.0).round() / 1_000.0;
        tracing::info!(
            request_id = %self.id,
            http_method = self.http.as_ref().map(|http| http.method),
            path = self.http.as_ref().map(|http| http.path),
            status = self.status.map(|status| status.as_u16()),
            duration_ms = milliseconds,
            subject = self.trail.subject(),
            rpc_method = self.trail.method(),
            tool = self.trail.tool(),
            role_session = self.trail.role_session(),
            reason = self.trail.reason(),
            outcome = self.unfinished.or_else(|| self.trail.outcome()),
            "request"
        );
    }
}
