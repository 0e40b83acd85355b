//! Rolecall: an MCP endpoint on AWS Lambda where every call runs as its caller.
//!
//! The walk of a request, and with it the map of this crate:
//!
//! ```text
//! event / TCP / stdio ─► door ─► auth ─► context ─► mcp ─► tools ─► aws
//! ```
//!
//! [`door`] turns whatever came into one HTTP request and its answer back. [`auth`] proves who sent it, and which IAM
//! role they may act as. [`context`] carries that, and nothing else does. [`mcp`] speaks the protocol, [`tools`] do the
//! work, [`aws`] assumes the role and holds the clients. [`egress`] fetches what is not AWS. [`config`] and [`telemetry`]
//! lie below them all; [`app`] puts everything together. Imports point down this list only, which a test checks.

pub mod app;
pub mod auth;
pub mod aws;
pub mod clock;
pub mod config;
pub mod context;
pub mod door;
pub mod egress;
/// What only the fuzz targets reach: the targets are in `fuzz/`.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::{auth::point_of_pem, door::request_of_event, egress::why_not_global};
}
pub mod json;
pub mod mcp;
mod refreshed;
pub mod telemetry;
pub mod tools;
