//! What the process was started with: the only reads of the environment.
//!
//! In come environment variables; out go values, and what is wrong with them. Nothing is written.

use std::num::NonZeroU16;

use http::Uri;

use super::read::Mistakes;

const INVOKE_MODE: &str = "ROLECALL_INVOKE_MODE";
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";
const MAX_CONCURRENCY: &str = "AWS_LAMBDA_MAX_CONCURRENCY";
const FUNCTION_NAME: &str = "AWS_LAMBDA_FUNCTION_NAME";

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
    /// `AWS_LAMBDA_RUNTIME_API`: where events come from, as an `http` URL.
    pub runtime_api: Uri,
    /// `AWS_LAMBDA_FUNCTION_NAME`.
    pub function_name: String,
    /// `AWS_LAMBDA_MAX_CONCURRENCY`: how many events come at once. More than 1 on Lambda Managed Instances only.
    pub max_concurrency: NonZeroU16,
}

impl Process {
    /// Reads the environment.
    pub fn from_env() -> Self {
        let mut mistakes = Mistakes::default();
        let lambda = given(RUNTIME_API).map(|address| Lambda {
            runtime_api: runtime_api(&address).unwrap_or_else(|| {
                mistakes.add(RUNTIME_API, "expected HOST:PORT");
                Uri::default()
            }),
            function_name: variable(FUNCTION_NAME).unwrap_or_default(),
            max_concurrency: given(MAX_CONCURRENCY).map_or(NonZeroU16::MIN, |number| {
                number.parse().unwrap_or_else(|_| {
                    mistakes.add(MAX_CONCURRENCY, "expected a whole number from 1 to 65535");
                    NonZeroU16::MIN
                })
            }),
        });
        let invoke_mode = match given(INVOKE_MODE) {
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
    /// The function that this process is one of; or the variable that is missing for it to be one.
    pub fn function(&self) -> Result<&Lambda, &'static str> {
        let lambda = self.lambda.as_ref().ok_or(RUNTIME_API)?;
        if lambda.function_name.is_empty() {
            return Err(FUNCTION_NAME);
        }
        Ok(lambda)
    }
}

/// The URL of a Runtime API: Lambda gives a host and a port; who stands in for Lambda, a URL with a path too.
fn runtime_api(address: &str) -> Option<Uri> {
    let url = match address.split_once("://") {
        Some(_) => address.to_owned(),
        None => format!("http://{address}"),
    };
    let url: Uri = url.parse().ok()?;
    let has_host = url.host().is_some_and(|host| !host.is_empty());
    let has_port = url.port_u16().is_some_and(|port| port > 0);
    let has_more = address.contains(['@', '?', '#']);
    (url.scheme_str() == Some("http") && has_host && has_port && !has_more).then_some(url)
}

/// The value of a variable that is not empty.
fn given(name: &str) -> Option<String> {
    variable(name).filter(|value| !value.is_empty())
}

/// The value of a variable: `None` if unset or not UTF-8.
pub(super) fn variable(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one reader of the environment"
    )]
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_api_is_a_host_and_a_port_or_a_url() {
        for (address, expected) in [
            ("127.0.0.1:9001", Some("http://127.0.0.1:9001/")),
            ("169.254.100.1:9001", Some("http://169.254.100.1:9001/")),
            (
                "http://127.0.0.1:9001/.rt",
                Some("http://127.0.0.1:9001/.rt"),
            ),
            ("", None),
            ("not a host", None),
            ("host:port", None),
            ("127.0.0.1:99999", None),
            ("https://127.0.0.1:9001", None),
            ("127.0.0.1:9001/?a", None),
            ("127.0.0.1:9001/#a", None),
            ("a@127.0.0.1:9001", None),
            ("127.0.0.1:0", None),
            ("127.0.0.1", None),
            (":9001", None),
        ] {
            let read = runtime_api(address).map(|url| url.to_string());
            assert_eq!(read.as_deref(), expected, "{address}");
        }
    }
}
