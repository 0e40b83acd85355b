//! The tools that this server offers, and their list as clients see it.
//!
//! Owns [`Registry`]: built once, checked once. The list's JSON is put together then, so that answering it is a copy.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    RpcError, TTL_MS, ToolScopes,
    envelope::{Era, agree},
    server_info_meta,
};
use crate::tools::Tool;

/// Tools by name.
pub struct Registry {
    tools: HashMap<String, Entry>,
    legacy_list: String,
    modern_list: String,
}

struct Entry {
    tool: Tool,
    /// Which arguments a header repeats: (header, argument), from `x-mcp-header` in the input schema (SEP-2243).
    mirrored: Vec<(String, String)>,
}

/// Why a set of tools cannot be offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Not 1 to 64 of `[A-Za-z0-9_-]`.
    #[error("{0:?} is not a tool's name: 1 to 64 of A-Z, a-z, 0-9, _ and -")]
    Name(String),
    /// Two tools of one name, upper and lower case aside.
    #[error("there are two tools named {0:?}")]
    Repeated(String),
}

impl Registry {
    /// A registry of these tools, listed in this order.
    pub fn new(tools: Vec<Tool>) -> Result<Self, RegistryError> {
        let definitions: Vec<&str> = tools.iter().map(Tool::definition).collect();
        let definitions = definitions.join(",");
        let legacy_list = format!(r#"{{"tools":[{definitions}]}}"#);
        let modern_list = format!(
            r#"{{"resultType":"complete","tools":[{definitions}],"ttlMs":{TTL_MS},"cacheScope":"private",{}}}"#,
            server_info_meta()
        );
        let mut by_name: HashMap<String, Entry> = HashMap::with_capacity(tools.len());
        let mut folded = HashSet::with_capacity(tools.len());
        for tool in tools {
            let name = tool.name().to_owned();
            let named = (1..=64).contains(&name.len())
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
            if !named {
                return Err(RegistryError::Name(name));
            }
            if !folded.insert(name.to_ascii_lowercase()) {
                return Err(RegistryError::Repeated(name));
            }
            let mirrored = mirrored(tool.definition());
            by_name.insert(name, Entry { tool, mirrored });
        }
        Ok(Self {
            tools: by_name,
            legacy_list,
            modern_list,
        })
    }

    /// The first of `auth.toolScopes` that names no tool.
    pub fn unmatched<'a>(&self, scopes: &'a ToolScopes) -> Option<&'a str> {
        let names: Vec<&str> = self.tools.keys().map(String::as_str).collect();
        scopes.unmatched(&names)
    }

    pub(super) fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.get(name).map(|entry| &entry.tool)
    }

    /// `tools/list`: all of them, on one page.
    pub(super) fn list(&self, era: Era, params: Option<&Bytes>) -> Result<String, RpcError> {
        #[derive(Deserialize)]
        struct Page<'a> {
            #[serde(borrow)]
            cursor: Option<&'a RawValue>,
        }
        let page = params.map(|params| serde_json::from_slice::<Page<'_>>(params));
        if matches!(page, Some(Ok(Page { cursor: Some(_) }) | Err(_))) {
            return Err(RpcError::invalid_params(
                "There is one page of tools: leave `cursor` out.",
            ));
        }
        Ok(match era {
            Era::Legacy => self.legacy_list.clone(),
            Era::Modern => self.modern_list.clone(),
        })
    }

    /// Checks the `Mcp-Param-*` headers of a call against its arguments.
    pub(super) fn check_param_headers(
        &self,
        headers: &HeaderMap,
        tool: &str,
        params: Option<&Bytes>,
    ) -> Result<(), RpcError> {
        let Some(entry) = self
            .tools
            .get(tool)
            .filter(|entry| !entry.mirrored.is_empty())
        else {
            return Ok(());
        };
        let call: Call = params
            .and_then(|params| serde_json::from_slice(params).ok())
            .unwrap_or_default();
        for (header, argument) in &entry.mirrored {
            let value = match call.arguments.get(argument) {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some(text.clone()),
                Some(other) => Some(other.to_string()),
            };
            agree(headers, header, value.as_deref())?;
        }
        Ok(())
    }
}

#[derive(Deserialize, Default)]
struct Call {
    #[serde(default)]
    arguments: Value,
}

fn mirrored(definition: &str) -> Vec<(String, String)> {
    // Reading a definition again costs every start, and hardly any mirrors.
    if !definition.contains("x-mcp-header") {
        return Vec::new();
    }
    let definition: Value = serde_json::from_str(definition).unwrap_or_default();
    let properties = definition
        .pointer("/inputSchema/properties")
        .and_then(Value::as_object);
    let header = |property: &Value| {
        property
            .get("x-mcp-header")?
            .as_str()
            .map(|name| format!("mcp-param-{name}").to_ascii_lowercase())
    };
    properties
        .into_iter()
        .flatten()
        .filter_map(|(name, property)| header(property).map(|header| (header, name.clone())))
        .collect()
}
