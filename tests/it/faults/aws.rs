//! S3 in trouble, and what AWS's services have in common: lost replies, clocks, denials, cold calls.

use std::time::Instant;

use futures_util::future::join_all;
use serde_json::json;

use super::{
    super::support::{
        Setup, claims,
        fault::{Fault, Faults},
        limited,
        server::{Answer, Caller},
        world,
    },
    BUDGET, PING, behind_faults, transport_faults,
};

const ASSUME: &str = "Action=AssumeRole&";
const WHOAMI: &str = "Action=GetCallerIdentity";
const LIST: &str = "list-type=2";

async fn list(caller: &Caller, name: &str) -> Answer {
    let bucket = &world().person(name).bucket;
    let arguments = json!({ "bucket": bucket });
    caller.call("bucket_objects_list", arguments).await
}

#[test]
fn s3_in_trouble_is_a_typed_tool_error_and_the_next_call_recovers() {
    limited(async {
        let (faults, server) = behind_faults().await;
        let alice = server.user("alice");
        assert_eq!(list(&alice, "alice").await.content()["count"], 3);
        let slow = [Fault::throttled_s3(), Fault::Hang, Fault::Drip];
        for fault in transport_faults().into_iter().chain(slow) {
            faults.inject(LIST, fault.clone(), u32::MAX);
            let (before, began) = (faults.count(LIST), Instant::now());
            let text = list(&alice, "alice").await.tool_error();
            assert!(text.contains("AWS is busy"), "{fault:?}: {text}");
            assert!(began.elapsed() < BUDGET, "{fault:?}: {:?}", began.elapsed());
            let attempts = faults.count(LIST) - before;
            assert!((1..=3).contains(&attempts), "{fault:?}: {attempts}");
            faults.heal();
            let listed = list(&alice, "alice").await.content();
            assert_eq!(listed["count"], 3, "{fault:?}");
            faults.inject(LIST, fault, 1);
            list(&alice, "alice").await;
            faults.heal();
        }
        assert_eq!(faults.calls(ASSUME).len(), 1, "her credentials are good");
    });
}

#[test]
fn one_failed_attempt_at_s3_is_made_good_by_the_next() {
    limited(async {
        let (faults, server) = behind_faults().await;
        let alice = server.user("alice");
        for fault in [
            Fault::throttled_s3(),
            Fault::Reset,
            Fault::LostReply,
            Fault::Answer(500, "text/html", "<html></html>".to_owned()),
        ] {
            faults.inject(LIST, fault.clone(), 1);
            let listed = list(&alice, "alice").await.content();
            assert_eq!(listed["count"], 3, "{fault:?}");
        }
    });
}

#[test]
fn connections_that_are_reset_before_anything_is_read() {
    limited(async {
        let (faults, server) = behind_faults().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        // Secrets Manager comes first.
        faults.refuse_connections(u32::MAX);
        let refused = alice.post(PING).await;
        assert_eq!(refused.status, 503, "{}", refused.text);
        faults.heal();
        assert_eq!(alice.post(PING).await.status, 200);
        // Then STS, then S3.
        faults.refuse_connections(u32::MAX);
        let text = list(&alice, "alice").await.tool_error();
        assert!(text.contains("AWS is busy"), "{text}");
        faults.heal();
        assert_eq!(list(&alice, "alice").await.content()["count"], 3);
        faults.refuse_connections(u32::MAX);
        let began = Instant::now();
        let text = list(&alice, "alice").await.tool_error();
        assert!(text.contains("AWS is busy"), "{text}");
        assert!(began.elapsed() < BUDGET, "{:?}", began.elapsed());
        // One is made good.
        faults.heal();
        faults.refuse_connections(1);
        assert_eq!(list(&bob, "bob").await.content()["count"], 2);
    });
}

#[test]
fn a_lost_reply_of_sts_costs_another_attempt_and_nothing_else() {
    limited(async {
        let (faults, server) = behind_faults().await;
        faults.inject(ASSUME, Fault::LostReply, 1);
        let alice = server.user("alice");
        let proof = alice.call("auth_status", json!({})).await.content();
        assert_eq!(proof["aws"]["account"], "111111111111");
        let asked = faults.count(ASSUME);
        assert!((2..=3).contains(&asked), "{asked}");
        assert_eq!(faults.calls(ASSUME).len(), 1);
        // All of them lost: as if nothing had been done.
        faults.inject("QuiltBob", Fault::LostReply, u32::MAX);
        let bob = server.user("bob");
        let began = Instant::now();
        let text = bob.call("auth_status", json!({})).await.tool_error();
        assert!(text.contains("AWS is busy"), "{text}");
        assert!(began.elapsed() < BUDGET, "{:?}", began.elapsed());
        assert!(faults.count("QuiltBob") <= 3);
        faults.heal();
        let proof = bob.call("auth_status", json!({})).await.content();
        assert_eq!(proof["aws"]["account"], "222222222222");
    });
}

#[test]
fn a_clock_that_is_wrong_is_corrected_by_the_date_of_aws_s_answers() {
    limited(async {
        for ahead in [3_600, -3_600, 200] {
            let (faults, server) = behind_faults().await;
            faults.inject("", Fault::Clock(ahead), u32::MAX);
            let alice = server.user("alice");
            assert_eq!(list(&alice, "alice").await.content()["count"], 3);
            assert_eq!(list(&alice, "alice").await.content()["count"], 3);
            assert_eq!(faults.calls(ASSUME).len(), 1, "{ahead}");
            assert!(faults.count(ASSUME) <= 3, "{ahead}");
        }
    });
}

#[test]
fn a_time_that_aws_goes_on_refusing_is_called_so_and_is_not_remembered() {
    limited(async {
        let (faults, server) = behind_faults().await;
        let alice = server.user("alice");
        let [sts, secrets, s3] = Fault::off_time();
        faults.inject("GetSecretValue", secrets, u32::MAX);
        assert_eq!(alice.post(PING).await.status, 503);
        faults.heal();
        assert_eq!(alice.post(PING).await.status, 200);
        for asked in [WHOAMI, ASSUME] {
            faults.inject(asked, sts.clone(), u32::MAX);
            let text = alice.call("auth_status", json!({})).await.tool_error();
            assert!(text.contains("must set its clock"), "{asked}: {text}");
            faults.heal();
        }
        // Not as a refusal of the role, which would be for 30 s.
        alice.call("auth_status", json!({})).await.content();
        faults.inject(LIST, s3, u32::MAX);
        let text = list(&alice, "alice").await.tool_error();
        assert!(text.contains("must set its clock"), "{text}");
        faults.heal();
        assert_eq!(list(&alice, "alice").await.content()["count"], 3);
        assert_eq!(faults.calls(ASSUME).len(), 2);
    });
}

#[test]
fn a_denial_by_s3_or_secrets_manager_is_said_and_is_not_for_ever() {
    limited(async {
        let (faults, server) = behind_faults().await;
        let alice = server.user("alice");
        faults.inject("GetSecretValue", Fault::denied_json(), u32::MAX);
        let refused = alice.post(PING).await;
        assert_eq!(refused.status, 503, "{}", refused.text);
        faults.heal();
        faults.inject(LIST, Fault::denied_s3(), u32::MAX);
        for _ in 0..3 {
            let text = list(&alice, "alice").await.tool_error();
            assert!(text.contains("denied this to your role"), "{text}");
            assert!(!text.contains("arn:"), "{text}");
        }
        assert_eq!(faults.calls(LIST).len(), 3, "no denial is tried again");
        assert_eq!(faults.calls(ASSUME).len(), 1, "nor the role assumed again");
        faults.heal();
        assert_eq!(list(&alice, "alice").await.content()["count"], 3);
        let log = server.terminate();
        assert!(log.contains("Is it in `secret_arns`"), "{log}");
    });
}

#[test]
fn our_own_credentials_that_expired_are_tried_once_more_at_secrets_manager() {
    limited(async {
        let (faults, server) = behind_faults().await;
        faults.inject("AWSCURRENT", Fault::expired_json(), 1);
        assert_eq!(server.user("alice").post(PING).await.status, 200);
        assert_eq!(faults.calls("AWSCURRENT").len(), 2);
        let (faults, server) = behind_faults().await;
        faults.inject("GetSecretValue", Fault::expired_json(), u32::MAX);
        assert_eq!(server.user("alice").post(PING).await.status, 503);
        assert_eq!(faults.calls("AWSCURRENT").len(), 2, "not for ever");
        faults.heal();
        assert_eq!(server.user("alice").post(PING).await.status, 200);
    });
}

#[test]
fn cold_calls_of_one_caller_assume_a_role_once() {
    limited(async {
        let (faults, server) = behind_faults().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let calls = (0..50).map(|n| {
            let (caller, name) = if n % 2 == 0 {
                (&alice, "alice")
            } else {
                (&bob, "bob")
            };
            async move { list(caller, name).await.content() }
        });
        for listed in join_all(calls).await {
            assert_ne!(listed["count"], 0);
        }
        // Three attempts at most, if the first are lost on a busy machine.
        for role in ["QuiltAlice", "QuiltBob"] {
            assert_eq!(faults.calls(role).len(), 1, "{role}");
            assert!(faults.count(role) <= 3, "{role}");
        }
    });
}

#[test]
fn a_leader_that_leaves_hands_its_assumption_to_the_followers() {
    limited(async {
        let (faults, server) = behind_faults().await;
        let alice = server.user("alice");
        assert_eq!(alice.post(PING).await.status, 200);
        // The first attempt hangs, and the next succeeds.
        faults.inject("QuiltAlice", Fault::Hang, 1);
        let leader = alice.clone();
        let call = tokio::spawn(async move { leader.call("auth_status", json!({})).await });
        while faults.count("QuiltAlice") == 0 {
            tokio::task::yield_now().await;
        }
        call.abort();
        assert!(call.await.is_err(), "the leader left before its answer");
        let followers = (0..10).map(|_| alice.call("auth_status", json!({})));
        for answer in join_all(followers).await {
            assert_eq!(answer.content()["aws"]["account"], "111111111111");
        }
        assert_eq!(faults.calls("QuiltAlice").len(), 1);
        assert!(faults.count("QuiltAlice") <= 3);
    });
}

#[test]
fn a_bucket_that_hangs_holds_up_only_who_asks_for_it() {
    limited(async {
        let (faults, server) = behind_faults().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        for (caller, name) in [(&alice, "alice"), (&bob, "bob")] {
            list(caller, name).await.content();
        }
        faults.inject(&world().person("alice").bucket, Fault::Hang, u32::MAX);
        let began = Instant::now();
        let held = join_all((0..20).map(|_| async {
            let text = list(&alice, "alice").await.tool_error();
            (text, Instant::now())
        }));
        let others = async {
            for _ in 0..3 {
                list(&bob, "bob").await.content();
            }
            Instant::now()
        };
        let (held, others) = tokio::join!(held, others);
        for (text, answered) in held {
            assert!(text.contains("AWS is busy"), "{text}");
            assert!(others < answered, "bob waits for alice's bucket");
        }
        assert!(began.elapsed() < BUDGET, "{:?}", began.elapsed());
        faults.heal();
        assert_eq!(list(&alice, "alice").await.content()["count"], 3);
    });
}

#[test]
fn a_secret_that_hangs_holds_up_only_its_issuer_s_callers() {
    limited(async {
        let faults = Faults::start().await;
        let other = "the secret of another issuer: long enough";
        let server = Setup::new()
            .with(
                "/auth/issuers/1",
                json!({ "issuer": "other", "audience": "quilt-mcp-server", "hs256": other }),
            )
            .endpoint(&faults.endpoint())
            .start();
        faults.inject("GetSecretValue", Fault::Hang, u32::MAX);
        let alice = server.user("alice");
        let bob = server.with_token(claims("bob").with("iss", "other").sign(other));
        let held = async { (alice.post(PING).await.status, Instant::now()) };
        let others = async {
            for _ in 0..3 {
                assert_eq!(bob.post(PING).await.status, 200);
            }
            Instant::now()
        };
        let ((status, answered), others) = tokio::join!(held, others);
        assert_eq!(status, 503);
        assert!(others < answered, "bob waits for another issuer's secret");
        faults.heal();
        assert_eq!(alice.post(PING).await.status, 200);
    });
}
