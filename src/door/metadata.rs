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

/// The document's URL, where there is a document: RFC 9728, section 3.1 inserts the resource's path after the well-known part.
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
    if !services.required_scopes.is_empty() {
        document["scopes_supported"] = services.required_scopes.clone().into();
    }
    error::json(StatusCode::OK, document.to_string().into())
}
