//! The doors: how a request reaches the one router, and how its answer leaves.
//!
//! Owns everything of HTTP: the router and its layers, limits, the checks of Host and Origin, the health check, the
//! metadata document, and the turning of errors into responses. In comes a Lambda event, a TCP connection or a line of
//! standard input; out goes a response of the same kind. Identity is established here, once a request, and handed to the
//! MCP edge as a context.

mod access;
mod body;
mod error;
mod health;
mod lambda;
mod layers;
mod mcp;
mod metadata;
mod origin;
mod stdio;
mod tcp;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use axum::{Router, http::StatusCode, middleware, routing};
use tower_http::catch_panic::CatchPanicLayer;

#[cfg(fuzzing)]
pub use lambda::request_of_event;
pub use lambda::{NoMoreEvents, serve as serve_lambda};
pub use origin::HostPolicy;
pub use stdio::serve as serve_stdio;
pub use tcp::serve as serve_tcp;

use crate::{
    auth::Authenticator,
    aws::Aws,
    clock::Clock,
    config::{InvokeMode, ServerSection},
    mcp::Edge,
    telemetry::Metrics,
};
use origin::OriginPolicy;

/// How long a request's head, and then its body, may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(5);

/// What the doors need of the rest.
pub struct Services {
    /// Judges callers; `None` on a server without authentication.
    pub authenticator: Option<Arc<Authenticator>>,
    /// Answers MCP messages.
    pub edge: Arc<Edge>,
    /// Knows whether AWS can be used.
    pub aws: Arc<Aws>,
    /// The limits, and the server's name to the world.
    pub server: ServerSection,
    /// The issuers that clients can get tokens from: URLs.
    pub authorization_servers: Vec<String>,
    /// The scopes that every call needs, which challenges name.
    pub required_scopes: Vec<String>,
    /// All scopes that any call may need.
    pub scopes_supported: Vec<String>,
    /// Where failures are counted.
    pub metrics: Metrics,
    /// The time.
    pub clock: Clock,
}

/// How requests come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Over TCP: answers can be streams.
    Http,
    /// As Lambda events: an answer is read as the front door calls the function, and bounded by it.
    Lambda(InvokeMode),
}

impl Transport {
    fn streams(self) -> bool {
        self != Self::Lambda(InvokeMode::Buffered)
    }
}

#[derive(Clone)]
struct Shared {
    services: Arc<Services>,
    transport: Transport,
    hosts: Arc<HostPolicy>,
    origins: Arc<OriginPolicy>,
}

/// The one router behind the HTTP doors.
pub fn router(services: Arc<Services>, transport: Transport, hosts: HostPolicy) -> Router {
    let base = services
        .server
        .public_url
        .as_ref()
        .map(|url| url.path().to_owned())
        .unwrap_or_default();
    let origins = Arc::new(OriginPolicy::new(&services.server, &hosts));
    let shared = Shared {
        services,
        transport,
        hosts: Arc::new(hosts),
        origins,
    };
    let routes = Router::new()
        .route("/mcp", routing::any(mcp::handle))
        .route("/mcp/", routing::any(mcp::handle))
        .route("/healthz", routing::get(health::handle))
        .route(
            "/.well-known/oauth-protected-resource",
            routing::get(metadata::handle),
        )
        .route(
            "/.well-known/oauth-protected-resource/mcp",
            routing::get(metadata::handle),
        )
        // Where the official Rust client looks too: below a stage, the one guess that a front door passes on.
        .route(
            "/mcp/.well-known/oauth-protected-resource",
            routing::get(metadata::handle),
        );
    // Behind a stage or a base path, clients and health checks may use either form.
    let routes = if base.is_empty() {
        routes
    } else {
        // Where RFC 9728 puts the document of a resource with a path, if a front door sends that here.
        let inserted = format!("/.well-known/oauth-protected-resource{base}/mcp");
        Router::new()
            .nest(&base, routes.clone())
            .merge(routes)
            .route(&inserted, routing::get(metadata::handle))
    };
    layered(routes, shared)
}

/// The layers around all routes, from the inside to the outside.
fn layered(routes: Router<Shared>, shared: Shared) -> Router {
    let origins = Arc::clone(&shared.origins);
    routes
        .fallback(|| async {
            error::plain(
                StatusCode::NOT_FOUND,
                "There is nothing here. MCP clients call POST /mcp.",
            )
        })
        .method_not_allowed_fallback(|| async {
            error::plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "This path answers GET only.",
            )
        })
        // Inside of CORS, so that a page can read these failures as any other; the guard outside is for the layers.
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(middleware::from_fn(layers::end_in_time))
        .layer(origins.cors())
        .layer(middleware::from_fn_with_state(
            shared.clone(),
            layers::check_origin,
        ))
        .layer(middleware::from_fn_with_state(
            shared.clone(),
            layers::check_host,
        ))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(middleware::from_fn_with_state(shared.clone(), layers::log))
        .with_state(shared)
}

/// Random bits for request ids. They name, they do not prove.
fn random_u64() -> u64 {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut bytes = [0; 8];
    // Without a source of randomness the ids of two processes may be alike; nothing rests on it.
    let _ = SystemRandom::new().fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}
