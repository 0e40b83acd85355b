//! AWS, or an issuer, down, slow, busy or talking nonsense: a typed answer within the budget, and recovery on the next call.
//!
//! What is promised, and where it is tested:
//!
//! | fault | tests |
//! | --- | --- |
//! | throttled, 5xx, reset, garbage, HTML, truncated, drip, hang | STS and Secrets Manager here; S3 in `aws.rs`; published keys, metadata, a registry, introspection in `issuers.rs` |
//! | denied | `a_refusal_by_sts_…`, `aws::a_denial_…` |
//! | expired credentials: our own, a role's, a registry's | `expired_credentials_…`, `calls_that_find_…`, `aws::our_own_…`, `issuers.rs` of the tests above this folder |
//! | a secret or a key set rotated, or gone | `auth.rs`, `src/auth/tests.rs`, `src/refreshed.rs` |
//! | cold calls, stuck leaders, others held up | `an_sts_that_hangs_…`, `who_leaves_…`, `aws::cold_calls_…`, `aws::a_leader_…`, `aws::a_bucket_…`, `aws::a_secret_…`, `issuers.rs` |
//! | a lost reply | `aws::a_lost_reply_…` |
//! | a clock that is wrong | `aws::a_clock_…`, `aws::a_time_…` |
//! | freeze and thaw | `frozen.rs` |
//! | a client that is gone | `who_leaves_…`, `aws::a_leader_…`, `cancellation.rs` |
//!
//! Upstreams that misbehave, a refresh race, a conditional write whose reply is lost, a store that is down: there are no
//! upstreams, no grants and no store yet.

mod aws;
mod frozen;
mod issuers;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use super::support::{
    Setup, claims,
    fault::{Fault, Faults},
    limited,
    server::Server,
    world,
};

/// What a caller waits at most: the 10 s that are promised, and as much again for a machine that is slow or busy.
const BUDGET: Duration = Duration::from_secs(20);
const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

async fn behind_faults() -> (Faults, Server) {
    let faults = Faults::start().await;
    let server = Setup::new().endpoint(&faults.endpoint()).start();
    (faults, server)
}

fn transport_faults() -> [Fault; 6] {
    [
        Fault::Answer(
            500,
            "text/html",
            "<html>Internal Server Error</html>".to_owned(),
        ),
        Fault::Answer(503, "text/plain", String::new()),
        Fault::Reset,
        Fault::Garbage,
        Fault::Truncated,
        Fault::Answer(200, "text/html", "<html>a captive portal</html>".to_owned()),
    ]
}

#[test]
fn sts_in_trouble_is_a_typed_tool_error_and_the_next_call_recovers() {
    limited(async {
        let (faults, server) = behind_faults().await;
        for fault in transport_faults().into_iter().chain([Fault::throttled()]) {
            faults.inject("AssumeRole", fault.clone(), u32::MAX);
            let began = Instant::now();
            let text = server
                .user("alice")
                .call("bucket_list", json!({}))
                .await
                .tool_error();
            assert!(text.contains("AWS is busy"), "{fault:?}: {text}");
            assert!(began.elapsed() < BUDGET, "{fault:?}: {:?}", began.elapsed());
            faults.heal();
            let proof = server
                .user("alice")
                .call("auth_status", json!({}))
                .await
                .content();
            assert_eq!(proof["aws"]["account"], "111111111111", "{fault:?}");
            // The next fault finds a caller without credentials.
            faults.inject("GetCallerIdentity", Fault::expired(), 1);
            faults.inject("AssumeRole", Fault::throttled(), u32::MAX);
            server
                .user("alice")
                .call("auth_status", json!({}))
                .await
                .tool_error();
            faults.heal();
        }
    });
}

#[test]
fn one_failed_attempt_is_made_good_by_the_next() {
    limited(async {
        let (faults, server) = behind_faults().await;
        for fault in [
            Fault::throttled(),
            Fault::Reset,
            Fault::Answer(500, "text/plain", String::new()),
        ] {
            let name = "alice";
            faults.inject("AssumeRole", fault.clone(), 1);
            let proof = server
                .user(name)
                .call("auth_status", json!({}))
                .await
                .content();
            assert_eq!(proof["caller"]["subject"], name, "{fault:?}");
        }
    });
}

#[test]
fn an_sts_that_hangs_or_drips_holds_only_its_caller_and_only_so_long() {
    limited(async {
        for fault in [Fault::Hang, Fault::Drip] {
            let (faults, server) = behind_faults().await;
            // Bob has his role before the trouble begins.
            server
                .user("bob")
                .call("auth_status", json!({}))
                .await
                .content();
            faults.inject("QuiltAlice", fault.clone(), u32::MAX);
            let began = Instant::now();
            let alices = join_all((0..20).map(|_| {
                let alice = server.user("alice");
                async move {
                    let text = alice.call("auth_status", json!({})).await.tool_error();
                    (text, Instant::now())
                }
            }));
            let bob = async {
                for _ in 0..3 {
                    server
                        .user("bob")
                        .call("auth_status", json!({}))
                        .await
                        .content();
                }
                Instant::now()
            };
            let (alices, bob) = tokio::join!(alices, bob);
            // She waits for seconds, however fast the machine is; his calls take no longer than ever.
            for (text, answered) in alices {
                assert!(text.contains("AWS is busy"), "{text}");
                assert!(bob < answered, "{fault:?}: bob waits for alice");
            }
            assert!(began.elapsed() < BUDGET, "{fault:?}: {:?}", began.elapsed());
            // Twenty calls of one caller were one assumption: three attempts.
            let attempts = faults.count("Action=AssumeRole&") - 1;
            assert!(attempts <= 3, "{attempts} attempts");
            faults.heal();
            server
                .user("alice")
                .call("auth_status", json!({}))
                .await
                .content();
        }
    });
}

#[test]
fn who_leaves_in_the_middle_of_the_first_call_holds_nobody_up() {
    limited(async {
        let (faults, server) = behind_faults().await;
        // Before the first role is assumed, the server asks who it is: once, for everybody.
        faults.inject("GetCallerIdentity", Fault::Hang, 1);
        let alice = server.user("alice");
        let call = tokio::spawn(async move { alice.call("auth_status", json!({})).await });
        while faults.count("GetCallerIdentity") == 0 {
            tokio::task::yield_now().await;
        }
        call.abort();
        assert!(call.await.is_err(), "alice left before her answer");
        let proof = server
            .user("bob")
            .call("auth_status", json!({}))
            .await
            .content();
        assert_eq!(proof["aws"]["account"], "222222222222");
    });
}

#[test]
fn a_refusal_by_sts_says_nothing_of_the_role_and_is_remembered_shortly() {
    limited(async {
        let (faults, server) = behind_faults().await;
        faults.inject("Action=AssumeRole", Fault::denied(), u32::MAX);
        for _ in 0..5 {
            let text = server
                .user("alice")
                .call("auth_status", json!({}))
                .await
                .tool_error();
            assert!(
                text.contains("does not let this server act as your role"),
                "{text}"
            );
            assert!(
                !text.contains("arn:") && !text.contains("QuiltAlice"),
                "{text}"
            );
        }
        assert_eq!(
            faults.calls("Action=AssumeRole").len(),
            1,
            "asked once for five calls"
        );
        // Another caller is not refused with her.
        faults.heal();
        server
            .user("bob")
            .call("auth_status", json!({}))
            .await
            .content();
    });
}

#[test]
fn expired_credentials_are_replaced_once() {
    limited(async {
        let (faults, server) = behind_faults().await;
        // Our own, as STS sees them.
        faults.inject("Action=AssumeRole", Fault::expired(), 1);
        server
            .user("alice")
            .call("auth_status", json!({}))
            .await
            .content();
        assert_eq!(faults.calls("Action=AssumeRole").len(), 2);
        // The role's, as S3 sees them.
        faults.inject("list-type=2", Fault::expired_s3(), 1);
        let bucket = &world().person("alice").bucket;
        let objects = server
            .user("alice")
            .call("bucket_objects_list", json!({ "bucket": bucket }))
            .await
            .content();
        assert_eq!(objects["count"], 3);
        assert_eq!(faults.calls("Action=AssumeRole").len(), 3);
        faults.inject("list-type=2", Fault::expired_s3(), u32::MAX);
        let text = server
            .user("alice")
            .call("bucket_objects_list", json!({ "bucket": bucket }))
            .await
            .tool_error();
        assert!(text.contains("expired"), "{text}");
        assert_eq!(
            faults.calls("Action=AssumeRole").len(),
            4,
            "once, not for ever"
        );
    });
}

#[test]
fn calls_that_find_their_credentials_expired_together_share_the_new_ones() {
    limited(async {
        let (faults, server) = behind_faults().await;
        let alice = server.user("alice");
        alice.call("auth_status", json!({})).await.content();
        let bucket = &world().person("alice").bucket;
        // Whoever comes with the credentials that all have now.
        let expired = faults.access_key("Action=GetCallerIdentity");
        faults.inject(expired, Fault::expired_s3(), u32::MAX);
        let calls = (0..20).map(|_| alice.call("bucket_objects_list", json!({ "bucket": bucket })));
        for answer in join_all(calls).await {
            assert_eq!(answer.content()["count"], 3);
        }
        assert_eq!(
            faults.calls("Action=AssumeRole").len(),
            2,
            "the first, and one for all"
        );
    });
}

#[test]
fn secrets_manager_in_trouble_is_a_503_and_the_next_call_recovers() {
    limited(async {
        for fault in transport_faults()
            .into_iter()
            .chain([Fault::throttled_json(), Fault::Hang])
        {
            let (faults, server) = behind_faults().await;
            faults.inject("GetSecretValue", fault.clone(), u32::MAX);
            let began = Instant::now();
            // All who come meanwhile share one attempt, and its answer.
            let callers = join_all((0..20).map(|_| {
                let caller = server.with_token(claims("alice").sign(&world().secret));
                async move { caller.post(PING).await }
            }));
            for refused in callers.await {
                assert_eq!(refused.status, 503, "{fault:?}: {}", refused.text);
                assert_eq!(refused.header("retry-after"), Some("2"));
            }
            assert!(began.elapsed() < BUDGET, "{fault:?}: {:?}", began.elapsed());
            assert!(
                faults.count("GetSecretValue") <= 6 * 3,
                "{}",
                faults.count("GetSecretValue")
            );
            let health = async || {
                server
                    .client
                    .get(server.url("/healthz"))
                    .send()
                    .await
                    .unwrap()
                    .status()
                    .as_u16()
            };
            assert_eq!(health().await, 503);
            faults.heal();
            let caller = server.with_token(claims("alice").sign(&world().secret));
            assert_eq!(caller.post(PING).await.status, 200, "{fault:?}");
            assert_eq!(health().await, 200);
        }
    });
}

#[test]
fn nothing_listens_where_aws_should_be() {
    limited(async {
        let server = Setup::new()
            .with("/auth/issuers/0/hs256", world().secret.as_str())
            .endpoint("http://127.0.0.1:9")
            .start();
        let began = Instant::now();
        let text = server
            .user("alice")
            .call("auth_status", json!({}))
            .await
            .tool_error();
        assert!(text.contains("AWS is busy or cannot be reached"), "{text}");
        assert!(began.elapsed() < BUDGET);
    });
}

#[test]
fn a_server_without_a_region_says_so() {
    limited(async {
        let mut setup = Setup::new().with("/auth/issuers/0/hs256", world().secret.as_str());
        setup.environment.retain(|(name, _)| name != "AWS_REGION");
        setup
            .environment
            .push(("HOME".to_owned(), "/nonexistent".to_owned()));
        let server = setup.start();
        for tool in ["auth_status", "bucket_list"] {
            let text = server
                .user("alice")
                .call(tool, json!({}))
                .await
                .tool_error();
            assert!(text.starts_with("No AWS region is set."), "{text}");
        }
    });
}

#[test]
fn a_server_without_credentials_of_its_own_says_so() {
    limited(async {
        let mut setup = Setup::new().with("/auth/issuers/0/hs256", world().secret.as_str());
        setup.environment.retain(|(name, _)| !name.contains("KEY"));
        setup
            .environment
            .push(("HOME".to_owned(), "/nonexistent".to_owned()));
        let server = setup.start();
        let text = server
            .user("alice")
            .call("auth_status", json!({}))
            .await
            .tool_error();
        assert_eq!(
            text,
            "This server has no AWS credentials. Whoever runs it must configure them."
        );
    });
}
