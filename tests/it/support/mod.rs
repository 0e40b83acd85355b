//! What every test needs: an AWS, a server, callers, a time limit.

pub mod aws;
pub mod fault;
pub mod front_door;
pub mod issuer;
pub mod runtime_api;
pub mod server;
pub mod token;

use std::{future::Future, time::Duration};

pub use aws::{World, world};
pub use front_door::{FrontDoor, Request};
pub use issuer::{Issuer, Trouble};
pub use runtime_api::{Function, Invocation};
pub use server::Setup;
pub use token::claims;

/// The longest that a test may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a test on a runtime of its own, within the time limit.
#[track_caller]
pub fn limited(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(LIMIT, test)
            .await
            .expect("the test took longer than 60 s")
    });
}
