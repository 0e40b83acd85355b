//! Rolecall through its real doors: the real binary, against moto and behaving fakes, with official clients as judges.
//!
//! One binary, so that one moto serves every test. Each test has a time limit (`support::limited`), a server of its own,
//! and names of its own for what it changes.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::zombie_processes,
    reason = "a test fails by panicking, and nothing is linked to it"
)]

mod architecture;
mod auth;
mod cancellation;
mod choice;
mod cli;
mod egress;
mod faults;
mod http;
mod iam;
mod interop;
mod isolation;
mod issuers;
mod lambda;
mod leaks;
mod mcp;
mod oauth;
mod permissions;
mod production;
mod roles;
mod stdio;
mod support;
mod tools;
