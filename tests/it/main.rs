//! Rolecall through its real doors: the real binary, against moto and behaving fakes, with official clients as judges.
//!
//! One binary, so that one moto serves every test. Each test has a time limit (`support::limited`), a server of its own,
//! and names of its own for what it changes.

#![allow(
    unreachable_pub,
    missing_docs,
    clippy::pedantic,
    reason = "tests are read, not linked to"
)]

mod architecture;
mod lambda;
mod support;
