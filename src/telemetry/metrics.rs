//! Metrics in CloudWatch's Embedded Metric Format: a JSON line that the log agent turns into metrics.
//!
//! Owns the metrics' names, which alarms refer to. In come counts and durations; out go lines on standard output.
//! Source: CloudWatch user guide, "Specification: Embedded metric format".

use std::{io::Write, time::Duration};

use serde_json::json;

use crate::{
    clock::Clock,
    config::{MetricsMode, Process, TelemetrySection},
};

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// STS gave credentials.
    RoleAssumptionSuccess,
    /// STS refused or did not answer.
    RoleAssumptionFailure,
    /// How long STS took, in milliseconds.
    RoleAssumptionLatency(Duration),
    /// A request was refused for its token, for the role it asked for, or because too many tokens waited to be judged.
    AuthFailures,
    /// A token could not be judged: a secret, an issuer's keys or its verdict could not be had.
    AuthUnavailable,
    /// A tool was called.
    ToolCalls,
    /// A tool's answer was an error.
    ToolErrors,
}

impl Metric {
    /// The name in CloudWatch.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoleAssumptionSuccess => "RoleAssumptionSuccess",
            Self::RoleAssumptionFailure => "RoleAssumptionFailure",
            Self::RoleAssumptionLatency(_) => "RoleAssumptionLatency",
            Self::AuthFailures => "AuthFailures",
            Self::AuthUnavailable => "AuthUnavailable",
            Self::ToolCalls => "ToolCalls",
            Self::ToolErrors => "ToolErrors",
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::RoleAssumptionLatency(_) => "Milliseconds",
            _ => "Count",
        }
    }

    fn value(self) -> f64 {
        match self {
            Self::RoleAssumptionLatency(latency) => latency.as_secs_f64() * 1_000.0,
            _ => 1.0,
        }
    }
}

/// Writes measurements, if the configuration wants them.
#[derive(Debug, Clone)]
pub struct Metrics {
    target: Option<Target>,
    clock: Clock,
}

#[derive(Debug, Clone)]
struct Target {
    namespace: String,
    function: String,
}

impl Metrics {
    /// As the configuration says; `auto` writes on Lambda only.
    pub fn new(section: &TelemetrySection, process: &Process, clock: Clock) -> Self {
        let wanted = match section.metrics {
            MetricsMode::Auto => process.lambda.is_some(),
            MetricsMode::Emf => true,
            MetricsMode::Off => false,
        };
        let function = process
            .lambda
            .as_ref()
            .map_or("rolecall", |lambda| lambda.function_name.as_str());
        let target = wanted.then(|| Target {
            namespace: section.namespace.clone(),
            function: function.to_owned(),
        });
        Self { target, clock }
    }

    /// Metrics that go nowhere: for a process whose standard output is the protocol.
    pub fn off(clock: Clock) -> Self {
        Self {
            target: None,
            clock,
        }
    }

    /// Writes one line with these measurements, of the request `request_id`.
    pub fn emit(&self, measured: &[Metric], request_id: &str) {
        let Some(target) = &self.target else { return };
        let line = line(target, measured, request_id, self.clock.unix_millis());
        // A closed standard output is no reason to fail a call.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}

fn line(target: &Target, measured: &[Metric], request_id: &str, now: u64) -> String {
    let names: Vec<_> = measured
        .iter()
        .map(|metric| json!({ "Name": metric.name(), "Unit": metric.unit() }))
        .collect();
    let mut line = json!({
        "_aws": {
            "Timestamp": now,
            "CloudWatchMetrics": [{
                "Namespace": target.namespace,
                "Dimensions": [["FunctionName"]],
                "Metrics": names,
            }],
        },
        "FunctionName": target.function,
        "request_id": request_id,
    });
    for metric in measured {
        line[metric.name()] = json!(metric.value());
    }
    line.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_follows_the_embedded_metric_format() {
        let target = Target {
            namespace: "Rolecall".to_owned(),
            function: "mcp".to_owned(),
        };
        let measured = [
            Metric::RoleAssumptionSuccess,
            Metric::RoleAssumptionLatency(Duration::from_micros(12_500)),
        ];
        let line: serde_json::Value =
            serde_json::from_str(&line(&target, &measured, "r-1", 1_795_000_000_123)).unwrap();
        assert_eq!(
            line,
            json!({
                "_aws": {
                    "Timestamp": 1_795_000_000_123_u64,
                    "CloudWatchMetrics": [{
                        "Namespace": "Rolecall",
                        "Dimensions": [["FunctionName"]],
                        "Metrics": [
                            { "Name": "RoleAssumptionSuccess", "Unit": "Count" },
                            { "Name": "RoleAssumptionLatency", "Unit": "Milliseconds" }
                        ]
                    }]
                },
                "FunctionName": "mcp",
                "request_id": "r-1",
                "RoleAssumptionSuccess": 1.0,
                "RoleAssumptionLatency": 12.5
            })
        );
    }
}
