//! Nothing secret leaves: planted secrets are searched for in every log line, answer and metric.

use serde_json::{Value, json};

use super::support::{
    FrontDoor, Function, Invocation, Issuer, Request, Setup, claims,
    fault::{Fault, Faults},
    issuer::CLIENT,
    limited,
    server::{Server, answer},
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

/// Ends a server as soon as `faults` has seen a request with `text`, which is never answered, and gives its audit lines.
/// A line that is written after the secret is used is not among them.
async fn audited_before(server: Server, faults: &Faults, text: &str) -> Vec<Value> {
    while faults.count(text) == 0 {
        tokio::task::yield_now().await;
    }
    let lines = server.kill().lines();
    let audited = |line: &Value| line["message"] == "audit";
    lines.into_iter().filter(audited).collect()
}

#[test]
fn a_role_is_audited_before_it_is_assumed() {
    limited(async {
        let faults = Faults::start().await;
        let server = Setup::new()
            .with("/roles/externalId", "external-id-hunter2")
            .endpoint(&faults.endpoint())
            .start();
        faults.inject("Action=AssumeRole&", Fault::Hang, u32::MAX);
        let alice = server.user("alice");
        let token = alice.token.clone().unwrap();
        let call = tokio::spawn(async move { alice.call("auth_status", json!({})).await });
        let lines = audited_before(server, &faults, "Action=AssumeRole&").await;
        assert!(call.await.is_err(), "the server ended before it answered");
        let [line] = lines.as_slice() else {
            panic!("{lines:?}")
        };
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["audit"], "assume_role");
        assert_eq!(line["issuer"], "quilt-frontend");
        assert_eq!(line["subject"], "alice");
        let asked = &faults.queries("Action=AssumeRole&")[0];
        assert_eq!(line["role"], asked["RoleArn"].as_str());
        assert_eq!(line["role_session"], asked["RoleSessionName"].as_str());
        let id = line["request_id"].as_str().unwrap();
        assert_eq!(id.len(), "0123456789abcdef-1".len(), "{id}");
        let written = line.to_string();
        assert!(
            !written.contains("hunter2") && !written.contains(&token),
            "{written}"
        );
    });
}

#[test]
fn a_token_is_audited_before_its_issuer_sees_it() {
    limited(async {
        for (request, asked) in [
            ("GET /api/auth/get_credentials", "registry"),
            ("POST /introspect", "introspection"),
        ] {
            let (issuer, faults) = Issuer::behind_faults().await;
            let settings = match asked {
                "registry" => json!({ "issuer": "the-judge", "registry": issuer.url }),
                _ => json!({ "issuer": "the-judge", "audience": "us", "introspection": {
                    "url": format!("{}/introspect", issuer.url), "clientId": CLIENT.0, "clientSecret": CLIENT.1 } }),
            };
            let server = Setup::new()
                .with("/auth/issuers", json!([settings]))
                .start();
            faults.inject(request, Fault::Hang, u32::MAX);
            let caller = server.with_token("token-hunter2");
            let call = tokio::spawn(async move { caller.post("{}").await });
            let lines = audited_before(server, &faults, request).await;
            assert!(call.await.is_err(), "the server ended before it answered");
            let [line] = lines.as_slice() else {
                panic!("{asked}: {lines:?}")
            };
            assert_eq!(line["audit"], "present_token", "{asked}");
            assert_eq!(line["issuer"], "the-judge");
            assert!(line["request_id"].is_string());
            assert!(
                line.get("subject").is_none(),
                "nobody is proven yet: {line}"
            );
            let written = line.to_string();
            assert!(!written.contains("hunter2") && !written.contains(CLIENT.1));
        }
    });
}

#[test]
fn credentials_of_a_registry_are_audited_before_they_are_used() {
    limited(async {
        let (registry, faults) = (Issuer::start().await, Faults::start().await);
        let server = Setup::new()
            .with(
                "/auth/issuers",
                json!([{ "issuer": "the-registry", "registry": registry.url }]),
            )
            .endpoint(&faults.endpoint())
            .start();
        let person = world().person("alice");
        let given = world().role_credentials(&person.roles[0]).await;
        registry.give("token-hunter2", Some(given.clone()));
        faults.inject("list-type=2", Fault::Hang, u32::MAX);
        let alice = server.with_token("token-hunter2");
        let who = alice.call("whoami", json!({})).await.content();
        let call = tokio::spawn(async move {
            let arguments = json!({ "bucket": person.bucket });
            alice.call("bucket_objects_list", arguments).await
        });
        let lines = audited_before(server, &faults, "list-type=2").await;
        assert!(call.await.is_err(), "the server ended before it answered");
        let [presented, used] = lines.as_slice() else {
            panic!("{lines:?}")
        };
        assert_eq!(presented["audit"], "present_token");
        assert_eq!(used["audit"], "use_credentials");
        assert_eq!(used["issuer"], "the-registry");
        assert_eq!(used["subject"], who["subject"]);
        assert_ne!(used["request_id"], presented["request_id"]);
        let written = format!("{presented}{used}");
        for secret in ["AccessKeyId", "SecretAccessKey", "SessionToken"] {
            assert!(
                !written.contains(given[secret].as_str().unwrap()),
                "{secret}"
            );
        }
        assert!(!written.contains("hunter2"), "{written}");
    });
}

#[test]
fn audit_lines_are_written_whatever_the_level_is() {
    limited(async {
        let setup = Setup::new().with("/telemetry", json!({ "level": "error", "metrics": "off" }));
        let function = Function::start(setup).await;
        let role = &world().person("alice").roles[0];
        let token = claims("alice")
            .with("role_arn", role.as_str())
            .sign(&world().secret);
        let request = Request::legacy("auth_status", &json!({})).bearer(&token);
        let event = FrontDoor::FunctionUrl.event(&request);
        assert!(matches!(
            function.invoke(&event).await,
            Invocation::Response(_)
        ));
        let (_, log) = function.terminate().await;
        let lines: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let [line] = lines.as_slice() else {
            panic!("{log}")
        };
        assert_eq!(
            (&line["audit"], &line["subject"]),
            (&json!("assume_role"), &json!("alice"))
        );
    });
}
