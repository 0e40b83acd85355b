//! What the process was started with: the only reads of the environment.
//!
//! In come environment variables; out go values. Nothing is written.

/// The environment of this process, as far as Rolecall reads it. The AWS SDK reads its own `AWS_*` variables.
#[derive(Debug, Clone, Default)]
pub struct Process {
    /// `ROLECALL_CONFIG`: a path, or the JSON itself.
    pub config: Option<String>,
    /// Present inside AWS Lambda, or in something that serves its Runtime API.
    pub lambda: Option<Lambda>,
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
        Self {
            config: variable("ROLECALL_CONFIG").filter(|value| !value.trim().is_empty()),
            lambda,
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
