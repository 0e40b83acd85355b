//! Native tools: what one is, and the list of ours.
//!
//! Owns [`Tool`]: a name, a definition as clients see it (schemas made from the types), and the function behind it. In
//! come a call's arguments; out goes an [`Output`], or a [`ToolError`] whose text tells a model what to do next. A tool
//! reads its caller's context in its first line and passes values from there.

mod bucket_name;
mod definition;
mod error;
mod gate;
mod parity;
mod permission;
mod progress;
pub mod quilt;
pub mod session;

use std::{borrow::Cow, sync::Arc};

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

pub use bucket_name::BucketName;
use definition::Declaration;
pub use error::ToolError;
pub use gate::{Denial, Gate};
pub use parity::Difference;
pub use progress::{Progress, ProgressUpdate};

use crate::{
    auth::{Authenticator, RoleChoices},
    aws::Aws,
    config::FetchUrl,
    context::Access,
    egress::Egress,
};

/// What a tool does to the world: MCP's tool annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Reads only what this server knows itself.
    ReadLocal,
    /// Reads from AWS or the catalog, or has an issuer asked.
    Read,
    /// Changes what holds for the caller's session with this server; reads from AWS.
    Session,
    /// Changes what lies in AWS.
    Write,
}

impl Effect {
    /// What a tool of this effect may do in AWS.
    pub fn access(self) -> Access {
        match self {
            Self::ReadLocal | Self::Read | Self::Session => Access::Read,
            Self::Write => Access::Write,
        }
    }
}

/// What a tool gives back.
#[derive(Debug, Clone)]
pub enum Output {
    /// A value of the tool's output schema, as JSON. Clients get it as `structuredContent`, and as text.
    Structured(Box<RawValue>),
    /// A whole `CallToolResult` object, passed on as it is.
    Result(Box<RawValue>),
}

type Run = Box<
    dyn Fn(Box<RawValue>, Progress) -> BoxFuture<'static, Result<Output, ToolError>> + Send + Sync,
>;

/// A tool.
pub struct Tool {
    name: String,
    effect: Effect,
    /// JSON.
    definition: Cow<'static, str>,
    /// How to make the definition anew, if its schemas come from types.
    declaration: Option<Declaration>,
    required: Option<Value>,
    run: Run,
}

impl Tool {
    /// A tool of a function from `In` to `Out`. The definition's schemas come from the two types.
    pub fn new<In, Out, F, Fut>(
        name: &'static str,
        title: &'static str,
        description: &'static str,
        effect: Effect,
        run: F,
    ) -> Self
    where
        In: DeserializeOwned + JsonSchema,
        Out: Serialize + JsonSchema,
        F: Fn(In, Progress) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Out, ToolError>> + Send + 'static,
    {
        let declaration = Declaration::of::<In, Out>(name, title, description, effect);
        let run: Run = Box::new(move |arguments, progress| {
            let answer =
                serde_json::from_str::<In>(arguments.get()).map(|input| run(input, progress));
            Box::pin(async move {
                let output = answer
                    .map_err(|error| ToolError::arguments(&error))?
                    .await?;
                let json =
                    serde_json::value::to_raw_value(&output).map_err(|_| ToolError::internal())?;
                Ok(Output::Structured(json))
            })
        });
        Self {
            name: name.to_owned(),
            effect,
            definition: declaration.definition(),
            declaration: Some(declaration),
            required: None,
            run,
        }
    }

    /// A tool whose definition is given whole, and whose results are passed on as they are. It reads, unless
    /// [`Tool::with_effect`] says otherwise.
    pub fn raw<F, Fut>(name: &str, definition: &Value, run: F) -> Self
    where
        F: Fn(Box<RawValue>, Progress) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Box<RawValue>, ToolError>> + Send + 'static,
    {
        let run: Run = Box::new(move |arguments, progress| {
            let answer = run(arguments, progress);
            Box::pin(async move { answer.await.map(Output::Result) })
        });
        Self {
            name: name.to_owned(),
            effect: Effect::Read,
            definition: definition.to_string().into(),
            declaration: None,
            required: None,
            run,
        }
    }

    /// The same tool for clients with these capabilities only: an object as in `clientCapabilities`.
    #[must_use]
    pub fn requiring(mut self, capabilities: Value) -> Self {
        self.required = Some(capabilities);
        self
    }

    /// The same tool, with this effect on the world.
    #[must_use]
    pub fn with_effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    /// What it does to the world, and so what its calls may do in AWS.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// The name: 1 to 64 of `[A-Za-z0-9_-]`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tool as `tools/list` shows it: JSON.
    pub fn definition(&self) -> &str {
        &self.definition
    }

    /// The same, made anew from the types.
    pub fn fresh_definition(&self) -> Cow<'_, str> {
        match &self.declaration {
            Some(declaration) => declaration.fresh().into(),
            None => self.definition().into(),
        }
    }

    /// The client capabilities without which it is not called.
    pub fn required(&self) -> Option<&Value> {
        self.required.as_ref()
    }

    /// Calls it with an object of arguments.
    pub fn call(
        &self,
        arguments: Box<RawValue>,
        progress: Progress,
    ) -> BoxFuture<'static, Result<Output, ToolError>> {
        (self.run)(arguments, progress)
    }
}

/// All native tools, for the Quilt catalog at `catalog`. Without an authenticator, callers prove nothing, and no token can
/// be judged.
pub fn native(
    aws: &Arc<Aws>,
    authenticator: Option<&Arc<Authenticator>>,
    roles: &Arc<RoleChoices>,
    gate: &Arc<Gate>,
    egress: &Arc<Egress>,
    catalog: Option<&FetchUrl>,
) -> Vec<Tool> {
    let mut tools = session::tools(aws, authenticator, roles, gate);
    tools.extend(quilt::tools(aws, egress, catalog));
    tools
}

/// The arguments of a tool that takes none.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoArguments {}
