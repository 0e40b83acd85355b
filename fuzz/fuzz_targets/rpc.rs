//! JSON-RPC: every request has one answer, which repeats its id as it was written; everything else has none, or an error.
//! The first byte chooses the wire and its headers.
#![no_main]

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use rolecall::{
    clock::Clock,
    context::RuntimeContext,
    json,
    mcp::{Delivery, Edge, Incoming, Registry, Reply, ToolScopes, Wire},
    telemetry::Metrics,
    tools::Tool,
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::runtime::{Builder, Runtime};

static EDGE: LazyLock<Arc<Edge>> = LazyLock::new(|| {
    let definition = json!({ "name": "echo", "inputSchema": { "type": "object" } });
    let echo = Tool::raw("echo", &definition, |_, _| async {
        let result = json!({ "content": [] });
        Ok(serde_json::value::to_raw_value(&result).expect("JSON"))
    });
    let registry = Registry::new(vec![echo]).expect("a registry");
    let metrics = Metrics::off(Clock::from_fn(|| UNIX_EPOCH));
    Arc::new(Edge::new(
        registry,
        Arc::default(),
        ToolScopes::default(),
        Duration::from_secs(900),
        metrics,
    ))
});

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    // Tools have a time limit.
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime")
});

/// A message as it is written, each member as it came.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

fuzz_target!(|data: &[u8]| {
    let Some((wire, body)) = data.split_first() else {
        return;
    };
    let mut headers = HeaderMap::new();
    for (bit, name, value) in [
        (1, "mcp-protocol-version", "2026-07-28"),
        (2, "mcp-protocol-version", "2025-03-26"),
        (4, "mcp-method", "tools/call"),
        (8, "mcp-name", "echo"),
        (16, "mcp-method", "server/discover"),
    ] {
        if wire & bit != 0 {
            headers.append(name, HeaderValue::from_static(value));
        }
    }
    let wire = if wire & 32 == 0 {
        Wire::Http(&headers)
    } else {
        Wire::Stdio
    };
    let body = Bytes::copy_from_slice(body);
    let incoming = match EDGE.receive(wire, &body) {
        Ok(incoming) => incoming,
        Err(refusal) => {
            assert!(refusal.error.status.is_client_error(), "{refusal:?}");
            let answer = refusal.to_bytes();
            check(&answer);
            // An id that is repeated is one that came.
            if let Some(id) = refusal.id {
                let text = std::str::from_utf8(&body).expect("text");
                assert!(text.contains(id.as_str()), "{}", id.as_str());
            }
            return;
        }
    };
    assert_eq!(
        json::check(&body),
        Ok(()),
        "what is received is strict JSON"
    );
    let expected: Vec<Option<String>> = match &incoming {
        Incoming::One(_) => vec![id_of(&body)],
        Incoming::Batch(messages) => {
            let all: Vec<&RawValue> = serde_json::from_slice(&body).expect("a batch");
            assert_eq!(all.len(), messages.len(), "no message is lost");
            all.iter().map(|one| id_of(one.get().as_bytes())).collect()
        }
    };
    let context = RuntimeContext::stdio("fuzz".into(), Arc::default());
    let delivery = Delivery {
        streams: false,
        max_bytes: 1 << 20,
        escaped: true,
        until: None,
    };
    let answered = Arc::clone(&EDGE).answer(Arc::new(context), incoming, delivery);
    match RUNTIME.block_on(answered) {
        // A notification, or an answer to what was never asked.
        Reply::Accepted => {}
        Reply::Json {
            status,
            body: answer,
        } => {
            assert!(
                !status.is_server_error(),
                "{status}: {}",
                String::from_utf8_lossy(&answer)
            );
            let value = check(&answer);
            let answers: Vec<&RawValue> = match &value {
                Value::Array(_) => serde_json::from_slice(&answer).expect("a batch"),
                _ => vec![serde_json::from_slice(&answer).expect("JSON")],
            };
            assert!(
                answers.len() <= expected.len(),
                "no more answers than messages"
            );
            // In order, and whatever came with an id is answered under it or as nobody's.
            let mut ids = expected.iter().flatten();
            for answer in answers {
                if let Some(id) = id_of(answer.get().as_bytes()) {
                    assert!(
                        ids.any(|expected| *expected == id),
                        "{id} is not in its place"
                    );
                }
            }
        }
        Reply::Cancelled(_) | Reply::Stream(_) | Reply::InsufficientScope { .. } => {
            panic!("nobody cancelled, nothing streams, no scope is asked for")
        }
    }
});

fn id_of(message: &[u8]) -> Option<String> {
    // A struct would be read from an array as well.
    let object = message.trim_ascii_start().starts_with(b"{");
    let written: Written<'_> = serde_json::from_slice(message).ok().filter(|_| object)?;
    written.id.map(|id| id.get().to_owned())
}

/// An answer is strict JSON and each of it one of JSON-RPC's two forms.
fn check(answer: &[u8]) -> Value {
    assert_eq!(json::check(answer), Ok(()));
    let value: Value = serde_json::from_slice(answer).expect("JSON");
    for one in value
        .as_array()
        .map_or(std::slice::from_ref(&value), Vec::as_slice)
    {
        assert_eq!(one["jsonrpc"], "2.0", "{one}");
        assert!(
            one.get("result").is_some() != one.get("error").is_some(),
            "{one}"
        );
        if let Some(error) = one.get("error") {
            assert!(
                error["code"]
                    .as_i64()
                    .is_some_and(|code| (-32_800..=-32_000).contains(&code))
            );
            assert!(
                error["message"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty())
            );
        }
    }
    value
}
