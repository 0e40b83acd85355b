//! The official clients, in each of their modes, through the real doors.
//!
//! They are judges: what they make of our messages is compared with what was meant.

mod client;
mod pages;
mod rust;

use serde_json::{Value, json};

use super::support::{Setup, claims, limited, server::Server, world};
use client::{Client, Failure, Reach, Seen, Step};
use pages::Pages;

const MODERN: &str = "2026-07-28";
const LEGACY: &str = "2025-11-25";
/// What the seeded AWS takes the process's own credentials for.
const OWN_ACCOUNT: &str = "123456789012";

/// A module for each client in each mode, with the revision that it settles on here, and the tests that it passes.
macro_rules! clients {
    ($tests:tt: $($name:ident = $client:expr, $version:expr;)*) => {
        $(mod $name {
            use super::*;
            tests!($client, $version, $tests);
        })*
    };
}

macro_rules! tests {
    ($client:expr, $version:expr, [$($test:ident),*]) => {
        $(#[test]
        fn $test() {
            limited(super::$test($client, $version));
        })*
    };
}

clients! {
    [works_over_http, hears_of_a_bad_token, sees_progress_and_cancels_over_http]:
    npm_legacy = Client::Npm("legacy"), LEGACY;
    npm_auto = Client::Npm("auto"), MODERN;
    npm_pin = Client::Npm("pin"), MODERN;
    python_legacy = Client::Python("legacy"), LEGACY;
    python_auto = Client::Python("auto"), MODERN;
    python_pin = Client::Python("2026-07-28"), MODERN;
    rust_initialize = Client::Rust("initialize"), LEGACY;
    rust_discover = Client::Rust("discover"), MODERN;
    rust_auto = Client::Rust("auto"), MODERN;
}

clients! {
    [works_over_stdio, sees_progress_and_cancels_over_stdio]:
    npm_legacy_stdio = Client::Npm("legacy"), LEGACY;
    npm_auto_stdio = Client::Npm("auto"), MODERN;
    python_auto_stdio = Client::Python("auto"), MODERN;
}

async fn works_over_http(client: Client, version: &str) {
    let server = Server::start();
    let listed = server.user("alice").rpc("tools/list", json!({})).await;
    let listed = listed.json()["result"]["tools"].clone();
    let conversations = ["alice", "bob"].map(|name| {
        let steps = json!([
            { "list": true },
            { "call": "whoami", "arguments": {} },
            { "call": "bucket_objects_list", "arguments": { "bucket": world().person(name).bucket } },
            { "call": "no_such_tool", "arguments": {} },
            { "call": "bucket_objects_list", "arguments": { "max_keys": 1 } },
        ]);
        client.start(&over_http(&server, name), steps)
    });
    for (name, conversation) in ["alice", "bob"].into_iter().zip(conversations) {
        let seen = conversation.end().await.unwrap();
        check_greeting(&seen, version);
        let [tools, whoami, objects, unknown, incomplete] = &seen.steps[..] else {
            panic!("five steps: {seen:?}")
        };
        check_tools(tools, &listed);
        let who = content(whoami);
        assert_eq!(
            (&who["subject"], &who["environment"]),
            (&json!(name), &json!("web-jwt"))
        );
        assert_eq!(keys(objects), world().person(name).keys);
        check_refusals(unknown, incomplete);
    }
}

async fn works_over_stdio(client: Client, version: &str) {
    let listed = Server::start()
        .user("alice")
        .rpc("tools/list", json!({}))
        .await;
    let listed = listed.json()["result"]["tools"].clone();
    let steps = json!([
        { "list": true },
        { "call": "whoami", "arguments": {} },
        { "call": "auth_status", "arguments": {} },
        { "call": "no_such_tool", "arguments": {} },
        { "call": "bucket_objects_list", "arguments": { "max_keys": 1 } },
    ]);
    let seen = client
        .converse(&over_stdio(&Setup::new()), steps)
        .await
        .unwrap();
    check_greeting(&seen, version);
    let [tools, whoami, status, unknown, incomplete] = &seen.steps[..] else {
        panic!("five steps: {seen:?}")
    };
    check_tools(tools, &listed);
    let who = content(whoami);
    assert_eq!(
        (&who["subject"], &who["environment"]),
        (&Value::Null, &json!("desktop-stdio"))
    );
    assert_eq!(content(status)["aws"]["account"], OWN_ACCOUNT);
    check_refusals(unknown, incomplete);
}

async fn hears_of_a_bad_token(client: Client, _: &str) {
    let server = Server::start();
    let forged = claims("alice").sign("not the secret of the issuer, but as long as one");
    let reach = Reach::Http {
        url: server.url("/mcp"),
        token: forged,
    };
    let refused = client.converse(&reach, json!([{ "list": true }])).await;
    let Failure { kind, message, .. } = refused.expect_err("a forged token is refused");
    // Each in its own words, and none takes it for a server of the other era or for a broken one.
    let understood = match client {
        Client::Npm(_) => kind == "UnauthorizedError",
        // It went for a new token, and there is nobody here to register with.
        Client::Python(_) => kind == "OAuthRegistrationError",
        Client::Rust(_) => message.contains("Auth required"),
    };
    assert!(understood, "{kind}: {message}");
}

async fn sees_progress_and_cancels_over_http(client: Client, _: &str) {
    let pages = Pages::start().await;
    let server = with_pages(&pages).start();
    sees_progress_and_cancels(client, &over_http(&server, "alice"), pages).await;
}

async fn sees_progress_and_cancels_over_stdio(client: Client, _: &str) {
    let pages = Pages::start().await;
    let reach = over_stdio(&with_pages(&pages));
    sees_progress_and_cancels(client, &reach, pages).await;
}

/// Reports reach the client; a call that it gives up ends at the server too, and the next one works.
async fn sees_progress_and_cancels(client: Client, reach: &Reach, mut pages: Pages) {
    let list = |bucket, max_keys| json!({ "bucket": bucket, "max_keys": max_keys });
    let steps = json!([
        { "call": "bucket_objects_list", "arguments": list(pages::QUICK, 5), "progress": true },
        { "call": "bucket_objects_list", "arguments": list(pages::SLOW, 10_000), "progress": true, "cancel": true },
        { "call": "whoami", "arguments": {}, "wait": true },
    ]);
    let mut conversation = client.start(reach, steps);
    pages.asked().await;
    conversation.word();
    // The client waits for the next word: it is not its end that ends the call.
    pages.given_up().await;
    conversation.word();
    let seen = conversation.end().await.unwrap();
    let [finished, cancelled, next] = &seen.steps[..] else {
        panic!("three steps: {seen:?}")
    };
    assert_eq!(keys(finished), ["page-1", "page-2", "page-3"]);
    // A client may lose the reports that it reads together with the answer, as npm's does.
    let expected = [
        (1.0, 5.0, "1 objects so far"),
        (2.0, 5.0, "2 objects so far"),
    ];
    assert!(expected.starts_with(&reports(finished)), "{finished:?}");
    assert_eq!(reports(cancelled)[0], (1.0, 10_000.0, "1 objects so far"));
    assert!(cancelled.error.is_some(), "{cancelled:?}");
    assert!(content(next)["environment"].is_string());
}

/// A server whose S3 has pages, and that ends no call of its own accord while a test lasts.
fn with_pages(pages: &Pages) -> Setup {
    let mut setup = Setup::new().with("/server/toolTimeoutSeconds", 900);
    setup.environment.push((
        "AWS_ENDPOINT_URL_S3".to_owned(),
        format!("http://{}", pages.address),
    ));
    setup
}

#[track_caller]
fn over_http(server: &Server, name: &str) -> Reach {
    Reach::Http {
        url: server.url("/mcp"),
        token: server.user(name).token.unwrap(),
    }
}

/// The real binary, with the process's own credentials.
fn over_stdio(setup: &Setup) -> Reach {
    let mut environment = setup.environment.clone();
    environment.push(("ROLECALL_CONFIG".to_owned(), setup.config.to_string()));
    Reach::Stdio {
        command: env!("CARGO_BIN_EXE_rolecall").to_owned(),
        environment,
    }
}

#[track_caller]
fn check_greeting(seen: &Seen, version: &str) {
    assert_eq!(seen.version, version);
    if let Some(server) = &seen.server {
        assert_eq!(server["name"], "rolecall");
    }
    assert_eq!(seen.warnings, "", "the client has nothing to warn of");
}

/// The client has our four tools, unchanged, and finds nothing wrong with them.
#[track_caller]
fn check_tools(step: &Step, listed: &Value) {
    let tools = step.tools.as_ref().expect("tools");
    let names: Vec<_> = tools.iter().map(|tool| &tool["name"]).collect();
    assert_eq!(
        names,
        [
            "whoami",
            "auth_status",
            "get_current_quilt_role",
            "assume_quilt_user_role",
            "bucket_list",
            "bucket_objects_list"
        ]
    );
    assert_eq!(step.faults, [""; 0]);
    for (tool, listed) in tools.iter().zip(listed.as_array().unwrap()) {
        for member in [
            "title",
            "description",
            "inputSchema",
            "outputSchema",
            "annotations",
        ] {
            assert_eq!(tool[member], listed[member], "{member}");
        }
    }
}

/// The structured content of a result, which its text repeats.
#[track_caller]
fn content(step: &Step) -> &Value {
    let result = step
        .result
        .as_ref()
        .unwrap_or_else(|| panic!("no result: {step:?}"));
    assert_ne!(result["isError"], true, "{result}");
    let structured = &result["structuredContent"];
    let text = result["content"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), *structured);
    structured
}

/// The reports of progress: how much, of how much, and of what.
#[track_caller]
fn reports(step: &Step) -> Vec<(f64, f64, &str)> {
    let number = |value: &Value| value.as_f64().unwrap();
    step.progress
        .iter()
        .map(|report| {
            let message = report["message"].as_str().unwrap();
            (
                number(&report["progress"]),
                number(&report["total"]),
                message,
            )
        })
        .collect()
}

#[track_caller]
fn keys(step: &Step) -> Vec<&str> {
    let objects = content(step)["objects"].as_array().unwrap();
    objects
        .iter()
        .map(|object| object["key"].as_str().unwrap())
        .collect()
}

/// An unknown tool is an error of the protocol, an argument that lacks is one of the tool.
#[track_caller]
fn check_refusals(unknown: &Step, incomplete: &Step) {
    let error = unknown.error.as_ref().expect("an error");
    assert_eq!(error.code, -32602, "{error:?}");
    assert!(error.message.contains("no_such_tool"), "{error:?}");
    let result = incomplete.result.as_ref().expect("a result");
    assert_eq!(result["isError"], true, "{result}");
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("missing field `bucket`"), "{text}");
}
