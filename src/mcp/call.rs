//! `tools/call`: the one place where a caller's scope is entered.

use std::{panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Edge, Id, MODERN_VERSION, Refusal, RpcError,
    envelope::{Era, declares},
    reply::Body,
    server_info_meta,
};
use crate::{
    context::{Environment, RuntimeContext},
    telemetry::Metric,
    tools::{Output, Progress, ToolError},
};

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    name: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

impl Edge {
    pub(super) async fn call(
        &self,
        context: &Arc<RuntimeContext>,
        era: Era,
        id: Id,
        params: Option<&Bytes>,
        progress: Progress,
    ) -> Body {
        // A modern client over HTTP cancels by going away, which drops all of this.
        let by_notification =
            era == Era::Legacy || context.environment() == Environment::DesktopStdio;
        let listed = if by_notification {
            self.in_flight.list(context, &id)
        } else {
            None
        };
        let cancelled = async {
            match &listed {
                Some(listed) => listed.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let outcome = tokio::select! {
            biased;
            () = cancelled => {
                context.trail().note_outcome("cancelled");
                return Body::cancelled(id);
            }
            outcome = self.run(context, era, params, progress) => outcome,
        };
        match outcome {
            Ok(answer) => {
                let failed = answer.is_err();
                let metrics: &[Metric] = if failed {
                    &[Metric::ToolCalls, Metric::ToolErrors]
                } else {
                    &[Metric::ToolCalls]
                };
                self.metrics.emit(metrics, context.request_id());
                if failed {
                    context.trail().note_outcome("tool_error");
                }
                Body::result(&id, &call_result(era, answer))
            }
            Err(error) => {
                context.trail().note_outcome("rpc_error");
                Body::refused(&Refusal {
                    id: Some(id),
                    error,
                })
            }
        }
    }

    async fn run(
        &self,
        context: &Arc<RuntimeContext>,
        era: Era,
        params: Option<&Bytes>,
        progress: Progress,
    ) -> Result<Result<Output, ToolError>, RpcError> {
        let params =
            params.ok_or_else(|| RpcError::invalid_params("`params.name` must name a tool."))?;
        let Call { name, arguments } = serde_json::from_slice(params).map_err(|_| {
            RpcError::invalid_params(
                "`params` must hold `name`, a string, and `arguments`, an object.",
            )
        })?;
        let arguments = match arguments {
            None => RawValue::NULL.to_owned(),
            Some(raw) => raw.to_owned(),
        };
        let arguments = match arguments.get() {
            "null" => serde_json::value::to_raw_value(&serde_json::json!({}))
                .map_err(|_| RpcError::internal())?,
            text if text.starts_with('{') => arguments,
            _ => {
                return Err(RpcError::invalid_params(
                    "`params.arguments` must be an object.",
                ));
            }
        };
        let tool = self.registry.tool(&name).ok_or_else(|| {
            let name: String = name.chars().take(64).collect();
            RpcError::invalid_params(format!(
                "There is no tool {name:?}: tools/list names them all."
            ))
        })?;
        context.trail().note_tool(tool.name());
        if let Some(scope) = self.scopes.lacking(context, tool.name()) {
            context.trail().note_reason("insufficient_scope");
            return Err(RpcError::insufficient_scope(scope));
        }
        if let Some(required) = tool
            .required()
            .filter(|required| !declares(params, required))
        {
            // What a client declared in a handshake is not remembered, and there is no way to ask it anything.
            return match era {
                Era::Modern => Err(RpcError::missing_capability(required)),
                Era::Legacy => Ok(Err(ToolError::new(format!(
                    "This tool needs a client of protocol revision {MODERN_VERSION} with the capabilities {required}."
                )))),
            };
        }
        // The one gate: no tool runs that the caller's claims do not permit.
        if let Err(denial) = self.gate.admit(context, tool.name(), &arguments) {
            return Ok(Err(denial.into()));
        }
        let scoped = Arc::new(context.with_access(tool.effect().access()));
        let work = scoped.scope(async move { tool.call(arguments, progress).await });
        match tokio::time::timeout(self.tool_timeout, AssertUnwindSafe(work).catch_unwind()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => {
                tracing::error!(request_id = %context.request_id(), tool = tool.name(), "a tool panicked");
                Err(RpcError::internal())
            }
            Err(_) => Ok(Err(ToolError::new(format!(
                "The tool did not finish within {} seconds. Ask for less at once, or try again.",
                self.tool_timeout.as_secs()
            )))),
        }
    }
}

/// A `CallToolResult`.
fn call_result(era: Era, answer: Result<Output, ToolError>) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let members = match answer {
        Ok(Output::Result(result)) => return with_era(era, result.get()),
        Ok(Output::Structured(value)) => format!(
            r#""content":[{{"type":"text","text":{}}}],"structuredContent":{}"#,
            text(value.get()),
            value.get()
        ),
        Err(error) => {
            format!(
                r#""content":[{{"type":"text","text":{}}}],"isError":true"#,
                text(&error.to_string())
            )
        }
    };
    match era {
        Era::Legacy => format!("{{{members}}}"),
        Era::Modern => format!(
            r#"{{"resultType":"complete",{members},{}}}"#,
            server_info_meta()
        ),
    }
}

/// A whole result as its tool gave it, with the members that only the modern era has spliced in where they lack.
fn with_era(era: Era, result: &str) -> String {
    #[derive(Deserialize)]
    struct Known<'a> {
        #[serde(borrow, rename = "resultType")]
        result_type: Option<&'a RawValue>,
        #[serde(borrow, rename = "_meta")]
        meta: Option<&'a RawValue>,
    }
    let Ok(known) = serde_json::from_str::<Known<'_>>(result) else {
        return result.to_owned();
    };
    let mut ours = Vec::new();
    if era == Era::Modern && known.result_type.is_none() {
        ours.push(r#""resultType":"complete""#.to_owned());
    }
    if era == Era::Modern && known.meta.is_none() {
        ours.push(server_info_meta());
    }
    match result.trim_start().strip_prefix('{') {
        Some(rest) if !ours.is_empty() => {
            let comma = if rest.trim_start().starts_with('}') {
                ""
            } else {
                ","
            };
            format!("{{{}{comma}{rest}", ours.join(","))
        }
        _ => result.to_owned(),
    }
}
