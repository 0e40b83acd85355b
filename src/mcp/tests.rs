//! The edge with tools of its own making: what no tool of ours does yet.

use serde_json::{Value, json, value::to_raw_value};

use super::*;
use crate::{
    clock::Clock,
    tools::{Effect, Tool},
};

const DEFINITION: &str = r#"{"inputSchema":{"type":"object"}}"#;

/// An edge with a tool that needs a client with sampling and URL elicitation, and one that reports twice and answers.
fn edge() -> Arc<Edge> {
    let definition: Value = serde_json::from_str(DEFINITION).unwrap();
    let result = || to_raw_value(&json!({ "content": [] })).unwrap();
    let demanding = Tool::raw(
        "demanding",
        &definition,
        move |_, _| async move { Ok(result()) },
    );
    let hasty = Tool::raw("hasty", &definition, move |_, progress| async move {
        progress.report(1.0, None, "one");
        progress.report(2.0, None, "two");
        Ok(result())
    });
    let required = json!({ "sampling": {}, "elicitation": { "url": {} } });
    let registry = Registry::new(vec![demanding.requiring(required), hasty]).unwrap();
    let metrics = Metrics::off(Clock::system());
    Arc::new(Edge::new(
        registry,
        Arc::default(),
        ToolScopes::default(),
        Duration::from_secs(5),
        metrics,
    ))
}

/// The messages that answer a call on stdio.
async fn call(tool: &str, meta: Value) -> Vec<Value> {
    call_at(edge(), tool, meta).await
}

async fn call_at(edge: Arc<Edge>, tool: &str, meta: Value) -> Vec<Value> {
    let wide = Delivery {
        streams: true,
        max_bytes: usize::MAX,
        escaped: false,
        until: None,
    };
    let messages = delivered(edge, tool, meta, wide).await;
    let read = |message: &Bytes| serde_json::from_slice(message).unwrap();
    messages.iter().map(read).collect()
}

async fn delivered(edge: Arc<Edge>, tool: &str, meta: Value, delivery: Delivery) -> Vec<Bytes> {
    let params = json!({ "name": tool, "arguments": {}, "_meta": meta });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let incoming = edge.receive(Wire::Stdio, &body.to_string().into()).unwrap();
    let context = Arc::new(RuntimeContext::stdio("test".into(), Arc::default()));
    match edge.answer(context, incoming, delivery).await {
        Reply::Json { body, .. } | Reply::InsufficientScope { body, .. } => vec![body],
        Reply::Stream(messages) => messages.collect().await,
        Reply::Accepted | Reply::Cancelled(_) => Vec::new(),
    }
}

#[tokio::test]
async fn a_tool_runs_with_the_access_that_its_effect_declares_and_reads_if_it_declares_none() {
    let seen = |name: &'static str| {
        Tool::raw(
            name,
            &serde_json::from_str(DEFINITION).unwrap(),
            |_, _| async {
                let access = format!("{:?}", RuntimeContext::current()?.access());
                Ok(to_raw_value(
                    &json!({ "content": [], "structuredContent": { "access": access } }),
                )
                .unwrap())
            },
        )
    };
    let tools = vec![
        seen("silent"),
        seen("reads").with_effect(Effect::ReadLocal),
        seen("chooses").with_effect(Effect::Session),
        seen("writes").with_effect(Effect::Write),
    ];
    let metrics = Metrics::off(Clock::system());
    let edge = Arc::new(Edge::new(
        Registry::new(tools).unwrap(),
        Arc::default(),
        ToolScopes::default(),
        Duration::from_secs(5),
        metrics,
    ));
    for (tool, access) in [
        ("writes", "Write"),
        ("silent", "Read"),
        ("reads", "Read"),
        ("chooses", "Read"),
    ] {
        let answer = &call_at(Arc::clone(&edge), tool, json!({})).await[0];
        assert_eq!(
            answer["result"]["structuredContent"]["access"], access,
            "{tool}"
        );
    }
}

fn envelope(capabilities: &Value) -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": MODERN_VERSION,
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    })
}

#[tokio::test]
async fn a_tool_is_not_called_by_a_client_without_the_capabilities_it_needs() {
    for lacking in [
        json!({}),
        json!({ "sampling": {} }),
        json!({ "sampling": {}, "elicitation": {} }),
        json!({ "sampling": {}, "elicitation": { "form": {} } }),
        json!({ "elicitation": { "url": {} } }),
    ] {
        let answer = &call("demanding", envelope(&lacking)).await[0];
        assert_eq!(answer["error"]["code"], -32021, "{lacking}");
        assert_eq!(
            answer["error"]["data"],
            json!({ "requiredCapabilities": { "sampling": {}, "elicitation": { "url": {} } } })
        );
    }
    let more = json!({ "roots": {}, "sampling": { "tools": {} }, "elicitation": { "form": {}, "url": {} } });
    let answer = &call("demanding", envelope(&more)).await[0];
    assert!(answer["result"]["content"].is_array(), "{answer}");
    // -32021 is unknown to the older revisions: their clients get a result to read.
    let answer = &call("demanding", json!({})).await[0];
    assert_eq!(answer["result"]["isError"], true, "{answer}");
}

#[tokio::test]
async fn a_stream_holds_no_more_than_the_way_back_carries() {
    let meta = json!({ "progressToken": "p" });
    let within = async |max_bytes: usize, escaped: bool| {
        let delivery = Delivery {
            streams: true,
            max_bytes,
            escaped,
            until: None,
        };
        delivered(edge(), "hasty", meta.clone(), delivery).await
    };
    let whole = within(usize::MAX, false).await;
    assert_eq!(whole.len(), 3, "two reports and the answer");
    let size = whole.iter().map(Bytes::len).sum();
    assert_eq!(within(size, false).await, whole);
    for (max_bytes, escaped) in [(size - 1, false), (size, true)] {
        let messages = within(max_bytes, escaped).await;
        assert_eq!(messages[..2], whole[..2]);
        let last: Value = serde_json::from_slice(&messages[2]).unwrap();
        assert_eq!(
            (&last["id"], &last["error"]["code"]),
            (&json!(1), &json!(-32000))
        );
    }
}

#[tokio::test]
async fn what_is_reported_at_the_last_moment_comes_before_the_answer() {
    for meta in [json!({}), envelope(&json!({}))] {
        let mut meta = meta;
        meta["progressToken"] = json!("token");
        let messages = call("hasty", meta).await;
        let [one, two, answer] = &messages[..] else {
            panic!("three messages: {messages:?}")
        };
        for (report, progress) in [(one, 1.0), (two, 2.0)] {
            let params = &report["params"];
            assert_eq!(
                (&params["progressToken"], params["progress"].as_f64()),
                (&json!("token"), Some(progress))
            );
        }
        assert_eq!(answer["id"], 1);
    }
}

#[test]
fn an_array_is_no_object_even_if_its_items_are_in_the_order_of_our_fields() {
    let refusal = |body: Value| {
        let incoming = edge().receive(Wire::Stdio, &body.to_string().into());
        match incoming {
            Ok(Incoming::Batch(messages)) => messages.into_iter().find_map(Result::err),
            Ok(Incoming::One(_)) => None,
            Err(refusal) => Some(refusal),
        }
    };
    let message = json!([["2.0", 1, "ping", {}, null, null]]);
    assert_eq!(refusal(message).unwrap().error.code, -32600);
    let meta = json!([MODERN_VERSION, {}, {}, null]);
    let params = json!({ "name": "hasty", "_meta": meta });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    assert_eq!(refusal(call).unwrap().error.code, -32602);
}

#[tokio::test]
async fn a_tool_that_panics_or_hangs_ends_its_own_call_alone() {
    let definition: Value = serde_json::from_str(DEFINITION).unwrap();
    let broken = Tool::raw("broken", &definition, |_, _| async {
        panic!("hunter2");
    });
    let stuck = Tool::raw("stuck", &definition, |_, _| std::future::pending());
    let sound = Tool::raw("sound", &definition, |_, _| async {
        Ok(to_raw_value(&json!({ "content": [] })).unwrap())
    });
    let edge = Arc::new(Edge::new(
        Registry::new(vec![broken, stuck, sound]).unwrap(),
        Arc::default(),
        ToolScopes::default(),
        Duration::from_secs(1),
        Metrics::off(Clock::system()),
    ));
    let answer = &call_at(Arc::clone(&edge), "broken", json!({})).await[0];
    assert_eq!(answer["error"]["code"], -32603, "{answer}");
    assert!(!answer.to_string().contains("hunter2"), "{answer}");
    let answer = &call_at(Arc::clone(&edge), "stuck", json!({})).await[0];
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("within 1 seconds"), "{text}");
    let answer = &call_at(edge, "sound", json!({})).await[0];
    assert!(answer["result"]["content"].is_array(), "{answer}");
}

#[test]
fn a_header_that_mirrors_an_argument_must_say_what_the_body_says() {
    let definition = json!({ "inputSchema": { "type": "object", "properties": {
        "region": { "type": "string", "x-mcp-header": "Region" },
        "count": { "type": "integer", "x-mcp-header": "Count" },
        "other": { "type": "string" },
    } } });
    let tool = Tool::raw("mirrors", &definition, |_, _| std::future::pending());
    let edge = Edge::new(
        Registry::new(vec![tool]).unwrap(),
        Arc::default(),
        ToolScopes::default(),
        Duration::from_secs(5),
        Metrics::off(Clock::system()),
    );
    let receive = |arguments: Value, mirrored: &[(&'static str, &'static str)]| {
        let params =
            json!({ "name": "mirrors", "arguments": arguments, "_meta": envelope(&json!({})) });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let mut headers = http::HeaderMap::new();
        let standard = [
            ("mcp-protocol-version", MODERN_VERSION),
            ("mcp-method", "tools/call"),
            ("mcp-name", "mirrors"),
        ];
        for (name, value) in standard.iter().chain(mirrored) {
            headers.insert(*name, http::HeaderValue::from_static(value));
        }
        let received = edge.receive(Wire::Http(&headers), &body.to_string().into());
        received.map(drop).map_err(|refusal| refusal.error.code)
    };
    let arguments = || json!({ "region": "eu", "count": 3, "other": "x" });
    let (region, count) = (("mcp-param-region", "eu"), ("mcp-param-count", "3"));
    assert_eq!(receive(arguments(), &[region, count]), Ok(()));
    assert_eq!(
        receive(
            arguments(),
            &[("mcp-param-region", "=?base64?ZXU=?="), count]
        ),
        Ok(())
    );
    assert_eq!(receive(json!({ "region": null }), &[]), Ok(()));
    for (arguments, mirrored) in [
        (arguments(), &[region][..]),
        (arguments(), &[("mcp-param-region", "us"), count]),
        (arguments(), &[region, ("mcp-param-count", "3.0")]),
        (
            arguments(),
            &[("mcp-param-region", "=?base64?%%%?="), count],
        ),
        (json!({}), &[region]),
    ] {
        assert_eq!(
            receive(arguments.clone(), mirrored),
            Err(-32020),
            "{arguments} {mirrored:?}"
        );
    }
}
