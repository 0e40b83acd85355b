//! The Lambda door: events of API Gateway (v1 and v2), Function URLs and ALBs, in and out.
//!
//! Owns the loop with Lambda's Runtime API ([`runtime_api`] asks for events, [`answer`] sends what is answered:
//! docs/decisions/0010), and the reading of events. An event is parsed into a checked form of its own before it is a request
//! ([`event`]), so that nothing in it can panic, confuse a path, or hide a second `Authorization` header: docs/decisions/0003.
//! A bad event is answered with 400, and the instance lives on. Answers are whole, or streams, as the front door reads them:
//! docs/decisions/0006.

mod answer;
mod event;
mod response;
mod runtime_api;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Response, StatusCode},
};
use futures_util::FutureExt;
use tokio::{sync::watch, task::JoinSet, time::Instant};
use tower::ServiceExt;

use super::{
    error,
    layers::{self, Deadline, RequestId},
    mcp::AnswerLimit,
};
use crate::{
    clock::Clock,
    config::{InvokeMode, Lambda},
};
use answer::Answer;
use event::{BadEvent, FrontDoor, Parsed};
use response::LambdaResponse;
use runtime_api::{Invocation, RuntimeApi};

/// How long before the function's own timeout a request is given up, so that its caller gets an answer at all.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long after that an answer may still be read: until the function's timeout has passed, and nobody waits for it.
const TOO_LATE: Duration = Duration::from_secs(1);

/// How long is waited before an event is asked for again, after each time that there was none. Whoever waits longer is better
/// served by another instance.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
];

/// How long what is being answered may take to be finished once the process is told to end. Source: Lambda developer guide,
/// "Understanding the Lambda execution environment lifecycle": the shutdown phase is 2 s at most.
const GRACE: Duration = Duration::from_millis(1_500);

/// Lambda gives no more events. Ended, the process is replaced by another.
#[derive(Debug, thiserror::Error)]
#[error("Lambda gives this instance no more events: the log says why")]
pub struct NoMoreEvents;

/// Answers `function`'s events with `router`, in the way that `mode` says the front door reads, as many at once as Lambda gives,
/// until it is told to `stop`. What is being answered then is finished, if it is soon.
pub async fn serve(
    router: Router,
    base_path: String,
    clock: Clock,
    mode: InvokeMode,
    function: &Lambda,
    stop: impl Future<Output = ()>,
) -> Result<(), NoMoreEvents> {
    let door = Arc::new(Door {
        router,
        base_path,
        clock,
        mode,
    });
    let ended = watch::Sender::new(false);
    let mut workers = JoinSet::new();
    for _ in 0..function.max_concurrency.get() {
        let api = RuntimeApi::new(&function.runtime_api);
        workers.spawn(Arc::clone(&door).work(api, ended.clone()));
    }
    let all = async {
        while let Some(worker) = workers.join_next().await {
            if worker.is_err() {
                // A defect outside all guards. An instance with fewer workers than Lambda counts on is worse than another
                // one.
                tracing::error!("a worker ended");
                ended.send_replace(true);
            }
        }
    };
    tokio::pin!(all);
    tokio::select! {
        () = &mut all => return Err(NoMoreEvents),
        () = stop => {}
    }
    ended.send_replace(true);
    let _ = tokio::time::timeout(GRACE, all).await;
    Ok(())
}

/// What answers events.
struct Door {
    router: Router,
    base_path: String,
    clock: Clock,
    mode: InvokeMode,
}

impl Door {
    /// Answers one event after the other, until there is none, or all has `ended`.
    async fn work(self: Arc<Self>, mut api: RuntimeApi, ended: watch::Sender<bool>) {
        let mut end = ended.subscribe();
        let mut pauses = PAUSES.iter();
        while let Some(next) = api.next(&mut end).await {
            match next {
                Ok(invocation) => {
                    pauses = PAUSES.iter();
                    self.answer(&mut api, &invocation).await;
                }
                Err(reason) => {
                    tracing::error!(%reason, "no event");
                    let Some(&pause) = pauses.next() else {
                        ended.send_replace(true);
                        return;
                    };
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn answer(&self, api: &mut RuntimeApi, invocation: &Invocation) {
        let until = Instant::now() + self.time_left(invocation) + TOO_LATE;
        let event = std::str::from_utf8(&invocation.event).unwrap_or_default();
        let (front_door, response) = self.respond(event, invocation).await;
        let answer = if self.mode == InvokeMode::ResponseStream && front_door.streams() {
            Answer::Streamed(front_door, response)
        } else {
            Answer::Whole(LambdaResponse::write(front_door, response).await)
        };
        answer::send(api, invocation, answer, until).await;
    }

    /// What is answered to an event. A defect ends neither the process nor one of its workers.
    async fn respond(&self, event: &str, invocation: &Invocation) -> (FrontDoor, Response<Body>) {
        AssertUnwindSafe(self.respond_unguarded(event, invocation))
            .catch_unwind()
            .await
            // What kind of event it was is not known any more.
            .unwrap_or_else(|panic| (FrontDoor::RestApi, layers::panicked(panic)))
    }

    async fn respond_unguarded(
        &self,
        event: &str,
        invocation: &Invocation,
    ) -> (FrontDoor, Response<Body>) {
        let request_id = invocation.id.as_str();
        let parsed = event::parse(event, &self.base_path);
        let front_door = match &parsed {
            Ok(Parsed { front_door, .. }) | Err(BadEvent { front_door, .. }) => *front_door,
        };
        if self.mode == InvokeMode::ResponseStream && !front_door.streams() {
            tracing::error!(
                request_id,
                ?front_door,
                "this front door does not read streams: ROLECALL_INVOKE_MODE must be BUFFERED"
            );
            return (front_door, misconfigured());
        }
        let mut request = match parsed {
            Ok(parsed) => parsed.request,
            Err(BadEvent { reason, .. }) => {
                tracing::warn!(request_id, reason, "bad event");
                let response = error::plain(StatusCode::BAD_REQUEST, "The request is malformed.");
                return (front_door, response);
            }
        };
        let extensions = request.extensions_mut();
        extensions.insert(RequestId(request_id.into()));
        extensions.insert(front_door.answer_limit(self.mode));
        extensions.insert(Deadline(Instant::now() + self.time_left(invocation)));
        let Ok(response) = self.router.clone().oneshot(request).await;
        (front_door, response.map(Body::new))
    }

    fn time_left(&self, invocation: &Invocation) -> Duration {
        time_left(invocation.deadline, self.clock.unix_millis())
    }
}

/// An answer that a front door can read, to whoever would otherwise get one that looks like a success, or like none.
fn misconfigured() -> Response<Body> {
    error::plain(
        StatusCode::INTERNAL_SERVER_ERROR,
        "This function is set to answer in streams, which its front door does not read. Its operator must set ROLECALL_INVOKE_MODE to BUFFERED.",
    )
}

/// An event as a request, or why it is none, for the fuzzer.
#[cfg(fuzzing)]
pub fn request_of_event(
    event: &str,
    base_path: &str,
) -> Result<axum::http::Request<Body>, &'static str> {
    event::parse(event, base_path)
        .map(|parsed| parsed.request)
        .map_err(|bad| bad.reason)
}

/// How long a request may still take. Both times in milliseconds since the epoch.
fn time_left(deadline: u64, now: u64) -> Duration {
    Duration::from_millis(deadline.saturating_sub(now)).saturating_sub(LAST_WORDS)
}

impl FrontDoor {
    /// Whether it can call a function for a streamed answer.
    fn streams(self) -> bool {
        matches!(self, Self::RestApi | Self::FunctionUrl)
    }

    /// The largest answer that this front door passes on, with room for headers and what is around it.
    /// Source: Lambda quotas (6 MB; streamed, 200 MB); ELB user guide, "Lambda functions as targets" (1 MB).
    fn answer_limit(self, mode: InvokeMode) -> AnswerLimit {
        if mode == InvokeMode::ResponseStream {
            return AnswerLimit {
                bytes: 200_000_000 - 65_536,
                escaped: false,
            };
        }
        let bytes = match self {
            Self::AlbSingle | Self::AlbMulti => 1_000_000 - 16_384,
            Self::RestApi | Self::HttpApi | Self::HttpApiV1 | Self::FunctionUrl => {
                6_000_000 - 65_536
            }
        };
        AnswerLimit {
            bytes,
            escaped: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// A function whose Runtime API keeps the first who ask for an event waiting, so many, and answers this to all others.
    /// Gives how often it was asked.
    async fn polls_of(concurrency: u16, waiting: usize, answer: &'static [u8]) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let function = Lambda {
            runtime_api: format!("http://{}", listener.local_addr().unwrap())
                .parse()
                .unwrap(),
            function_name: "f".to_owned(),
            max_concurrency: concurrency.try_into().unwrap(),
        };
        let polls = AtomicUsize::new(0);
        let api = async {
            let mut kept = Vec::new();
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut request = [0; 4_096];
                let length = connection.read(&mut request).await.unwrap();
                assert!(request[..length].starts_with(b"GET /2018-06-01/runtime/invocation/next "));
                if polls.fetch_add(1, Ordering::Relaxed) < waiting {
                    kept.push(connection);
                } else {
                    connection.write_all(answer).await.unwrap();
                }
            }
        };
        let mode = InvokeMode::Buffered;
        let serving = serve(
            Router::new(),
            String::new(),
            Clock::system(),
            mode,
            &function,
            std::future::pending(),
        );
        let ended = tokio::time::timeout(Duration::from_secs(20), async {
            tokio::select! { served = serving => assert!(served.is_err()), () = api => {} }
        });
        ended.await.expect("it goes on");
        polls.into_inner()
    }

    #[tokio::test]
    async fn what_gives_no_events_is_asked_a_few_times_and_left() {
        for answer in [
            &b"HTTP/1.1 500 Internal Server Error\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: a b\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: a\r\nconnection: close\r\ncontent-length: 9\r\n\r\n{}",
            b"garbage\r\n\r\n",
            b"",
        ] {
            let polls = polls_of(1, 0, answer).await;
            assert_eq!(polls, 1 + PAUSES.len(), "{}", answer.escape_ascii());
        }
    }

    #[tokio::test]
    async fn one_worker_without_events_ends_all() {
        let refusal =
            b"HTTP/1.1 500 Internal Server Error\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let polls = polls_of(3, 2, refusal).await;
        assert_eq!(polls, 2 + 1 + PAUSES.len(), "the others go on waiting");
    }

    #[tokio::test]
    async fn a_defect_is_an_answer_in_either_mode() {
        async fn defect() {
            panic!("a defect of ours");
        }
        for mode in [InvokeMode::Buffered, InvokeMode::ResponseStream] {
            let door = Door {
                router: Router::new().fallback(defect),
                base_path: String::new(),
                clock: Clock::system(),
                mode,
            };
            let event = r#"{"httpMethod":"GET","path":"/","requestContext":{}}"#;
            let (front_door, response) = door.respond(event, &Invocation::default()).await;
            let expected = (FrontDoor::RestApi, StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!((front_door, response.status()), expected, "{mode:?}");
        }
    }

    #[test]
    fn a_request_is_given_up_before_its_deadline() {
        let now = 1_700_000_000_000;
        for (left, expected) in [(30_000, 29_500), (501, 1), (500, 0), (0, 0)] {
            assert_eq!(
                time_left(now + left, now),
                Duration::from_millis(expected),
                "{left}"
            );
        }
        assert_eq!(time_left(now, now + 1), Duration::ZERO, "it is over");
    }
}
