//! What STS is asked for, as it is on the wire, and when it is asked again.

use std::collections::BTreeMap;

use serde_json::json;

use super::support::{Setup, claims, fault::Faults, limited, server::Server, token::now, world};

const ASSUME: &str = "Action=AssumeRole&";
/// What a tool that reads is narrowed to.
const READ_POLICY: &str = include_str!("../../src/aws/read.policy.json");

async fn watched() -> (Faults, Server) {
    let sts = Faults::start().await;
    let server = Setup::new()
        .with("/roles/externalId", "ext-42")
        .endpoint(&sts.endpoint())
        .start();
    (sts, server)
}

#[test]
fn sts_is_asked_for_the_caller_s_role_in_the_caller_s_name() {
    limited(async {
        let (sts, server) = watched().await;
        let alice = world().person("alice");
        let token = claims("auth0|alice")
            .roles(&alice.roles)
            .with("exp", now() + 1_800)
            .with("session_tags", json!({ "team": "genomics", "cost": "42" }))
            .with("transitive_tag_keys", json!(["team"]))
            .sign(&world().secret);
        let caller = server
            .with_token(token)
            .header("x-quilt-user-role", &alice.roles[1]);
        let proof = caller.call("auth_status", json!({})).await.content();

        let [mut asked] = <[_; 1]>::try_from(sts.queries(ASSUME)).unwrap();
        let name = asked.remove("RoleSessionName").unwrap();
        assert_eq!(proof["aws"]["role_session"], name.as_str());
        let source = asked.remove("SourceIdentity").unwrap();
        assert!(source.starts_with("=auth0-alice-"), "{source}");
        // Not longer than the token.
        let seconds: u64 = asked.remove("DurationSeconds").unwrap().parse().unwrap();
        assert!((1_740..=1_800).contains(&seconds), "{seconds}");
        let expected = [
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", alice.roles[1].as_str()),
            ("ExternalId", "ext-42"),
            ("Policy", READ_POLICY),
            ("Tags.member.1.Key", "cost"),
            ("Tags.member.1.Value", "42"),
            ("Tags.member.2.Key", "team"),
            ("Tags.member.2.Value", "genomics"),
            ("TransitiveTagKeys.member.1", "team"),
        ];
        let expected: BTreeMap<String, String> = expected
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        assert_eq!(asked, expected);
    });
}

#[test]
fn credentials_serve_again_only_for_the_same_caller_with_the_same_claims() {
    limited(async {
        let (sts, server) = watched().await;
        let alice = world().person("alice");
        let own = || claims("alice").with("role_arn", alice.roles[0].as_str());
        let tagged = |tag: &str| own().with("session_tags", json!({ "team": tag }));
        for (token, assumed) in [
            (own(), 1),
            (own().with("jti", "another token"), 1),
            (tagged("genomics"), 2),
            (tagged("imaging"), 3),
            (
                tagged("imaging").with("transitive_tag_keys", json!(["team"])),
                4,
            ),
            (own().with("roles", alice.roles.clone()), 5),
            (own(), 5),
        ] {
            let caller = server.with_token(token.sign(&world().secret));
            caller.call("auth_status", json!({})).await.content();
            assert_eq!(sts.calls(ASSUME).len(), assumed, "{token:?}");
        }
    });
}

#[test]
fn an_external_id_may_be_stored_as_a_secret() {
    limited(async {
        let world = world();
        let arn = world
            .create_secret("roles/external-id", r#"{"id":"ext-stored"}"#)
            .await;
        let sts = Faults::start().await;
        let server = Setup::new()
            .with("/roles/externalId", json!({ "$secret": arn, "key": "id" }))
            .endpoint(&sts.endpoint())
            .start();
        for name in ["alice", "bob"] {
            let caller = server.user(name);
            caller.call("auth_status", json!({})).await.content();
        }
        let asked = sts.queries(ASSUME);
        assert_eq!(asked.len(), 2);
        assert!(
            asked
                .iter()
                .all(|query| query["ExternalId"] == "ext-stored"),
            "{asked:?}"
        );
    });
}

#[test]
fn without_its_external_id_a_server_assumes_no_role() {
    limited(async {
        let world = world();
        let held = [
            ("roles/not-an-external-id", r#"{"id":"with a space"}"#),
            ("roles/without-the-key", r#"{"other":"ext-stored"}"#),
            ("roles/not-an-object", "ext-stored"),
        ];
        let mut arns =
            vec!["arn:aws:secretsmanager:us-east-1:123456789012:secret:missing-AbCdEf".to_owned()];
        for (name, value) in held {
            arns.push(world.create_secret(name, value).await);
        }
        for arn in arns {
            let sts = Faults::start().await;
            let server = Setup::new()
                .with("/roles/externalId", json!({ "$secret": arn, "key": "id" }))
                .endpoint(&sts.endpoint())
                .start();
            let health = async || {
                let answer = server.client.get(server.url("/healthz")).send().await;
                answer.unwrap().status().as_u16()
            };
            assert_eq!(health().await, 200, "nothing was tried yet");
            let caller = server.user("alice");
            let text = caller.call("auth_status", json!({})).await.tool_error();
            assert!(text.contains("Whoever runs it"), "{arn}: {text}");
            assert!(
                !text.contains("ext-stored") && !text.contains("arn:"),
                "{text}"
            );
            assert_eq!(sts.count(ASSUME), 0, "{arn}: STS was asked without it");
            assert_eq!(health().await, 503, "{arn}");
        }
    });
}

#[test]
fn a_tool_that_reads_assumes_with_a_policy_that_reads_unless_the_operator_says_otherwise() {
    limited(async {
        for (mode, policy) in [("tool", Some(READ_POLICY)), ("off", None)] {
            let sts = Faults::start().await;
            let server = Setup::new()
                .with("/roles/sessionPolicy", mode)
                .endpoint(&sts.endpoint())
                .start();
            let alice = world().person("alice");
            let caller = server.user("alice");
            caller
                .call("bucket_objects_list", json!({ "bucket": alice.bucket }))
                .await
                .content();
            caller.call("auth_status", json!({})).await.content();
            let [asked] = <[_; 1]>::try_from(sts.queries(ASSUME)).unwrap();
            assert_eq!(asked.get("Policy").map(String::as_str), policy, "{mode}");
        }
    });
}

#[test]
fn a_server_does_not_assume_the_role_it_runs_as() {
    limited(async {
        let world = world();
        let sts = Faults::start().await;
        let own = &world.person("alice").roles[0];
        let server = Setup::new()
            .with("/auth/issuers/0/hs256", world.secret.as_str())
            .endpoint(&sts.endpoint())
            .running_with(&world.role_credentials(own).await)
            .start();
        // The operator's list and the token both name it, and it is still not for callers.
        let text = server.user("alice").call("auth_status", json!({})).await;
        let text = text.tool_error();
        assert!(!text.contains("arn:"), "{text}");
        assert_eq!(sts.count(ASSUME), 0, "STS was asked for it");
    });
}

#[test]
fn two_subjects_with_one_role_share_no_credentials() {
    limited(async {
        let (sts, server) = watched().await;
        let role = world().person("alice").roles[0].as_str();
        for subject in ["alice", "eve", "alice", "eve"] {
            let token = claims(subject).with("role_arn", role).sign(&world().secret);
            let caller = server.with_token(token);
            let proof = caller.call("auth_status", json!({})).await.content();
            let session = proof["aws"]["role_session"].as_str().unwrap();
            assert!(session.starts_with(&format!("mcp-{subject}-")), "{session}");
        }
        assert_eq!(sts.calls(ASSUME).len(), 2);
    });
}
