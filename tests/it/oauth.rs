//! Rolecall as an OAuth resource server: clients find out where to sign in, do so, and call.
//!
//! The authorization server is a real one (npm `oidc-provider`), with registration, PKCE and resource indicators; the
//! clients are the official one, and a page in Chromium.

mod browser;
mod flow;
mod front_doors;
mod program;
mod resource;
