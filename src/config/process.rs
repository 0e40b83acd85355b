//! What the process was started with: the only reads of the environment.
//!
//! In come environment variables; out go values, and what is wrong with them. Nothing is written.

use super::read::Mistakes;

const INVOKE_MODE: &str = "ROLECALL_INVOKE_MODE";

/// The environment of this process, as far as Rolecall reads it. The AWS SDK reads its own `AWS_*` variables.
#[derive(Debug, Clone, Default)]
pub struct Process {
    /// `ROLECALL_CONFIG`: a path, or the JSON itself.
    pub config: Option<String>,
    /// Present inside AWS Lambda, or in something that serves its Runtime API.
    pub lambda: Option<Lambda>,
    /// `ROLECALL_INVOKE_MODE`: `BUFFERED`, also where it is unset, or `RESPONSE_STREAM`.
    pub invoke_mode: InvokeMode,
    /// What is wrong with these variables; the configuration reports it with its own mistakes.
    pub(super) mistakes: Mistakes,
}

/// How the front door calls a function: AWS's own words. An event does not say it (docs/decisions/0006).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InvokeMode {
    /// It reads an answer whole.
    #[default]
    Buffered,
    /// It passes an answer on as it comes.
    ResponseStream,
}

impl InvokeMode {
    fn read(word: &str) -> Option<Self> {
        match word {
            "BUFFERED" => Some(Self::Buffered),
            "RESPONSE_STREAM" => Some(Self::ResponseStream),
            _ => None,
        }
    }
}

/// What AWS Lambda says about the function. Source: Lambda developer guide, "Defined runtime environment variables".
#[derive(Debug, Clone)]
pub struct Lambda {
    /// `AWS_LAMBDA_FUNCTION_NAME`.
    pub function_name: String,
    /// `AWS_LAMBDA_MAX_CONCURRENCY`: how many events come at once. More than 1 on Lambda Managed Instances only.
    pub max_concurrency: u32,
}

impl Process {
    /// Reads the environment.
    pub fn from_env() -> Self {
        let lambda = variable("AWS_LAMBDA_RUNTIME_API").map(|_| Lambda {
            function_name: variable("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
            max_concurrency: variable("AWS_LAMBDA_MAX_CONCURRENCY")
                .and_then(|number| number.parse().ok())
                .unwrap_or(1),
        });
        let mut mistakes = Mistakes::default();
        let invoke_mode = match variable(INVOKE_MODE).filter(|word| !word.is_empty()) {
            None => InvokeMode::default(),
            Some(word) => InvokeMode::read(&word).unwrap_or_else(|| {
                mistakes.add(INVOKE_MODE, "expected BUFFERED or RESPONSE_STREAM");
                InvokeMode::default()
            }),
        };
        Self {
            config: variable("ROLECALL_CONFIG").filter(|value| !value.trim().is_empty()),
            lambda,
            invoke_mode,
            mistakes,
        }
    }
}

impl Process {
    /// The first variable that a function's process has and this one lacks.
    pub fn missing_for_lambda(&self) -> Option<&'static str> {
        [
            "AWS_LAMBDA_RUNTIME_API",
            "AWS_LAMBDA_FUNCTION_NAME",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
            "AWS_LAMBDA_FUNCTION_VERSION",
        ]
        .into_iter()
        .find(|name| variable(name).is_none())
    }
}

/// The value of a variable: `None` if unset or not UTF-8.
pub(super) fn variable(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one reader of the environment"
    )]
    std::env::var(name).ok()
}
