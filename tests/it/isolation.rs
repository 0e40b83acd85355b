//! 200 callers at once see only themselves.

mod known;
mod mixed;
mod storm;

use std::collections::BTreeSet;

use futures_util::future::join_all;
use rolecall::{
    app::{App, Authentication},
    config::{Config, Process, Reach},
    context::{self, RuntimeContext},
    tools::{Tool, ToolError},
};
use serde_json::{Value, json};

use super::support::{Setup, claims, limited, server::Server, world};

/// Callers of one server at once.
const CALLERS: usize = 200;
/// Calls of each.
const ROUNDS: usize = 10;

#[test]
fn two_hundred_interleaved_callers_on_shared_connections_see_only_themselves() {
    limited(async {
        let server = Server::start();
        let secret = &world().secret;
        let call = async |subject: String, role: String| {
            let caller = server.with_token(
                claims(&subject)
                    .with("role_arn", role.as_str())
                    .sign(secret),
            );
            for round in 0..ROUNDS {
                let content = caller.call("whoami", json!({})).await.content();
                assert_eq!(content["subject"], subject.as_str(), "round {round}");
                assert_eq!(content["role"], role.as_str(), "round {round}");
            }
        };
        let callers = (0..CALLERS).map(|n| {
            let account = if n % 2 == 0 {
                "111111111111"
            } else {
                "222222222222"
            };
            call(
                format!("caller-{n}"),
                format!("arn:aws:iam::{account}:role/caller/Role{n}"),
            )
        });
        join_all(callers).await;
        // The log tells them apart too: a request has one subject.
        let lines = server.ended().lines();
        let subjects: BTreeSet<&str> = lines
            .iter()
            .filter_map(|line| line["subject"].as_str())
            .collect();
        assert_eq!(subjects.len(), CALLERS);
    });
}

#[test]
fn identities_that_alternate_on_one_connection_do_not_mix() {
    limited(async {
        let server = Server::start();
        // One connection at most: every call takes the one before's.
        let client = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(1)
            .build()
            .unwrap();
        for round in 0..30 {
            let name = if round % 2 == 0 { "alice" } else { "bob" };
            let person = world().person(name);
            let token = claims(name).roles(&person.roles).sign(&world().secret);
            let good = client
                .post(server.url("/mcp"))
                .bearer_auth(token)
                .header("content-type", "application/json")
                .body(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "auth_status" } }).to_string());
            let text = good.send().await.unwrap().text().await.unwrap();
            assert!(text.contains(&person.account), "round {round}: {text}");
            // In between, somebody without a token and somebody with a bad one: neither inherits.
            let anonymous = client
                .post(server.url("/mcp"))
                .header("content-type", "application/json")
                .body("{}");
            assert_eq!(anonymous.send().await.unwrap().status(), 401);
            let bad = client
                .post(server.url("/mcp"))
                .bearer_auth("bad")
                .header("content-type", "application/json")
                .body("{}");
            assert_eq!(bad.send().await.unwrap().status(), 401);
        }
    });
}

#[test]
fn interleaved_callers_reach_only_their_own_aws() {
    limited(async {
        let server = Server::start();
        let calls = (0..60).map(|n| {
            let name = if n % 2 == 0 { "alice" } else { "bob" };
            let server = &server;
            async move {
                let person = world().person(name);
                let buckets = server
                    .user(name)
                    .call("bucket_list", json!({}))
                    .await
                    .content();
                assert!(
                    buckets.to_string().contains(&person.bucket),
                    "{name}: {buckets}"
                );
                let other = if name == "alice" { "bob" } else { "alice" };
                assert!(
                    !buckets.to_string().contains(&world().person(other).bucket),
                    "{name}: {buckets}"
                );
            }
        });
        join_all(calls).await;
        // Sixty cold calls of two callers: a caller's calls share one assumption.
        let output = server.ended();
        let assumed = output
            .lines()
            .iter()
            .filter(|line| line["message"] == "role assumed")
            .count();
        assert_eq!(assumed, 2, "{}", output.text());
    });
}

#[test]
fn one_name_of_two_issuers_is_two_callers() {
    limited(async {
        let second = "the secret of the second issuer, long enough";
        let server = Setup::new()
            .with(
                "/auth/issuers/1",
                json!({ "issuer": "second", "audience": "quilt-mcp-server", "hs256": second }),
            )
            .start();
        let role = &world().person("alice").roles[0];
        let first = server.with_token(
            claims("alice")
                .with("role_arn", role.as_str())
                .sign(&world().secret),
        );
        let other = server.with_token(
            claims("alice")
                .with("iss", "second")
                .with("role_arn", role.as_str())
                .sign(second),
        );
        assert_eq!(
            first.call("auth_status", json!({})).await.content()["caller"]["issuer"],
            "quilt-frontend"
        );
        assert_eq!(
            other.call("auth_status", json!({})).await.content()["caller"]["issuer"],
            "second"
        );
        let assumed = server
            .ended()
            .lines()
            .iter()
            .filter(|line| line["message"] == "role assumed")
            .count();
        assert_eq!(
            assumed, 2,
            "they share a name and a role, and no credentials"
        );
    });
}

/// A tool that spawns: with the scope handed on, and as a library would.
fn spawner() -> Tool {
    let definition = json!({ "name": "spawner", "inputSchema": { "type": "object" } });
    Tool::raw("spawner", &definition, |_, _| async {
        let subject = || {
            RuntimeContext::current()
                .map(|context| context.principal().unwrap().subject().to_owned())
        };
        let here = subject()?;
        let kept = context::spawn(async move {
            tokio::task::yield_now().await;
            // And once more, from within.
            context::spawn(async move { subject() })?.await.unwrap()
        })?;
        let lost = tokio::spawn(async move { subject().is_err() });
        let (kept, lost) = (kept.await.unwrap()?, lost.await.unwrap());
        let result = json!({ "content": [], "structuredContent": { "here": here, "kept": kept, "lost": lost } });
        serde_json::value::to_raw_value(&result).map_err(|error| ToolError::new(error.to_string()))
    })
}

#[test]
fn a_task_that_a_tool_spawns_has_its_caller_s_identity_or_none() {
    limited(async {
        let secret = "the secret of the one issuer of this test";
        let document = json!({ "auth": { "issuers": [{ "issuer": "quilt-frontend", "audience": "quilt-mcp-server", "hs256": secret }] } });
        let config = Config::parse(&document.to_string(), &|_| None).unwrap();
        let app = App::with_tools(
            &config,
            &Process::default(),
            Authentication::Required,
            vec![spawner()],
        )
        .unwrap();
        let (listening, address) = tokio::sync::oneshot::channel();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let ended = async { drop(ended.await) };
            app.serve(
                "127.0.0.1:0".parse().unwrap(),
                Reach::ThisMachine,
                |address| listening.send(address).unwrap(),
                ended,
            )
            .await
        });
        let url = format!("http://{}/mcp", address.await.unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let calls = (0..CALLERS).map(|n| {
            let (client, url) = (client.clone(), url.clone());
            async move {
                let subject = format!("caller-{n}");
                let call = json!({ "jsonrpc": "2.0", "id": n, "method": "tools/call", "params": { "name": "spawner" } });
                let request = client.post(url).bearer_auth(claims(&subject).sign(secret));
                let answer: Value = request.json(&call).send().await.unwrap().json().await.unwrap();
                assert_eq!(answer["id"], n);
                assert_eq!(answer["result"]["structuredContent"], json!({ "here": subject, "kept": subject, "lost": true }));
            }
        });
        join_all(calls).await;
        end.send(()).unwrap();
        serving.await.unwrap().unwrap();
    });
}
