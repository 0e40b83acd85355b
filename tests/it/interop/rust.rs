//! rmcp as a client, driven by the same plan as the others.

use std::sync::Mutex;

use rmcp::{
    ClientHandler, ClientLifecycleMode, ClientServiceExt, RoleClient,
    model::{
        CallToolRequestParams, ClientRequest, ProgressNotificationParam, ProgressToken,
        ProtocolVersion, Request, ServerResult,
    },
    service::{NotificationContext, PeerRequestOptions, RunningService, ServiceError},
    transport::{
        StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use super::client::{Failure, Step};

/// Keeps the progress that is reported.
#[derive(Default)]
struct Handler {
    reports: Mutex<Vec<ProgressNotificationParam>>,
    reported: Notify,
}

impl Handler {
    /// The reports of one call.
    fn of(&self, token: &ProgressToken) -> Vec<Value> {
        let reports = self.reports.lock().unwrap();
        reports
            .iter()
            .filter(|report| report.progress_token == *token)
            .map(|report| json!(report))
            .collect()
    }
}

impl ClientHandler for Handler {
    async fn on_progress(
        &self,
        report: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.reports.lock().unwrap().push(report);
        self.reported.notify_one();
    }
}

/// Does the steps of a plan; gives what was seen.
pub fn converse(
    mode: &str,
    url: &str,
    token: &str,
    steps: &Value,
    words: mpsc::UnboundedReceiver<()>,
) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    match runtime.block_on(run(mode, url, token, steps, words)) {
        Ok(seen) => json!({ "seen": seen }),
        Err(refused) => json!({ "refused": refused }),
    }
}

fn lifecycle(mode: &str) -> ClientLifecycleMode {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    match mode {
        "initialize" => ClientLifecycleMode::Initialize,
        "discover" => ClientLifecycleMode::Discover { preferred_versions },
        "auto" => ClientLifecycleMode::Auto {
            preferred_versions,
            legacy_version: Some(ProtocolVersion::V_2025_11_25),
        },
        other => panic!("rmcp has no mode {other}"),
    }
}

async fn run(
    mode: &str,
    url: &str,
    token: &str,
    steps: &Value,
    mut words: mpsc::UnboundedReceiver<()>,
) -> Result<Value, Failure> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(token);
    let transport = StreamableHttpClientTransport::with_client(http, config);
    let client = Handler::default()
        .serve_with_lifecycle(transport, lifecycle(mode))
        .await
        .map_err(|error| failure("ClientInitializeError", Value::Null, &error))?;
    let mut seen = Vec::new();
    for step in steps.as_array().unwrap() {
        seen.push(perform(&client, step, &mut words).await);
    }
    let server = client.peer_info().unwrap();
    let seen = json!({
        "version": server.protocol_version,
        "server": server.server_info,
        "steps": seen,
    });
    client.cancel().await.unwrap();
    Ok(seen)
}

async fn perform(
    client: &RunningService<RoleClient, Handler>,
    step: &Value,
    words: &mut mpsc::UnboundedReceiver<()>,
) -> Step {
    if step["wait"] == true {
        words.recv().await.unwrap();
    }
    if step["list"] == true {
        let tools = client.list_all_tools().await.unwrap();
        let tools = tools.iter().map(|tool| json!(tool)).collect();
        return Step {
            tools: Some(tools),
            ..Step::default()
        };
    }
    let arguments = step["arguments"].as_object().unwrap().clone();
    let call = CallToolRequestParams::new(step["call"].as_str().unwrap().to_owned())
        .with_arguments(arguments);
    let request = ClientRequest::CallToolRequest(Request::new(call));
    let handle = client
        .send_cancellable_request(request, PeerRequestOptions::no_options())
        .await
        .unwrap();
    let token = handle.progress_token.clone();
    let answer = if step["cancel"] == true {
        words.recv().await.unwrap();
        while client.service().of(&token).is_empty() {
            client.service().reported.notified().await;
        }
        handle
            .cancel(Some("changed my mind".to_owned()))
            .await
            .unwrap();
        Err(ServiceError::Cancelled { reason: None })
    } else {
        handle.await_response().await
    };
    let progress = client.service().of(&token);
    let mut seen = Step {
        progress,
        ..Step::default()
    };
    match answer {
        Ok(ServerResult::CallToolResult(result)) => seen.result = Some(json!(result)),
        Ok(other) => panic!("not the result of a tool: {other:?}"),
        Err(ServiceError::McpError(error)) => {
            seen.error = Some(Failure {
                kind: "McpError".to_owned(),
                code: json!(error.code),
                message: error.message.into_owned(),
            });
        }
        Err(error) => seen.error = Some(failure("ServiceError", Value::Null, &error)),
    }
    seen
}

/// An error with all that caused it.
fn failure(kind: &str, code: Value, error: &dyn std::error::Error) -> Failure {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    Failure {
        kind: kind.to_owned(),
        code,
        message: texts.join(": "),
    }
}
