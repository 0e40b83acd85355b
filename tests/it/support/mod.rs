//! What every test needs: an AWS, a server, callers, a time limit.

pub mod aws;
pub mod fault;
pub mod front_door;
pub mod issuer;
pub mod kept_alive;
pub mod runtime_api;
pub mod server;
pub mod token;

use std::{future::Future, time::Duration};

pub use aws::{World, world};
pub use front_door::{FrontDoor, Mode, Request};
pub use issuer::{Issuer, Trouble};
pub use runtime_api::{Function, Invocation};
pub use server::Setup;
pub use token::claims;

/// Our own tools, in the order in which they are listed.
pub const TOOLS: [&str; 12] = [
    "whoami",
    "auth_status",
    "get_user_info",
    "get_user_permissions",
    "validate_bearer_token",
    "validate_bucket_access",
    "validate_tool_access",
    "get_current_quilt_role",
    "assume_quilt_user_role",
    "catalog_info",
    "bucket_list",
    "bucket_objects_list",
];

/// The longest that a test may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a test on a runtime of its own, within the time limit.
#[track_caller]
pub fn limited(test: impl Future<Output = ()>) {
    limited_to(LIMIT, test);
}

/// The same, for what was asked to take longer.
#[track_caller]
pub fn limited_to(limit: Duration, test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(limit, test)
            .await
            .unwrap_or_else(|_| panic!("the test took longer than {limit:?}"));
    });
}
