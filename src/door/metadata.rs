//! `/.well-known/oauth-protected-resource`: where clients of this resource get their tokens. RFC 9728.
//!
//! Its URLs come from `server.publicUrl` and never from a request's Host. A server without one, or without an issuer
//! that is an authorization server with a URL, has no such document.

use axum::{
    body::Body,
    extract::State,
    http::{Response, StatusCode},
};

use super::{Services, Shared, error};

/// The document's URL, where there is a document.
///
/// A client that was told nothing looks where RFC 9728, section 3.1 puts it: between host and path, which for
/// `https://host/prod/mcp` is `https://host/.well-known/oauth-protected-resource/prod/mcp`. Behind a stage or a base path
/// no such request reaches us. What is below `publicUrl` does, so that is the URL that challenges name: section 5.1
/// leaves it to us, and section 3.3 compares only the document's `resource` with what the client called.
pub(super) fn url(services: &Services) -> Option<String> {
    let public = services.server.public_url.as_ref()?;
    let document = format!(
        "{}/.well-known/oauth-protected-resource/mcp",
        public.as_str()
    );
    (!services.authorization_servers.is_empty()).then_some(document)
}

pub(super) async fn handle(State(shared): State<Shared>) -> Response<Body> {
    let services = &shared.services;
    let Some(public) = services
        .server
        .public_url
        .as_ref()
        .filter(|_| url(services).is_some())
    else {
        return error::plain(
            StatusCode::NOT_FOUND,
            "This server names no authorization server. Ask whoever runs it for a token.",
        );
    };
    let mut document = serde_json::json!({
        "resource": format!("{}/mcp", public.as_str()),
        "authorization_servers": services.authorization_servers,
        "bearer_methods_supported": ["header"],
        "resource_name": "Rolecall",
    });
    if !services.scopes_supported.is_empty() {
        document["scopes_supported"] = services.scopes_supported.clone().into();
    }
    error::json(StatusCode::OK, document.to_string().into())
}
