//! The tools, with each caller's own credentials.

use serde_json::{Value, json};

use super::support::{Setup, limited, server::Server, world};

#[test]
fn alice_sees_account_one_and_bob_account_two() {
    limited(async {
        let server = Server::start();
        for (name, other) in [("alice", "bob"), ("bob", "alice"), ("alice", "bob")] {
            let (person, other) = (world().person(name), world().person(other));
            let caller = server.user(name);
            let buckets = caller.call("bucket_list", json!({})).await.content();
            let names: Vec<&str> = buckets["buckets"]
                .as_array()
                .unwrap()
                .iter()
                .map(|bucket| bucket["name"].as_str().unwrap())
                .collect();
            assert!(names.contains(&person.bucket.as_str()), "{names:?}");
            assert!(!names.contains(&other.bucket.as_str()), "{names:?}");
            let objects = caller
                .call("bucket_objects_list", json!({ "bucket": person.bucket }))
                .await
                .content();
            let keys: Vec<&str> = objects["objects"]
                .as_array()
                .unwrap()
                .iter()
                .map(|object| object["key"].as_str().unwrap())
                .collect();
            assert_eq!(keys, person.keys);
            let proof = caller.call("auth_status", json!({})).await.content();
            assert_eq!(proof["aws"]["account"], person.account.as_str());
            let session = proof["aws"]["role_session"].as_str().unwrap();
            assert!(session.starts_with(&format!("mcp-{name}-")), "{session}");
            assert!(proof["aws"]["arn"].as_str().unwrap().ends_with(session));
            assert_eq!(proof["caller"]["subject"], name);
        }
    });
}

#[test]
fn whoami_says_what_was_proven() {
    limited(async {
        let server = Server::start();
        let alice = world().person("alice");
        let content = server
            .user("alice")
            .call("whoami", json!({}))
            .await
            .content();
        assert_eq!(content["subject"], "alice");
        assert_eq!(content["issuer"], "quilt-frontend");
        assert_eq!(
            (&content["environment"], &content["scheme"]),
            (&json!("web-jwt"), &json!("jwt"))
        );
        assert_eq!(content["role"], alice.roles[0].as_str());
        assert!(content["expires_at"].as_str().unwrap().ends_with('Z'));
        // It is answered without AWS: a server that cannot reach it answers all the same.
        let alone = Setup::new()
            .with("/auth/issuers/0/hs256", world().secret.as_str())
            .endpoint("http://127.0.0.1:9")
            .start();
        assert_eq!(
            alone
                .user("alice")
                .call("whoami", json!({}))
                .await
                .content()["subject"],
            "alice"
        );
    });
}

#[test]
fn objects_come_in_pages() {
    limited(async {
        let server = Server::start();
        let alice = world().person("alice");
        let list = async |arguments: Value| {
            let mut all = json!({ "bucket": alice.bucket });
            all.as_object_mut()
                .unwrap()
                .extend(arguments.as_object().unwrap().clone());
            server.user("alice").call("bucket_objects_list", all).await
        };
        let first = list(json!({ "max_keys": 2 })).await.content();
        assert_eq!(
            (&first["count"], &first["is_truncated"]),
            (&json!(2), &json!(true))
        );
        let token = first["next_continuation_token"].clone();
        let second = list(json!({ "max_keys": 2, "continuation_token": token }))
            .await
            .content();
        assert_eq!(
            (&second["count"], &second["is_truncated"]),
            (&json!(1), &json!(false))
        );
        assert_eq!(second["next_continuation_token"], Value::Null);
        let prefixed = list(json!({ "prefix": "samples/" })).await.content();
        assert_eq!(prefixed["count"], 2);
        assert_eq!(
            prefixed["objects"][0]["s3_uri"],
            "s3://alice-genomics/samples/a.fastq"
        );
        for wrong in [
            json!({ "max_keys": 0 }),
            json!({ "max_keys": 10_001 }),
            json!({ "prefix": "x".repeat(1_025) }),
        ] {
            let text = list(wrong.clone()).await.tool_error();
            assert!(text.contains('`'), "{wrong}: {text}");
        }
    });
}

#[test]
fn what_aws_refuses_is_said_in_words() {
    limited(async {
        let server = Server::start();
        let caller = server.user("alice");
        let list = async |bucket: &str| {
            caller
                .call("bucket_objects_list", json!({ "bucket": bucket }))
                .await
                .tool_error()
        };
        assert_eq!(
            list("alice-genomics-missing").await,
            "AWS does not know the bucket. Check its name."
        );
        // The bucket is there, and the role is what decides.
        assert_eq!(
            list(&world().person("bob").bucket).await,
            "AWS denied this to your role. Ask whoever manages the role for the permission."
        );
        for bucket in [
            "",
            "a",
            "s3://",
            "bucket/with/path",
            "../x",
            "arn:aws:s3:::x",
            "a b c",
            "évil",
        ] {
            let text = list(bucket).await;
            assert!(text.contains("not a bucket's name"), "{bucket}: {text}");
        }
        let uri = format!("s3://{}/", world().person("alice").bucket);
        assert_eq!(
            caller
                .call("bucket_objects_list", json!({ "bucket": uri }))
                .await
                .content()["count"],
            3
        );
    });
}

#[test]
fn definitions_are_complete_and_true() {
    limited(async {
        let server = Server::start();
        let tools = server
            .user("alice")
            .rpc("tools/list", json!({}))
            .await
            .json()["result"]["tools"]
            .clone();
        let asks_nobody = [
            "whoami",
            "get_user_info",
            "get_user_permissions",
            "validate_tool_access",
            "get_current_quilt_role",
        ];
        for tool in tools.as_array().unwrap() {
            assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
            assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{tool}");
            assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
            assert_eq!(
                tool["annotations"]["readOnlyHint"],
                tool["name"] != "assume_quilt_user_role",
                "{tool}"
            );
            assert_eq!(tool["annotations"]["destructiveHint"], false, "{tool}");
            assert_eq!(
                tool["annotations"]["openWorldHint"],
                !asks_nobody.contains(&tool["name"].as_str().unwrap()),
                "{tool}"
            );
            assert!(tool["description"].as_str().unwrap().len() > 20, "{tool}");
            assert!(
                !tool.to_string().contains("$ref"),
                "schemas are inlined: {tool}"
            );
        }
    });
}
