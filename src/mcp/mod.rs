//! The MCP edge: JSON-RPC messages of both protocol eras in, answers out.
//!
//! Owns the protocol: what a message is ([`Incoming`]), which revision it speaks, what each method answers, and every
//! error code. It works on raw JSON and splices only the members that are ours. It knows the HTTP headers that MCP
//! mirrors from the body ([`Wire`]) and the status each answer has, and nothing else of the transport: the doors turn a
//! [`Reply`] into an HTTP response, a stream of events, or lines.
//! Source: the Model Context Protocol specification, revisions 2024-11-05 to 2026-07-28.

mod call;
mod cancel;
mod envelope;
mod error;
mod message;
mod registry;
mod reply;
mod scopes;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};

pub use envelope::{LEGACY_VERSIONS, MODERN_VERSION, Wire};
pub use error::RpcError;
pub use message::{Id, Incoming, Message};
pub use registry::{Registry, RegistryError};
pub use reply::{Refusal, Reply};
pub use scopes::ToolScopes;

use crate::{
    context::RuntimeContext,
    telemetry::Metrics,
    tools::{Gate, Progress, ProgressUpdate},
};
use cancel::InFlight;
use envelope::Era;
use message::Kind;
use reply::{Body, progress_notification};

/// What `initialize` and `server/discover` tell a model about this server.
const INSTRUCTIONS: &str = "Every call runs as you: AWS tools use the IAM role of your token. Call whoami to see who \
    this server takes you for, and auth_status when an AWS tool fails.";

/// How long clients may keep what `server/discover` and `tools/list` say, in milliseconds.
const TTL_MS: u32 = 300_000;

/// Messages of a batch that are answered at once. Each may hold all that its tool reads before its answer is cut to size.
const BATCH_AT_ONCE: usize = 4;

/// The largest answer to a batch, whatever the way back carries: it is held whole.
const MAX_BATCH_BYTES: usize = 16_000_000;

/// Progress reports that wait for a slow client.
const PROGRESS_BUFFER: usize = 32;

/// What the way back can carry.
#[derive(Debug, Clone, Copy)]
pub struct Delivery {
    /// Whether messages can be sent one after the other.
    pub streams: bool,
    /// The largest answer, in bytes.
    pub max_bytes: usize,
    /// Whether it is carried inside a JSON string, where a quote takes two bytes.
    pub escaped: bool,
    /// When an answer must be on its way; what is a stream by then ends with an error.
    pub until: Option<Instant>,
}

/// The edge: one for a process.
pub struct Edge {
    registry: Registry,
    gate: Arc<Gate>,
    scopes: ToolScopes,
    in_flight: InFlight,
    tool_timeout: Duration,
    metrics: Metrics,
}

impl Edge {
    /// An edge that serves these tools, to callers whose tokens hold these scopes, each call as far as `gate` admits it.
    pub fn new(
        registry: Registry,
        gate: Arc<Gate>,
        scopes: ToolScopes,
        tool_timeout: Duration,
        metrics: Metrics,
    ) -> Self {
        Self {
            registry,
            gate,
            scopes,
            in_flight: InFlight::default(),
            tool_timeout,
            metrics,
        }
    }

    /// Reads a body: a message, or a batch of them. Nothing is done yet.
    pub fn receive(&self, wire: Wire<'_>, body: &Bytes) -> Result<Incoming, Refusal> {
        message::receive(wire, body, &self.registry)
    }

    /// Answers what was received, in the context of its caller. Where the way back streams, progress that the client
    /// asked for is sent on as it comes: an answer becomes a stream with its first report. An answer that does not fit
    /// is replaced by an error that says so.
    pub async fn answer(
        self: Arc<Self>,
        context: Arc<RuntimeContext>,
        incoming: Incoming,
        delivery: Delivery,
    ) -> Reply {
        match incoming {
            Incoming::Batch(messages) => self.answer_batch(&context, messages, delivery).await,
            Incoming::One(message) => match message.progress_token() {
                Some(token) if delivery.streams => {
                    self.answer_with_progress(context, token, message, delivery)
                        .await
                }
                _ => {
                    let body = self.respond(&context, message, Progress::ignored()).await;
                    body.map_or(Reply::Accepted, |body| {
                        Reply::from(body.fitted(delivery.max_bytes, delivery.escaped))
                    })
                }
            },
        }
    }

    async fn answer_batch(
        &self,
        context: &Arc<RuntimeContext>,
        messages: Vec<Result<Message, Refusal>>,
        delivery: Delivery,
    ) -> Reply {
        let asked = messages.iter().filter(|message| match message {
            Ok(message) => matches!(message.kind, Kind::Request { .. }),
            Err(_) => true,
        });
        let share = delivery.max_bytes.min(MAX_BATCH_BYTES) / asked.count().max(1);
        let turns = Semaphore::new(BATCH_AT_ONCE);
        let answers = messages.into_iter().map(|message| async {
            let answer = match message {
                Ok(message) => {
                    // A notification waits for nobody: it may cancel what runs.
                    let is_request = matches!(message.kind, Kind::Request { .. });
                    let _turn = if is_request {
                        turns.acquire().await.ok()
                    } else {
                        None
                    };
                    self.respond(context, message, Progress::ignored()).await
                }
                Err(refusal) => Some(Body::refused(&refusal)),
            };
            // As it comes: all that do not fit, at once, would be more than an instance holds.
            answer.map(|answer| answer.fitted(share, delivery.escaped))
        });
        let answers: Vec<Body> = futures_util::future::join_all(answers)
            .await
            .into_iter()
            .flatten()
            .collect();
        if answers.is_empty() {
            Reply::Accepted
        } else {
            Reply::batch(&answers)
        }
    }

    async fn answer_with_progress(
        self: Arc<Self>,
        context: Arc<RuntimeContext>,
        token: Id,
        message: Message,
        delivery: Delivery,
    ) -> Reply {
        let (sender, reports) = mpsc::channel(PROGRESS_BUFFER);
        let edge = Arc::clone(&self);
        let work = async move {
            let id = message.id().cloned();
            let work = edge.respond(&context, message, Progress::new(sender));
            let Some(until) = delivery.until else {
                return work.await;
            };
            if let Ok(body) = tokio::time::timeout_at(until, work).await {
                return body;
            }
            context.trail().note_outcome("out_of_time");
            let request_id = &**context.request_id();
            tracing::warn!(request_id, "the function's time is up");
            let error = RpcError::out_of_time();
            Some(Body::refused(&Refusal { id, error }))
        };
        let mut steps = steps(work, reports);
        let Delivery {
            max_bytes, escaped, ..
        } = delivery;
        match steps.next().await {
            Some(Step::Answer(Some(body))) => Reply::from(body.fitted(max_bytes, escaped)),
            Some(Step::Answer(None)) | None => Reply::Accepted,
            Some(report) => {
                let first = futures_util::stream::once(std::future::ready(report));
                // Each report takes its part of what the way back carries.
                let mut left = max_bytes;
                let messages = first.chain(steps).filter_map(move |step| {
                    std::future::ready(match step {
                        Step::Report(report) => {
                            let report = progress_notification(&token, &report);
                            left = left.saturating_sub(report.len());
                            Some(report)
                        }
                        Step::Answer(body) => {
                            body.and_then(|body| body.fitted(left, escaped).into_sent())
                        }
                    })
                });
                Reply::Stream(messages.boxed())
            }
        }
    }

    /// The answer to one message; `None` to a notification.
    async fn respond(
        &self,
        context: &Arc<RuntimeContext>,
        message: Message,
        progress: Progress,
    ) -> Option<Body> {
        let Message { era, kind } = message;
        match kind {
            Kind::Response => None,
            Kind::Notification { method, params } => {
                if method == "notifications/cancelled" {
                    self.in_flight.cancel(context, params.as_ref());
                }
                None
            }
            Kind::Request { id, method, params } => {
                context.trail().note_method(known_method(&method));
                let answer = match (method.as_str(), era) {
                    ("tools/call", _) => {
                        return Some(self.call(context, era, id, params.as_ref(), progress).await);
                    }
                    ("tools/list", _) => self.registry.list(era, params.as_ref()),
                    ("server/discover", Era::Modern) => Ok(discover()),
                    ("initialize", Era::Legacy) => initialize(params.as_ref()),
                    ("ping", Era::Legacy) => Ok("{}".to_owned()),
                    _ => Err(RpcError::method_not_found(&method, era)),
                };
                if answer.is_err() {
                    context.trail().note_outcome("rpc_error");
                }
                Some(match answer {
                    Ok(result) => Body::result(&id, &result),
                    Err(error) => Body::refused(&Refusal {
                        id: Some(id),
                        error,
                    }),
                })
            }
        }
    }
}

/// What of a method's name may be logged: unknown ones could hold anything, of any length.
fn known_method(method: &str) -> &'static str {
    [
        "tools/call",
        "tools/list",
        "server/discover",
        "initialize",
        "ping",
    ]
    .into_iter()
    .find(|known| *known == method)
    .unwrap_or("(other)")
}

/// What comes of a request that reports progress.
enum Step {
    Report(ProgressUpdate),
    /// The last one.
    Answer(Option<Body>),
}

/// Runs `work` as far as its steps are asked for. All that it reported comes before its answer.
fn steps(
    work: impl Future<Output = Option<Body>> + Send + 'static,
    reports: mpsc::Receiver<ProgressUpdate>,
) -> BoxStream<'static, Step> {
    /// The work, or what came of it until that is sent.
    enum State {
        Running(BoxFuture<'static, Option<Body>>),
        Done(Option<Body>),
        Sent,
    }
    let state = (State::Running(work.boxed()), reports);
    futures_util::stream::unfold(state, |(mut state, mut reports)| async {
        if let State::Running(work) = &mut state {
            tokio::select! {
                biased;
                Some(report) = reports.recv() => return Some((Step::Report(report), (state, reports))),
                body = work => state = State::Done(body),
            }
        }
        match (state, reports.try_recv()) {
            (State::Done(body), Err(_)) => Some((Step::Answer(body), (State::Sent, reports))),
            (state @ State::Done(_), Ok(report)) => Some((Step::Report(report), (state, reports))),
            (State::Running(_) | State::Sent, _) => None,
        }
    })
    .boxed()
}

/// `{"name":…,"version":…}` of this server.
fn server_info() -> String {
    format!(
        r#"{{"name":"rolecall","title":"Rolecall","version":"{}"}}"#,
        env!("CARGO_PKG_VERSION")
    )
}

/// The member that a modern result carries: who answered.
fn server_info_meta() -> String {
    format!(
        r#""_meta":{{"io.modelcontextprotocol/serverInfo":{}}}"#,
        server_info()
    )
}

/// `server/discover`, 2026-07-28.
fn discover() -> String {
    format!(
        r#"{{"resultType":"complete","supportedVersions":["{MODERN_VERSION}"],"capabilities":{{"tools":{{}}}},"instructions":{},"ttlMs":{TTL_MS},"cacheScope":"private",{}}}"#,
        serde_json::Value::from(INSTRUCTIONS),
        server_info_meta()
    )
}

/// `initialize`: the legacy handshake. It is stateless: nothing is remembered.
fn initialize(params: Option<&Bytes>) -> Result<String, RpcError> {
    let version = envelope::negotiate(params)?;
    Ok(format!(
        r#"{{"protocolVersion":"{version}","capabilities":{{"tools":{{}}}},"serverInfo":{},"instructions":{}}}"#,
        server_info(),
        serde_json::Value::from(INSTRUCTIONS)
    ))
}
