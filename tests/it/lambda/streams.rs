//! What only streams have: parts that come while a tool works, an end of their own, and front doors that cannot read them.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use axum::{
    Router,
    http::{HeaderMap, Uri},
    routing::get,
};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

use super::{answered, expect_whoami, limits::endless_s3, send, token};
use crate::support::{
    FrontDoor, Function, Invocation, Mode, Request, Setup, limited, runtime_api::serve,
};

const TIME: Duration = Duration::from_secs(20);

/// An S3 whose one bucket has no end, and whose pages come when they are let: so many of them. Objects are named after
/// the credentials that ask.
async fn paged_s3(let_through: watch::Receiver<usize>) -> String {
    let list = |headers: HeaderMap, uri: Uri| async move {
        let authorization = headers["authorization"].to_str().unwrap();
        let (_, credential) = authorization.split_once("Credential=").unwrap();
        let (key_id, _) = credential.split_once('/').unwrap();
        let query: HashMap<_, _> = url::form_urlencoded::parse(uri.query().unwrap().as_bytes())
            .into_owned()
            .collect();
        let start = query.get("continuation-token");
        let start: usize = start.map_or(0, |start| start.parse().unwrap());
        let mut let_through = let_through;
        let page = start / 1_000;
        let _ = let_through.wait_for(|pages| *pages > page).await;
        let objects: String = (start..start + 1_000)
            .map(|number| {
                format!("<Contents><Key>{key_id}/{number:06}</Key><Size>1</Size></Contents>")
            })
            .collect();
        let next = start + 1_000;
        format!(
            "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>true</IsTruncated>\
             <NextContinuationToken>{next}</NextContinuationToken>{objects}</ListBucketResult>"
        )
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/{bucket}", get(list.clone()))
        .route("/{bucket}/", get(list));
    serve(listener, router);
    endpoint
}

fn with_s3(endpoint: String) -> Setup {
    let mut setup = Setup::new();
    let s3 = "AWS_ENDPOINT_URL_S3".to_owned();
    setup.environment.push((s3, endpoint));
    setup
}

/// A call that takes three pages, and asks to be told how far it is.
fn three_pages() -> Request {
    three_pages_of("alice", "one")
}

fn three_pages_of(name: &str, id: &str) -> Request {
    let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
        "name": "bucket_objects_list",
        "arguments": { "bucket": "endless", "max_keys": 3_000 },
        "_meta": { "progressToken": format!("progress of {id}") },
    } });
    Request::post(call.to_string()).bearer(&token(name))
}

/// The next message of a stream of events.
async fn message(parts: &mut mpsc::UnboundedReceiver<Bytes>) -> Value {
    let mut event = Vec::new();
    while !event.ends_with(b"\n\n") {
        event.extend_from_slice(&parts.recv().await.expect("the stream goes on"));
    }
    message_of(std::str::from_utf8(&event).unwrap())
}

#[track_caller]
fn message_of(event: &str) -> Value {
    let data = event.trim_end().strip_prefix("event: message\ndata: ");
    serde_json::from_str(data.unwrap_or_else(|| panic!("{event}"))).unwrap()
}

#[track_caller]
fn assert_progress(message: &Value, id: &str, progress: u64) {
    assert_eq!(message["method"], "notifications/progress", "{message}");
    let params = &message["params"];
    assert_eq!(params["progressToken"], format!("progress of {id}"));
    assert_eq!(params["progress"].as_f64(), Some(progress as f64));
}

#[test]
fn progress_reaches_the_client_while_the_tool_works() {
    limited(async {
        for &door in Mode::Streaming.doors() {
            let (pages, let_through) = watch::channel(0);
            let setup = with_s3(paged_s3(let_through).await);
            let mut function = Mode::Streaming.start(setup).await;
            let (mut parts, outcome) = function.watch(&door.event(&three_pages()), TIME);
            // Each report is there before the page that comes after it.
            for (page, progress) in [(1, 1_000), (2, 2_000)] {
                pages.send_replace(page);
                assert_progress(&message(&mut parts).await, "one", progress);
            }
            pages.send_replace(3);
            let last = message(&mut parts).await;
            assert_eq!(last["id"], "one", "{last}");
            assert_eq!(last["result"]["structuredContent"]["count"], 3_000);
            let answer = answered(door, &outcome.await);
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("content-type"), Some("text/event-stream"));
            assert_eq!(answer.text.matches("event: message").count(), 3);
            // One that reads no events gets the answer alone.
            let plain = three_pages().replace("Accept", "application/json");
            let answer = send(&function, door, &plain).await;
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.content()["count"], 3_000);
            function.assert_alive();
        }
    });
}

#[test]
fn streams_at_once_in_one_process_are_each_their_caller_s() {
    const AT_ONCE: usize = 8;
    limited(async {
        let (pages, let_through) = watch::channel(0);
        let setup = Mode::Streaming.set(with_s3(paged_s3(let_through).await));
        let function = Function::start_concurrent(setup, AT_ONCE).await;
        let mut streams: Vec<_> = (0..AT_ONCE)
            .map(|number| {
                let (name, id) = (["alice", "bob"][number % 2], number.to_string());
                let door = Mode::Streaming.doors()[number / 2 % 2];
                let event = door.event(&three_pages_of(name, &id));
                let (parts, outcome) = function.watch(&event, TIME);
                (name, id, parts, outcome)
            })
            .collect();
        while function.most_at_once() < AT_ONCE {
            tokio::task::yield_now().await;
        }
        // In step, so that each report is written while all the others are under way.
        for (page, progress) in [(1, 1_000), (2, 2_000)] {
            pages.send_replace(page);
            for (_, id, parts, _) in &mut streams {
                assert_progress(&message(parts).await, id, progress);
            }
        }
        pages.send_replace(3);
        let mut credentials: HashMap<&str, HashSet<String>> = HashMap::new();
        for (name, id, mut parts, outcome) in streams {
            let last = message(&mut parts).await;
            assert_eq!(last["id"], id, "{last}");
            let objects = &last["result"]["structuredContent"]["objects"];
            let objects = objects.as_array().unwrap();
            assert_eq!(objects.len(), 3_000);
            credentials
                .entry(name)
                .or_default()
                .extend(objects.iter().map(|object| {
                    let (key_id, _) = object["key"].as_str().unwrap().split_once('/').unwrap();
                    key_id.to_owned()
                }));
            assert!(matches!(outcome.await, Invocation::Streamed { .. }));
        }
        assert!(
            credentials["alice"].is_disjoint(&credentials["bob"]),
            "{credentials:?}"
        );
    });
}

#[test]
fn a_stream_whose_time_is_up_ends_with_an_error() {
    limited(async {
        let door = FrontDoor::FunctionUrl;
        let (pages, let_through) = watch::channel(1);
        let setup = with_s3(paged_s3(let_through).await);
        let function = Mode::Streaming.start(setup).await;
        // Whatever the first call of all must load is loaded.
        expect_whoami(&function, door, "alice").await;
        let time = Duration::from_secs(3);
        let (mut parts, outcome) = function.watch(&door.event(&three_pages()), time);
        assert_progress(&message(&mut parts).await, "one", 1_000);
        let last = message(&mut parts).await;
        assert_eq!(last["id"], "one", "{last}");
        assert_eq!(last["error"]["code"], -32000, "{last}");
        let said = last["error"]["message"].as_str().unwrap();
        assert!(said.contains("time is up"), "{last}");
        assert!(matches!(outcome.await, Invocation::Streamed { .. }));
        // Nothing of it is left to disturb the next one.
        pages.send_replace(3);
        let answer = send(&function, door, &three_pages()).await;
        assert_eq!(answer.text.matches("event: message").count(), 3);
        let output = function.output.clone();
        drop(function.terminate().await);
        let lines = output.lines();
        let given_up = |line: &&Value| line["outcome"] == "out_of_time";
        let line = lines.iter().find(given_up).expect("a line of the request");
        assert_eq!(line["message"], "request");
        assert_eq!(line["tool"], "bucket_objects_list");
    });
}

#[test]
fn an_answer_that_no_whole_event_could_hold_is_streamed() {
    limited(async {
        let function = Mode::Streaming.start(with_s3(endless_s3().await)).await;
        for &door in Mode::Streaming.doors() {
            let query = json!({ "bucket": "endless", "max_keys": 1_500 });
            let call = Request::modern("bucket_objects_list", &query).bearer(&token("alice"));
            let answer = send(&function, door, &call).await;
            assert_eq!(answer.content()["count"], 1_500, "{door:?}");
            assert!(answer.text.len() > 6_000_000, "{door:?}");
        }
    });
}

#[test]
fn front_doors_that_read_no_streams_show_the_mistake_and_run_nothing() {
    limited(async {
        let mut function = Mode::Streaming.start(Setup::new()).await;
        let call = Request::legacy("auth_status", &json!({})).bearer(&token("alice"));
        let mut v1 = FrontDoor::RestApi.event(&call);
        v1["version"] = "1.0".into();
        let others = [
            FrontDoor::HttpApi,
            FrontDoor::AlbSingle,
            FrontDoor::AlbMulti,
        ];
        let events = others.map(|door| (door, door.event(&call)));
        let mut malformed = FrontDoor::HttpApi.event(&call);
        malformed["rawPath"] = "x".into();
        let more = [(FrontDoor::RestApi, v1), (FrontDoor::HttpApi, malformed)];
        for (door, event) in events.into_iter().chain(more) {
            let invocation = function.invoke(&event).await;
            assert!(
                matches!(invocation, Invocation::Response(_)),
                "it would be shown as it is: {invocation:?}"
            );
            let answer = answered(door, &invocation);
            assert_eq!(answer.status, 500, "{door:?}");
            let said = answer.json()["error"].as_str().unwrap().to_owned();
            assert!(said.contains("ROLECALL_INVOKE_MODE"), "{said}");
        }
        // A health check fails too, so that nobody takes it for well.
        let health = FrontDoor::AlbMulti.event(&Request::get("/healthz"));
        let answer = answered(FrontDoor::AlbMulti, &function.invoke(&health).await);
        assert_eq!(answer.status, 500);
        function.assert_alive();
        expect_whoami(&function, FrontDoor::RestApi, "alice").await;
        let (_, log) = function.terminate().await;
        assert_eq!(log.matches("must be BUFFERED").count(), 6, "{log}");
        assert!(!log.contains("assume_role"), "{log}");
    });
}
