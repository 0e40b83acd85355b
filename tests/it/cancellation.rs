//! A call that its caller gives up ends, and no other does.

use serde_json::json;
use tokio::task::JoinHandle;

use super::support::{
    Setup,
    fault::{Fault, Faults},
    limited,
    server::{Answer, Caller, Server},
    world,
};

/// A server whose S3 never answers, and the calls that wait for it.
async fn hanging() -> (Faults, Server) {
    let faults = Faults::start().await;
    let server = Setup::new().endpoint(&faults.endpoint()).start();
    for name in ["alice", "bob"] {
        server
            .user(name)
            .call("auth_status", json!({}))
            .await
            .content();
    }
    faults.inject("list-type=2", Fault::Hang, u32::MAX);
    (faults, server)
}

fn listing(id: u32) -> String {
    let arguments = json!({ "bucket": world().person("alice").bucket });
    let params = json!({ "name": "bucket_objects_list", "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string()
}

fn cancelling(id: u32) -> String {
    json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } })
        .to_string()
}

/// Starts a call and waits until it has reached S3.
async fn begin(faults: &Faults, caller: &Caller, id: u32) -> JoinHandle<Answer> {
    let before = faults.count("list-type=2");
    let caller = caller.clone();
    let call = tokio::spawn(async move { caller.post(listing(id)).await });
    while faults.count("list-type=2") == before {
        tokio::task::yield_now().await;
    }
    call
}

#[test]
fn a_notification_ends_its_sender_s_call_and_nobody_else_s() {
    limited(async {
        let (faults, server) = hanging().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let hers = begin(&faults, &alice, 7).await;
        let his = begin(&faults, &bob, 7).await;
        assert_eq!(bob.post(cancelling(8)).await.status, 202);
        assert_eq!(alice.post(cancelling(7)).await.status, 202);
        // A call that ends by itself ends with the tool's error.
        let answer = hers.await.unwrap();
        assert_eq!((answer.status, answer.code()), (200, -32800));
        let answer = his.await.unwrap();
        assert!(
            answer.tool_error().contains("AWS is busy"),
            "bob's call has the same id, and another owner: {}",
            answer.text
        );
        assert!(
            server
                .ended()
                .lines()
                .iter()
                .any(|line| line["outcome"] == "cancelled" && line["subject"] == "alice")
        );
    });
}

#[test]
fn in_a_batch_notifications_wait_for_no_call() {
    limited(async {
        let (_faults, server) = hanging().await;
        // As many as run at once: what comes after them would wait for their end, which they are told of.
        let messages = (1..=4).map(listing).chain((1..=4).map(cancelling));
        let messages: Vec<_> = messages.collect();
        let batch = format!("[{}]", messages.join(","));
        let answer = server.user("alice").post(batch).await;
        let answers = answer.json();
        let codes: Vec<_> = answers.as_array().unwrap().iter().collect();
        assert_eq!(codes.len(), 4);
        assert!(
            codes.iter().all(|one| one["error"]["code"] == -32800),
            "{answers}"
        );
    });
}

#[test]
fn an_id_that_means_two_calls_cancels_neither() {
    limited(async {
        let (faults, server) = hanging().await;
        let alice = server.user("alice");
        let first = begin(&faults, &alice, 1).await;
        let second = begin(&faults, &alice, 1).await;
        assert_eq!(alice.post(cancelling(1)).await.status, 202);
        for call in [first, second] {
            let answer = call.await.unwrap();
            assert!(
                answer.tool_error().contains("AWS is busy"),
                "{}",
                answer.text
            );
        }
    });
}

#[test]
fn a_stream_that_its_client_does_not_read_to_the_end_is_logged_as_broken_off() {
    limited(async {
        let (faults, server) = hanging().await;
        faults.heal();
        let page = |more: bool| {
            let contents = "<Contents><Key>k</Key><Size>1</Size></Contents>";
            let more = format!(
                "<IsTruncated>{more}</IsTruncated><NextContinuationToken>n</NextContinuationToken>"
            );
            let xml = format!("<ListBucketResult>{more}{contents}</ListBucketResult>");
            Fault::Answer(200, "application/xml", xml)
        };
        let call = async |id: u32| {
            let arguments = json!({ "bucket": world().person("alice").bucket, "max_keys": 5 });
            let params = json!({ "name": "bucket_objects_list", "arguments": arguments,
                                 "_meta": { "progressToken": "p" } });
            let call =
                json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
            let alice = server.user("alice");
            let request = alice
                .header("accept", "application/json, text/event-stream")
                .request(reqwest::Method::POST)
                .header("content-type", "application/json")
                .body(call.to_string());
            let answer = request.send().await.unwrap();
            assert_eq!(answer.headers()["content-type"], "text/event-stream");
            answer
        };
        faults.inject("continuation-token", page(false), 1);
        faults.inject("list-type=2", page(true), 1);
        let whole = call(1).await.text().await.unwrap();
        assert!(whole.contains(r#""count":2"#), "{whole}");
        faults.inject("continuation-token", Fault::Hang, u32::MAX);
        faults.inject("list-type=2", page(true), 1);
        let mut part = call(2).await;
        assert!(part.chunk().await.unwrap().is_some());
        drop(part);
        let outcomes = loop {
            let lines = server.output.lines();
            let of_listings = lines.iter().filter(|line| {
                line["message"] == "request" && line["tool"] == "bucket_objects_list"
            });
            let outcomes: Vec<_> = of_listings
                .map(|line| (line["status"].clone(), line["outcome"].clone()))
                .collect();
            if outcomes.len() == 2 {
                break outcomes;
            }
            tokio::task::yield_now().await;
        };
        let expected = [(json!(200), json!(null)), (json!(200), json!("broken_off"))];
        assert_eq!(outcomes, expected);
    });
}

#[test]
fn a_client_that_goes_away_ends_its_call() {
    limited(async {
        let (faults, server) = hanging().await;
        let call = begin(&faults, &server.user("alice"), 1).await;
        call.abort();
        let outcome = loop {
            let lines = server.output.lines();
            let listing = lines
                .iter()
                .find(|line| line["message"] == "request" && line["tool"] == "bucket_objects_list");
            match listing {
                Some(line) => break line["outcome"].clone(),
                None => tokio::task::yield_now().await,
            }
        };
        // If nobody had ended it, it would have ended by itself, as the tool's error.
        assert_eq!(outcome, "client_gone");
        assert_eq!(
            server.user("alice").call("whoami", json!({})).await.status,
            200
        );
    });
}
