//! Nothing secret leaves: planted secrets are searched for in every log line, answer and metric.

use serde_json::json;

use super::support::{
    Setup, claims,
    fault::{Fault, Faults},
    limited,
    server::answer,
    world,
};

#[test]
fn no_token_secret_or_credential_is_ever_written() {
    limited(async {
        let world = world();
        let faults = Faults::start().await;
        let server = Setup::new()
            .with("/telemetry", json!({ "level": "debug", "metrics": "emf" }))
            .with("/roles/externalId", "external-id-hunter2")
            .endpoint(&faults.endpoint())
            .start();
        let alice = server.user("alice");
        let mut tokens = vec![alice.token.clone().unwrap()];
        let mut answers = Vec::new();
        for tool in ["whoami", "auth_status", "bucket_list"] {
            answers.push(alice.call(tool, json!({})).await.text);
        }
        // Refused in every way.
        for token in [
            claims("alice").with("exp", 1).sign(&world.secret),
            claims("alice")
                .with("iss", "hunter2-issuer")
                .sign(&world.secret),
            claims("alice").sign("another secret, hunter2"),
            "hunter2.hunter2.hunter2".to_owned(),
        ] {
            answers.push(server.with_token(&token).post("{}").await.text);
            // The same as an argument, well placed and misplaced.
            for arguments in [
                json!({ "access_token": token }),
                json!({ "access_token": [token] }),
                json!({ "access_token": { token.clone(): 1 } }),
            ] {
                let judged = alice.call("validate_bearer_token", arguments).await;
                answers.push(judged.text);
            }
            tokens.push(token);
        }
        // Failing in every way, with bodies that hold secrets.
        answers.push(
            alice
                .call(
                    "bucket_objects_list",
                    json!({ "bucket": "hunter2-bucket", "prefix": "hunter2" }),
                )
                .await
                .text,
        );
        answers.push(
            alice
                .call("hunter2", json!({}))
                .await
                .text
                .replace("hunter2", ""),
        );
        answers.push(
            alice
                .post(r#"{"jsonrpc":"2.0","id":"hunter2","method":{"hunter2":1}}"#)
                .await
                .text
                .replace("hunter2", ""),
        );
        answers.push(
            alice
                .rpc("hunter2", json!({}))
                .await
                .text
                .replace("hunter2", ""),
        );
        let made_up = reqwest::Method::from_bytes(b"HUNTER2-hunter2").unwrap();
        answer(alice.request(made_up)).await;
        let _ = server
            .client
            .get(server.url("/mcp?token=hunter2"))
            .send()
            .await
            .unwrap();
        let _ = server
            .client
            .get(server.url("/hunter2/path"))
            .send()
            .await
            .unwrap();
        for fault in [
            Fault::denied(),
            Fault::throttled(),
            Fault::Garbage,
            Fault::Reset,
        ] {
            faults.inject("Action=AssumeRole", fault, u32::MAX);
            answers.push(server.user("bob").call("auth_status", json!({})).await.text);
            faults.heal();
        }
        let log = server.terminate();
        assert!(
            log.contains("role assumed")
                && log.contains("AuthFailures")
                && log.contains("RoleAssumptionSuccess"),
            "{log}"
        );
        let everything = format!("{log}\n{}", answers.join("\n"));
        let mut secrets = vec![world.secret.clone(), "external-id-hunter2".to_owned()];
        for token in &tokens {
            // A token is secret as a whole and in each of its parts.
            secrets.extend(
                token
                    .split('.')
                    .filter(|part| part.len() > 8)
                    .map(str::to_owned),
            );
        }
        for secret in &secrets {
            assert!(
                !everything.contains(secret.as_str()),
                "{secret} is in\n{everything}"
            );
        }
        // moto's credentials of a role: their key ids begin so.
        assert!(!everything.contains("ASIA"), "{everything}");
        for word in [
            "hunter2",
            "Authorization",
            "authorization",
            "SecretAccessKey",
            "SessionToken",
            "x-amz-security-token",
        ] {
            assert!(!log.contains(word), "{word} is in the log\n{log}");
        }
    });
}

#[test]
fn the_log_of_a_call_says_who_what_and_how_long() {
    limited(async {
        let server = Setup::new().with("/telemetry/metrics", "emf").start();
        let answered = server.user("alice").call("auth_status", json!({})).await;
        let id = answered.header("x-request-id").unwrap().to_owned();
        let session = answered.content()["aws"]["role_session"].clone();
        server.user("alice").call("nothing", json!({})).await;
        server
            .user("alice")
            .call("bucket_objects_list", json!({ "bucket": "" }))
            .await
            .tool_error();
        server.with_token("bad").post("{}").await;
        let log = server.terminate();
        let lines: Vec<serde_json::Value> = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let request = lines
            .iter()
            .find(|line| line["message"] == "request" && line["request_id"] == id.as_str())
            .unwrap();
        assert_eq!(request["subject"], "alice");
        assert_eq!(request["tool"], "auth_status");
        assert_eq!(request["role_session"], session);
        assert_eq!(request["status"], 200);
        assert!(request["duration_ms"].as_f64().unwrap() > 0.0);
        let count = |metric: &str| {
            lines
                .iter()
                .filter(|line| line.get(metric).is_some())
                .count()
        };
        assert_eq!(count("RoleAssumptionSuccess"), 1);
        assert_eq!(count("RoleAssumptionLatency"), 1);
        assert_eq!(count("ToolCalls"), 2);
        assert_eq!(count("ToolErrors"), 1);
        assert_eq!(count("AuthFailures"), 1);
        let outcomes: Vec<_> = lines
            .iter()
            .filter(|line| line["message"] == "request")
            .map(|line| line["outcome"].clone())
            .collect();
        assert_eq!(
            outcomes,
            [
                json!(null),
                json!("rpc_error"),
                json!("tool_error"),
                json!("refused")
            ]
        );
    });
}
