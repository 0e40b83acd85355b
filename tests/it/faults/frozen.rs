//! An instance that is frozen between calls, as Lambda does it: what ends meanwhile, and connections that die.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::{
    super::support::{
        Issuer, Setup, claims,
        fault::{Fault, Faults},
        limited,
        server::Server,
        token::now,
        world,
    },
    PING, behind_faults,
};

const WHOAMI: &str = "Action=GetCallerIdentity";
/// What the server takes off the end of credentials, in seconds.
const MARGIN: u64 = 60;

/// Stands still until this time is past.
async fn frozen_until(server: &Server, end: u64) {
    server.freeze();
    // Time that passes is what this is about.
    while now() <= end {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    server.thaw();
}

#[test]
fn what_ends_while_an_instance_is_frozen_is_not_used_after() {
    limited(async {
        let (faults, registry) = (Faults::start().await, Issuer::start().await);
        let server = Setup::new()
            .with("/auth/issuers/0/hs256", world().secret.as_str())
            .with("/auth/issuers/0/leewaySeconds", 0)
            .with(
                "/auth/issuers/1",
                json!({ "issuer": "registry", "registry": registry.url }),
            )
            .endpoint(&faults.endpoint())
            .start();
        let person = world().person("bob");
        let mut soon = world().role_credentials(&person.roles[0]).await;
        // All that follows before the freeze has so many seconds.
        let end = now() + 12;
        soon["Expiration"] = json!(rfc3339(end + MARGIN));
        registry.give("carol-token", Some(soon));
        let (alice, carol) = (server.user("alice"), server.with_token("carol-token"));
        let bob = server.with_token(claims("bob").with("exp", end).sign(&world().secret));
        faults.inject("QuiltAlice", Fault::EndsIn(end + MARGIN - now()), 1);
        alice.call("auth_status", json!({})).await.content();
        let first = faults.access_key(WHOAMI);
        assert_eq!(bob.post(PING).await.status, 200);
        assert_eq!(carol.post(PING).await.status, 200);
        assert_eq!(registry.presented().len(), 1);

        frozen_until(&server, end).await;
        // A role's credentials.
        alice.call("auth_status", json!({})).await.content();
        assert_ne!(faults.access_key(WHOAMI), first);
        assert_eq!(faults.calls("QuiltAlice").len(), 2);
        // A token, which was verified before.
        assert_eq!(bob.post(PING).await.status, 401);
        // A registry's credentials, and its word.
        let again = world().role_credentials(&person.roles[0]).await;
        registry.give("carol-token", Some(again));
        assert_eq!(carol.post(PING).await.status, 200);
        assert_eq!(registry.presented().len(), 2);
    });
}

fn rfc3339(seconds: u64) -> String {
    use aws_sdk_sts::primitives::{DateTime, DateTimeFormat};
    DateTime::from_secs(i64::try_from(seconds).unwrap())
        .fmt(DateTimeFormat::DateTime)
        .unwrap()
}

#[test]
fn connections_that_died_in_the_freeze_are_replaced() {
    limited(async {
        let (faults, server) = behind_faults().await;
        let alice = server.user("alice");
        let bucket = &world().person("alice").bucket;
        let list = || alice.call("bucket_objects_list", json!({ "bucket": bucket }));
        for _ in 0..3 {
            list().await.content();
        }
        let before = faults.connections();
        assert!(
            before < faults.count("HTTP/1.1\r\n"),
            "connections are kept: {before}"
        );
        server.freeze();
        faults.reset_idle();
        faults.all_closed().await;
        server.thaw();
        let calls = (0..20).map(|_| list());
        for answer in join_all(calls).await {
            assert_eq!(answer.content()["count"], 3);
        }
        assert!(faults.connections() > before);
    });
}
