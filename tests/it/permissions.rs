//! What a token's claims permit, and the tools that say so.

use serde_json::{Value, json};

use super::support::{
    Setup, claims,
    fault::Faults,
    limited,
    server::{Caller, Server},
    token::Claims,
    world,
};

const ASSUME: &str = "Action=AssumeRole&";

/// A server whose requests to AWS are seen.
async fn watched() -> (Faults, Server) {
    let aws = Faults::start().await;
    let server = Setup::new().endpoint(&aws.endpoint()).start();
    (aws, server)
}

/// How many requests AWS got, but for the signing secret.
fn asked(aws: &Faults) -> usize {
    aws.count(" HTTP/1.1") - aws.count("GetSecretValue")
}

/// Alice's token with further claims.
fn token(further: Value) -> Claims {
    let token = claims("alice").roles(&world().person("alice").roles);
    let further = further.as_object().unwrap().clone();
    further
        .into_iter()
        .fold(token, |token, (claim, value)| token.with(&claim, value))
}

fn alice(server: &Server, further: Value) -> Caller {
    server.with_token(token(further).sign(&world().secret))
}

async fn list(caller: &Caller, bucket: &str) -> super::support::server::Answer {
    caller
        .call("bucket_objects_list", json!({ "bucket": bucket }))
        .await
}

#[test]
fn what_the_claims_do_not_permit_is_refused_before_aws_is_asked() {
    limited(async {
        let (aws, server) = watched().await;
        let bucket = &world().person("alice").bucket;
        for (further, expected) in [
            (
                json!({ "permissions": ["s3:GetObject"] }),
                "s3:ListBucket, which your token's `permissions` claim does not list",
            ),
            (json!({ "permissions": [] }), "needs s3:ListBucket"),
            (json!({ "p": ["g"] }), "needs s3:ListBucket"),
            (json!({ "p": "not a list" }), "needs s3:ListBucket"),
            (
                json!({ "quilt": { "buckets": ["other"] } }),
                "does not name the bucket alice-genomics",
            ),
            (json!({ "buckets": [] }), "does not name the bucket"),
            (
                json!({ "b": { "_type": "groups", "_data": { "alice": ["other"] } } }),
                "does not name",
            ),
            (
                json!({ "b": { "_type": "unheard-of", "_data": [] } }),
                "does not name",
            ),
        ] {
            let refused = list(&alice(&server, further.clone()), bucket)
                .await
                .tool_error();
            assert!(
                refused.starts_with("Your token does not permit this"),
                "{further}: {refused}"
            );
            assert!(refused.contains(expected), "{further}: {refused}");
            assert!(
                refused.contains("Ask whoever issues your token"),
                "{refused}"
            );
        }
        assert_eq!(asked(&aws), 0, "AWS was asked");
        for further in [
            json!({}),
            json!({ "permissions": ["s3:ListBucket"], "buckets": [bucket] }),
            json!({ "p": ["l"], "b": { "_type": "groups", "_data": { "alice": ["genomics"] } } }),
            json!({ "buckets": ["*"] }),
        ] {
            let answer = list(&alice(&server, further.clone()), bucket).await;
            assert_eq!(answer.content()["count"], 3, "{further}");
        }
    });
}

#[test]
fn claims_never_give_what_iam_does_not() {
    limited(async {
        let server = Server::start();
        let bob = &world().person("bob").bucket;
        let all =
            json!({ "permissions": ["s3:ListBucket"], "buckets": ["*", bob], "level": "admin" });
        assert_eq!(
            list(&alice(&server, all), bob).await.tool_error(),
            "AWS denied this to your role. Ask whoever manages the role for the permission."
        );
    });
}

#[test]
fn the_bucket_that_is_judged_is_the_bucket_that_is_used() {
    limited(async {
        let (aws, server) = watched().await;
        let own = &world().person("alice").bucket;
        let caller = alice(&server, json!({ "buckets": [own] }));
        // However it is written, it is the same bucket to both.
        for written in [own.clone(), format!("s3://{own}"), format!("s3://{own}/")] {
            let content = list(&caller, &written).await.content();
            assert_eq!(content["bucket"], own.as_str());
        }
        let before = asked(&aws);
        for written in [
            "s3://bob-microscopy",
            "s3://bob-microscopy/",
            "s3://alice-genomics/../bob-microscopy",
            "alice-genomics/",
            "alice-genomics?x=",
            "S3://alice-genomics",
            " alice-genomics",
            "*",
        ] {
            list(&caller, written).await.tool_error();
        }
        assert_eq!(asked(&aws), before, "AWS was asked");
    });
}

#[test]
fn a_narrowed_caller_is_shown_no_other_buckets() {
    limited(async {
        let server = Server::start();
        let own = &world().person("alice").bucket;
        let names = async |further: Value| {
            let answer = alice(&server, further).call("bucket_list", json!({})).await;
            let content = answer.content();
            let buckets = content["buckets"].as_array().unwrap();
            let named = |bucket: &Value| bucket["name"].as_str().unwrap().to_owned();
            buckets.iter().map(named).collect::<Vec<_>>()
        };
        assert!(names(json!({})).await.contains(own));
        assert!(names(json!({ "buckets": ["*"] })).await.contains(own));
        assert_eq!(
            names(json!({ "buckets": [own, "other"] })).await,
            [own.as_str()]
        );
        assert!(names(json!({ "buckets": ["other"] })).await.is_empty());
        let refused = alice(&server, json!({ "p": ["l", "g"] }))
            .call("bucket_list", json!({}))
            .await
            .tool_error();
        assert!(refused.contains("s3:ListAllMyBuckets"), "{refused}");
    });
}

#[test]
fn the_user_s_information_and_permissions_are_those_of_the_token() {
    limited(async {
        let (aws, server) = watched().await;
        let caller = alice(
            &server,
            json!({
                "email": "alice@example.com", "preferred_username": "Alice", "groups": ["science"],
                "roles": ["ReadOnlyQuilt", world().person("alice").roles[1]],
                "s": "w openid", "p": ["g", "l"], "b": ["alice-genomics"], "l": "write",
            }),
        );
        let info = caller.call("get_user_info", json!({})).await.content();
        assert_eq!(info["caller"]["subject"], "alice");
        assert_eq!(
            (&info["name"], &info["email"]),
            (&json!("Alice"), &json!("alice@example.com"))
        );
        assert_eq!(
            (&info["groups"], &info["role_names"]),
            (&json!(["science"]), &json!(["ReadOnlyQuilt"]))
        );
        assert_eq!(info["role_arns"], json!(world().person("alice").roles));
        let permissions = caller
            .call("get_user_permissions", json!({}))
            .await
            .content();
        assert_eq!(permissions["narrowed"], true);
        assert_eq!(
            permissions["permissions"],
            json!(["s3:GetObject", "s3:ListBucket"])
        );
        assert_eq!(permissions["buckets"], json!(["alice-genomics"]));
        assert_eq!(permissions["level"], "write");
        assert_eq!(permissions["scopes"], json!(["w", "openid"]));
        assert_eq!(permissions["parity"], Value::Null);
        let plain = server
            .user("alice")
            .call("get_user_permissions", json!({}))
            .await
            .content();
        assert_eq!(plain["narrowed"], false);
        assert_eq!(
            (&plain["permissions"], &plain["buckets"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(asked(&aws), 0, "AWS was asked");
    });
}

#[test]
fn a_token_is_compared_with_what_its_roles_grant() {
    limited(async {
        let quilt = json!({
            "roles": { "Reader": { "permissions": ["s3:ListBucket"], "buckets": ["alice-genomics"] } },
            "expectedBuckets": 1,
        });
        let equal = || json!({ "roles": ["Reader"], "p": ["l"], "b": ["alice-genomics"] });
        let more =
            || json!({ "roles": ["Reader"], "p": ["l", "g"], "b": ["alice-genomics", "x-1"] });
        let show = async |server: &Server, further: Value| {
            let caller = alice(server, further);
            caller
                .call("get_user_permissions", json!({}))
                .await
                .content()
        };
        for mode in ["report", "enforce"] {
            let mut quilt = quilt.clone();
            quilt["parity"] = json!(mode);
            let server = Setup::new().with("/quilt", quilt).start();
            let good = show(&server, equal()).await;
            assert_eq!(good["parity_holds"], true, "{good}");
            let bad = show(&server, more()).await;
            assert_eq!(bad["parity_holds"], false);
            assert_eq!(bad["parity"]["excess_permissions"], json!(["s3:GetObject"]));
            assert_eq!(bad["parity"]["excess_buckets"], json!(["x-1"]));
            assert_eq!(bad["parity"]["unexpected_bucket_count"], 2);
            let content = list(&alice(&server, equal()), "alice-genomics").await;
            assert_eq!(content.content()["count"], 3);
            let differs = list(&alice(&server, more()), "alice-genomics").await;
            if mode == "enforce" {
                let refused = differs.tool_error();
                assert!(
                    refused.contains("differs from what its roles grant"),
                    "{refused}"
                );
            } else {
                assert_eq!(differs.content()["count"], 3);
            }
            // A token that nothing narrows is not compared.
            assert_eq!(show(&server, json!({})).await["parity"], Value::Null);
            let written = server.terminate();
            let lines = written.lines().filter(|line| {
                line.contains("a token's permissions differ from those of its roles")
            });
            assert_eq!(
                lines.count(),
                2,
                "one for each call that differed: {written}"
            );
        }
    });
}

#[test]
fn a_token_is_judged_as_the_door_would_and_never_adopted() {
    limited(async {
        let (aws, server) = watched().await;
        let caller = server.user("alice");
        let judge = async |token: &str| {
            let arguments = json!({ "access_token": token });
            let answer = caller.call("validate_bearer_token", arguments).await;
            assert!(!token.is_empty() && !answer.text.contains(token));
            answer.content()
        };
        let secret = &world().secret;
        let bob = claims("bob").roles(&world().person("bob").roles);
        let good = judge(&bob.sign(secret)).await;
        assert_eq!(
            (&good["valid"], &good["error"]),
            (&json!(true), &Value::Null)
        );
        assert_eq!(
            (&good["subject"], &good["issuer"]),
            (&json!("bob"), &json!("quilt-frontend"))
        );
        // The call after it is still alice's.
        let who = caller.call("whoami", json!({})).await.content();
        assert_eq!(who["subject"], "alice");
        let mut notes = std::collections::BTreeSet::new();
        for (token, code) in [
            (claims("bob").with("exp", 1).sign(secret), "token_expired"),
            (
                claims("bob").with("iss", "other").sign(secret),
                "invalid_issuer",
            ),
            (
                claims("bob").with("aud", "other").sign(secret),
                "invalid_audience",
            ),
            (
                claims("bob").sign("another secret, 32 bytes or longer"),
                "invalid_signature",
            ),
            (
                claims("bob")
                    .with("exp", 1)
                    .sign("another secret, 32 bytes or longer"),
                "invalid_signature",
            ),
            (claims("bob").without("sub").sign(secret), "invalid_claims"),
            (
                claims("bob").with("level", "root").sign(secret),
                "invalid_claims",
            ),
            (
                claims("bob").header("alg", "none").sign(secret),
                "invalid_token",
            ),
            ("not-a-token".to_owned(), "invalid_token"),
            (format!("Bearer {}", bob.sign(secret)), "invalid_token"),
            ("x".repeat(16_385), "invalid_token"),
        ] {
            let verdict = judge(&token).await;
            assert_eq!(verdict["valid"], false, "{verdict}");
            assert_eq!(verdict["error"], code, "{verdict}");
            // Nothing of the token comes back, and the words are the same for all.
            for claim in ["subject", "issuer", "expires_at"] {
                assert_eq!(verdict[claim], Value::Null, "{verdict}");
            }
            notes.insert(verdict["note"].as_str().unwrap().to_owned());
            // The door agrees.
            let refused = server.with_token(&token).call("whoami", json!({})).await;
            assert!(
                refused.status == 401 || refused.status == 400,
                "{refused:?}"
            );
        }
        assert_eq!(notes.len(), 1, "{notes:?}");
        let empty = caller
            .call("validate_bearer_token", json!({ "access_token": "" }))
            .await;
        assert_eq!(empty.content()["error"], "invalid_token");
        let wrong = json!({ "access_token": ["hunter2-token"] });
        let wrong = caller
            .call("validate_bearer_token", wrong)
            .await
            .tool_error();
        assert!(!wrong.contains("hunter2"), "{wrong}");
        assert_eq!(asked(&aws), 0, "AWS was asked");
        let written = server.terminate();
        for token in [
            bob.sign(secret),
            "hunter2".to_owned(),
            "not-a-token".to_owned(),
        ] {
            assert!(!written.contains(&token), "{written}");
        }
    });
}

#[test]
fn access_to_a_bucket_is_judged_by_the_claims_and_then_by_aws() {
    limited(async {
        let (aws, server) = watched().await;
        let (own, other) = (
            &world().person("alice").bucket,
            &world().person("bob").bucket,
        );
        let judge = async |further: Value, bucket: &str, operation: &str| {
            let arguments = json!({ "bucket_name": bucket, "operation": operation });
            let caller = alice(&server, further);
            let verdict = caller
                .call("validate_bucket_access", arguments)
                .await
                .content();
            (
                verdict["claims_permit"].as_bool().unwrap(),
                verdict["aws_permits"].as_bool(),
                verdict["note"].as_str().unwrap().to_owned(),
            )
        };
        // Refused by the claims: AWS is not asked.
        for (further, operation, expected) in [
            (json!({ "p": ["g", "p"] }), "list", "s3:ListBucket"),
            (json!({ "p": ["l", "p"] }), "read", "s3:GetObject"),
            (json!({ "p": ["l", "g"] }), "write", "s3:PutObject"),
            (
                json!({ "buckets": ["x-1"] }),
                "read",
                "does not name alice-genomics",
            ),
        ] {
            let (claims, tried, note) = judge(further, own, operation).await;
            assert_eq!((claims, tried), (false, None), "{note}");
            assert!(note.contains(expected), "{note}");
        }
        // Writing is never tried.
        let (claims, tried, note) = judge(json!({ "p": ["p"], "b": [own] }), own, "write").await;
        assert_eq!((claims, tried), (true, None), "{note}");
        assert!(note.contains("only IAM decides"), "{note}");
        // Nor is reading, by a token that may not list.
        let (claims, tried, note) = judge(json!({ "p": ["g"], "b": [own] }), own, "read").await;
        assert_eq!((claims, tried), (true, None), "{note}");
        assert!(note.contains("would have to be listed"), "{note}");
        assert_eq!(asked(&aws), 0, "AWS was asked");
        for operation in ["read", "list"] {
            let (claims, tried, note) = judge(json!({}), own, operation).await;
            assert_eq!((claims, tried), (true, Some(true)), "{note}");
            let (claims, tried, note) = judge(json!({ "buckets": ["*"] }), other, operation).await;
            assert_eq!((claims, tried), (true, Some(false)), "{note}");
            assert!(note.contains("AWS denied this"), "{note}");
        }
        assert_eq!(aws.count("PUT /"), 0);
        let caller = server.user("alice");
        let default = json!({ "bucket_name": format!("s3://{own}/") });
        let verdict = caller
            .call("validate_bucket_access", default)
            .await
            .content();
        assert_eq!(
            (&verdict["operation"], &verdict["bucket_name"]),
            (&json!("read"), &json!(own))
        );
        for wrong in [
            json!({ "bucket_name": own, "operation": "delete" }),
            json!({ "bucket_name": "" }),
            json!({}),
        ] {
            caller
                .call("validate_bucket_access", wrong)
                .await
                .tool_error();
        }
    });
}

#[test]
fn reading_is_tried_by_reading() {
    limited(async {
        let (aws, server) = watched().await;
        let own = &world().person("alice").bucket;
        // A role that may list and not read: S3 says so, and only a GET shows it.
        let denied = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        let key = world().person("alice").keys[0].clone();
        aws.inject(
            format!("{key}?x-id=GetObject"),
            super::support::fault::Fault::Answer(403, "application/xml", denied.to_owned()),
            9,
        );
        let judge = async |operation: &str| {
            let arguments = json!({ "bucket_name": own, "operation": operation });
            let caller = server.user("alice");
            caller
                .call("validate_bucket_access", arguments)
                .await
                .content()["aws_permits"]
                .clone()
        };
        assert_eq!(judge("list").await, true);
        assert_eq!(judge("read").await, false);
        aws.heal();
        assert_eq!(judge("read").await, true);
    });
}

#[test]
fn access_to_a_tool_is_judged_by_the_claims_alone() {
    limited(async {
        let (aws, server) = watched().await;
        let judge = async |further: Value, arguments: Value| {
            let caller = alice(&server, further);
            let verdict = caller
                .call("validate_tool_access", arguments)
                .await
                .content();
            (
                verdict["claims_permit"].as_bool().unwrap(),
                verdict["note"].as_str().unwrap().to_owned(),
            )
        };
        let narrow = || json!({ "p": ["l"], "b": ["x-1"] });
        for (tool, bucket, expected) in [
            ("bucket_objects_list", json!("x-1"), true),
            ("bucket_objects_list", json!("s3://x-1"), true),
            ("bucket_objects_list", json!("x-2"), false),
            ("bucket_objects_list", Value::Null, false),
            ("bucket_object_text", json!("x-1"), false),
            ("package_delete", json!("x-1"), false),
            ("whoami", Value::Null, true),
            ("unheard_of", json!("x-1"), false),
        ] {
            let arguments = json!({ "tool_name": tool, "bucket_name": bucket });
            let (permit, note) = judge(narrow(), arguments.clone()).await;
            assert_eq!(permit, expected, "{tool} {bucket}: {note}");
            let (permit, note) = judge(json!({}), arguments).await;
            assert!(permit, "{tool}: nothing narrows it");
            let unknown = note.contains("does not know");
            assert_eq!(unknown, tool == "unheard_of", "{tool}: {note}");
        }
        let caller = server.user("alice");
        let verdict = caller
            .call(
                "validate_tool_access",
                json!({ "tool_name": "package_create" }),
            )
            .await
            .content();
        assert_eq!(
            verdict["needs"],
            json!(["s3:ListBucket", "s3:GetObject", "s3:PutObject"])
        );
        for wrong in [
            json!({}),
            json!({ "tool_name": "" }),
            json!({ "tool_name": "x".repeat(65) }),
        ] {
            caller
                .call("validate_tool_access", wrong)
                .await
                .tool_error();
        }
        assert_eq!(asked(&aws), 0, "AWS was asked");
        assert_eq!(aws.count(ASSUME), 0);
    });
}

#[test]
fn without_a_token_each_says_what_that_means() {
    limited(async {
        let server = Setup::no_auth().start();
        let caller = server.anonymous();
        for tool in ["get_user_info", "get_user_permissions"] {
            let content = caller.call(tool, json!({})).await.content();
            let note = content["note"].as_str().unwrap();
            assert!(note.contains("without authentication"), "{tool}: {note}");
        }
        let tool = json!({ "tool_name": "bucket_objects_list" });
        let content = caller.call("validate_tool_access", tool).await.content();
        assert!(
            content["note"]
                .as_str()
                .unwrap()
                .contains("without authentication")
        );
        for operation in ["read", "write", "list"] {
            let query = json!({ "bucket_name": "alice-genomics", "operation": operation });
            let text = caller
                .call("validate_bucket_access", query)
                .await
                .tool_error();
            assert!(text.contains("without authentication"), "{text}");
        }
        let token = json!({ "access_token": claims("alice").sign(&world().secret) });
        let text = caller
            .call("validate_bearer_token", token)
            .await
            .tool_error();
        assert!(text.contains("No token can be judged here"), "{text}");
    });
}
