//! The scopes that calls of single tools need.
//!
//! Owns [`ToolScopes`], made of `auth.requiredScopes` and `auth.toolScopes`. In come a caller's context and a tool's
//! name; out goes all that the call needs, where the caller's token lacks some of it. That a token holds the required
//! ones is judged before, with the token; they are named again here, because a client asks for exactly what it is told.
//! Source: RFC 6750, section 3.1; MCP specification, "Scope Challenge Handling".

use crate::{
    config::{AuthSection, Scope},
    context::{Environment, RuntimeContext},
};

/// Which scopes a call of which tool needs.
#[derive(Debug, Clone, Default)]
pub struct ToolScopes {
    required: Vec<Scope>,
    /// By a tool's name, or the beginning of names followed by `*`.
    of_tools: Vec<(String, Vec<Scope>)>,
}

impl ToolScopes {
    /// Those of the configuration.
    pub fn from_config(auth: &AuthSection) -> Self {
        let of_tools = auth.tool_scopes.iter();
        Self {
            required: auth.required_scopes.clone(),
            of_tools: of_tools
                .map(|(pattern, scopes)| (pattern.clone(), scopes.clone()))
                .collect(),
        }
    }

    /// All that any call may need, each once: what the resource's metadata names.
    pub fn all(&self) -> Vec<String> {
        distinct(
            self.required
                .iter()
                .chain(self.of_tools.iter().flat_map(|(_, scopes)| scopes)),
        )
        .into_iter()
        .map(str::to_owned)
        .collect()
    }

    /// The first pattern that none of these tools matches. It is a slip, and the tool that was meant would be open.
    pub(super) fn unmatched(&self, tools: &[&str]) -> Option<&str> {
        self.of_tools
            .iter()
            .map(|(pattern, _)| pattern.as_str())
            .find(|pattern| !tools.iter().any(|tool| matches(pattern, tool)))
    }

    /// All that a call of `tool` needs, separated by spaces, if the caller's token lacks some of it.
    pub(super) fn lacking(&self, context: &RuntimeContext, tool: &str) -> Option<String> {
        match context.environment() {
            // There is no token, and nobody to get one from. What a signed request may do is IAM's to say.
            Environment::DesktopStdio | Environment::WebUnauthenticated | Environment::WebRole => {
                return None;
            }
            Environment::WebJwt | Environment::WebBearer => {}
        }
        let of_tool: Vec<&Scope> = self
            .of_tools
            .iter()
            .filter(|(pattern, _)| matches(pattern, tool))
            .flat_map(|(_, scopes)| scopes)
            .collect();
        let held = |scope: &&Scope| {
            let principal = context.principal();
            principal.is_some_and(|principal| principal.has_scope(scope.as_str()))
        };
        if of_tool.iter().all(held) {
            return None;
        }
        Some(distinct(self.required.iter().chain(of_tool)).join(" "))
    }
}

fn matches(pattern: &str, tool: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => tool.starts_with(beginning),
        None => pattern == tool,
    }
}

/// In the order of their first mention.
fn distinct<'a>(scopes: impl Iterator<Item = &'a Scope>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for scope in scopes.map(Scope::as_str) {
        if !found.contains(&scope) {
            found.push(scope);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn scopes(auth: &str) -> ToolScopes {
        let config = Config::parse(&format!(r#"{{"auth":{auth}}}"#), &|_| None).unwrap();
        ToolScopes::from_config(&config.auth)
    }

    #[test]
    fn each_scope_is_named_once() {
        let scopes = scopes(
            r#"{"requiredScopes":["mcp"],"toolScopes":{"bucket_*":["s3:read","mcp"],"bucket_list":["s3:list","s3:read"]}}"#,
        );
        assert_eq!(scopes.all(), ["mcp", "s3:read", "s3:list"]);
        assert!(ToolScopes::default().all().is_empty());
    }

    #[test]
    fn a_pattern_that_names_nothing_is_found() {
        let tools = ["bucket_list", "whoami"];
        for (pattern, good) in [
            ("bucket_list", true),
            ("bucket_*", true),
            ("*", true),
            ("bucket_lst", false),
            ("bucket", false),
            ("Whoami", false),
            ("bucket_list_*", false),
        ] {
            let scopes = scopes(&format!(r#"{{"toolScopes":{{"{pattern}":["x"]}}}}"#));
            assert_eq!(scopes.unmatched(&tools).is_none(), good, "{pattern}");
        }
    }
}
