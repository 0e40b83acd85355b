//! What the operator sees: log lines, audit lines, metrics, and the trail of one request.
//!
//! Owns where and how lines are written, and which crates may write any: ours alone, since a dependency's debug output
//! can hold headers. In come events; out go lines. Nothing secret is passed in, and the types that hold secrets do not
//! print them.

mod audit;
mod metrics;
mod trail;

use std::io::IsTerminal;

use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

pub use audit::{SecretUse, audit};
pub use metrics::{Metric, Metrics};
pub use trail::Trail;

use crate::config::{Level, LogFormat, TelemetrySection};

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output, which AWS Lambda collects.
    Stdout,
    /// Standard error: standard output is for the caller, or for the protocol.
    Stderr,
}

/// Installs the process's one subscriber. A second call has no effect.
pub fn install(section: &TelemetrySection, output: Output) {
    let json = match (section.format, output) {
        (LogFormat::Json, _) | (LogFormat::Auto, Output::Stdout) => true,
        (LogFormat::Text, _) => false,
        (LogFormat::Auto, Output::Stderr) => !std::io::stderr().is_terminal(),
    };
    let level = match section.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    let layer = tracing_subscriber::fmt::layer().with_target(false);
    let layer = match (json, output) {
        (true, Output::Stdout) => json_lines(layer).with_writer(std::io::stdout).boxed(),
        (true, Output::Stderr) => json_lines(layer).with_writer(std::io::stderr).boxed(),
        (false, Output::Stdout) => layer.with_ansi(false).with_writer(std::io::stdout).boxed(),
        (false, Output::Stderr) => layer
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .boxed(),
    };
    let ours = Targets::new()
        .with_target("rolecall", level)
        .with_target(audit::TARGET, LevelFilter::INFO);
    // Only a test that runs several servers in one process installs twice.
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(ours))
        .try_init();
}

type Plain<S> = tracing_subscriber::fmt::Layer<S>;
type JsonLines<S> = tracing_subscriber::fmt::Layer<
    S,
    tracing_subscriber::fmt::format::JsonFields,
    tracing_subscriber::fmt::format::Format<tracing_subscriber::fmt::format::Json>,
>;

fn json_lines<S>(layer: Plain<S>) -> JsonLines<S> {
    layer
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
}
