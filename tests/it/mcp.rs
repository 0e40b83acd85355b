//! The protocol, through the real HTTP door: both eras, every error code and status.

use serde_json::{Value, json};

use super::support::{
    Setup, limited,
    server::{Answer, Caller, Server, answer},
};

const MODERN: &str = "2026-07-28";

fn envelope() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// A modern request in good order, and the headers that mirror it.
fn modern(caller: &Caller, method: &str, mut params: Value) -> (Caller, Value) {
    params["_meta"] = envelope();
    let mut caller = caller
        .clone()
        .header("mcp-protocol-version", MODERN)
        .header("mcp-method", method);
    if let Some(name) = params["name"].as_str() {
        caller = caller.header("mcp-name", name);
    }
    (
        caller,
        json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }),
    )
}

async fn ask_modern(caller: &Caller, method: &str, params: Value) -> Answer {
    let (caller, body) = modern(caller, method, params);
    caller.post(body.to_string()).await
}

#[track_caller]
fn open() -> (Server, Caller) {
    let server = Setup::no_auth().start();
    let caller = server.anonymous();
    (server, caller)
}

#[test]
fn the_legacy_handshake_settles_on_a_version() {
    limited(async {
        let (_server, caller) = open();
        for (asked, settled) in [
            ("2025-11-25", "2025-11-25"),
            ("2025-06-18", "2025-06-18"),
            ("2025-03-26", "2025-03-26"),
            ("2024-11-05", "2024-11-05"),
            ("2026-07-28", "2025-11-25"),
            ("1999-01-01", "2025-11-25"),
        ] {
            let params = json!({ "protocolVersion": asked, "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
            let result = caller.rpc("initialize", params).await.json()["result"].clone();
            assert_eq!(result["protocolVersion"], settled, "{asked}");
            assert_eq!(result["capabilities"], json!({ "tools": {} }));
            assert_eq!(result["serverInfo"]["name"], "rolecall");
        }
        let refused = caller.rpc("initialize", json!({})).await;
        assert_eq!((refused.status, refused.code()), (200, -32602));
    });
}

#[test]
fn legacy_methods_answer() {
    limited(async {
        let (_server, caller) = open();
        assert_eq!(
            caller.rpc("ping", json!({})).await.json()["result"],
            json!({})
        );
        let bare = caller
            .post(r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#)
            .await
            .json();
        assert_eq!(bare, json!({ "jsonrpc": "2.0", "id": "a", "result": {} }));
        let tools = caller.rpc("tools/list", json!({})).await.json()["result"]["tools"].clone();
        let names: Vec<&str> = tools
            .as_array()
            .unwrap()
            .iter()
            .map(|tool| tool["name"].as_str().unwrap())
            .collect();
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
        let unknown = caller.rpc("resources/list", json!({})).await;
        assert_eq!((unknown.status, unknown.code()), (200, -32601));
        let cursor = caller.rpc("tools/list", json!({ "cursor": "x" })).await;
        assert_eq!((cursor.status, cursor.code()), (200, -32602));
        for version in ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"] {
            let answer = caller
                .clone()
                .header("mcp-protocol-version", version)
                .rpc("ping", json!({}))
                .await;
            assert_eq!(answer.status, 200, "{version}");
        }
    });
}

#[test]
fn modern_methods_answer() {
    limited(async {
        let (_server, caller) = open();
        let discovered = ask_modern(&caller, "server/discover", json!({})).await;
        assert_eq!(discovered.status, 200);
        let result = &discovered.json()["result"];
        assert_eq!(result["resultType"], "complete");
        assert_eq!(result["supportedVersions"], json!([MODERN]));
        assert_eq!(result["capabilities"], json!({ "tools": {} }));
        assert_eq!(result["cacheScope"], "private");
        assert!(result["ttlMs"].is_u64());
        assert_eq!(
            result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
            "rolecall"
        );
        let list = ask_modern(&caller, "tools/list", json!({})).await.json()["result"].clone();
        assert_eq!(
            (&list["resultType"], &list["cacheScope"]),
            (&json!("complete"), &json!("private"))
        );
        assert_eq!(list["tools"].as_array().unwrap().len(), 6);
        let call = ask_modern(
            &caller,
            "tools/call",
            json!({ "name": "whoami", "arguments": {} }),
        )
        .await
        .json();
        assert_eq!(call["result"]["resultType"], "complete");
        assert_eq!(
            call["result"]["structuredContent"]["environment"],
            "web-unauthenticated"
        );
        assert_eq!(call["id"], 7);
    });
}

#[test]
fn unknown_modern_methods_are_404() {
    limited(async {
        let (_server, caller) = open();
        for method in [
            "ping",
            "initialize",
            "logging/setLevel",
            "resources/subscribe",
            "resources/list",
            "unknown/x",
            "subscriptions/listen",
        ] {
            let answer =
                ask_modern(&caller, method, json!({ "protocolVersion": "2025-11-25" })).await;
            assert_eq!((answer.status, answer.code()), (404, -32601), "{method}");
            assert_eq!(answer.json()["id"], 7);
        }
    });
}

#[test]
fn the_modern_envelope_is_required_and_named() {
    limited(async {
        let (_server, caller) = open();
        let with_headers = caller
            .clone()
            .header("mcp-protocol-version", MODERN)
            .header("mcp-method", "server/discover");
        let ask = async |caller: &Caller, meta: Value| {
            let params = if meta.is_null() {
                json!({})
            } else {
                json!({ "_meta": meta })
            };
            let body = json!({ "jsonrpc": "2.0", "id": "x", "method": "server/discover", "params": params });
            caller.post(body.to_string()).await
        };
        let version = "io.modelcontextprotocol/protocolVersion";
        let capabilities = "io.modelcontextprotocol/clientCapabilities";
        for (meta, missing) in [
            (Value::Null, vec![version, capabilities]),
            (json!({}), vec![version, capabilities]),
            (json!({ capabilities: {} }), vec![version]),
            (json!({ version: MODERN }), vec![capabilities]),
            (
                json!({ "io.modelcontextprotocol/clientInfo": {} }),
                vec![version, capabilities],
            ),
        ] {
            for caller in [&with_headers, &caller] {
                let refused = ask(caller, meta.clone()).await;
                assert_eq!((refused.status, refused.code()), (400, -32602), "{meta}");
                assert_eq!(refused.json()["id"], "x");
                let message = refused.json()["error"]["message"]
                    .as_str()
                    .unwrap()
                    .to_owned();
                assert!(missing.iter().all(|key| message.contains(key)), "{message}");
            }
        }
        for wrong in [
            json!({ version: 1, capabilities: {} }),
            json!({ version: MODERN, capabilities: [] }),
            json!({ version: MODERN, capabilities: null }),
            json!("x"),
            json!([]),
        ] {
            let refused = ask(&with_headers, wrong.clone()).await;
            assert_eq!((refused.status, refused.code()), (400, -32602), "{wrong}");
        }
        let optional = ask(&with_headers, json!({ version: MODERN, capabilities: {} })).await;
        assert_eq!(
            optional.status, 200,
            "clientInfo is optional: {}",
            optional.text
        );
    });
}

#[test]
fn headers_must_say_what_the_body_says() {
    limited(async {
        let (_server, caller) = open();
        let body = modern(&caller, "tools/call", json!({ "name": "whoami" }))
            .1
            .to_string();
        let post = async |headers: &[(&str, &str)]| {
            let caller = headers
                .iter()
                .fold(caller.clone(), |caller, (name, value)| {
                    caller.header(name, value)
                });
            caller.post(body.clone()).await
        };
        let good = [
            ("mcp-protocol-version", MODERN),
            ("mcp-method", "tools/call"),
            ("mcp-name", "whoami"),
        ];
        assert_eq!(post(&good).await.status, 200);
        let encoded = "=?base64?d2hvYW1p?=";
        assert_eq!(
            post(&[good[0], good[1], ("mcp-name", encoded)])
                .await
                .status,
            200
        );
        assert_eq!(
            post(&[good[0], ("MCP-Method", "  tools/call "), good[2]])
                .await
                .status,
            200
        );
        for bad in [
            vec![good[1], good[2]],
            vec![good[0], good[2]],
            vec![good[0], good[1]],
            vec![("mcp-protocol-version", "2025-11-25"), good[1], good[2]],
            vec![good[0], ("mcp-method", "tools/list"), good[2]],
            vec![good[0], ("mcp-method", "TOOLS/CALL"), good[2]],
            vec![good[0], good[1], ("mcp-name", "auth_status")],
            vec![good[0], good[1], ("mcp-name", "=?base64?d2hvYW1?=")],
            vec![good[0], good[1], ("mcp-name", "=?base64?!!?=")],
            vec![good[0], good[1], ("mcp-name", "d2hvYW1p")],
            vec![good[0], good[1], good[2], ("mcp-name", "auth_status")],
            vec![good[0], good[1], good[2], good[2]],
            vec![good[0], good[0], good[1], good[2]],
        ] {
            let refused = post(&bad).await;
            assert_eq!((refused.status, refused.code()), (400, -32020), "{bad:?}");
            assert_eq!(refused.json()["id"], 7);
        }
    });
}

#[test]
fn unknown_versions_are_refused_with_what_is_supported() {
    limited(async {
        let (_server, caller) = open();
        let unknown = |version: &str| {
            let mut meta = envelope();
            meta["io.modelcontextprotocol/protocolVersion"] = version.into();
            json!({ "jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": { "_meta": meta } }).to_string()
        };
        let headers = |version: &str| {
            caller
                .clone()
                .header("mcp-protocol-version", version)
                .header("mcp-method", "server/discover")
        };
        let refused = headers("v999.0.0").post(unknown("v999.0.0")).await;
        assert_eq!((refused.status, refused.code()), (400, -32022));
        assert_eq!(
            refused.json()["error"]["data"],
            json!({ "supported": [MODERN], "requested": "v999.0.0" })
        );
        let mismatch = headers(MODERN).post(unknown("v999.0.0")).await;
        assert_eq!(
            (mismatch.status, mismatch.code()),
            (400, -32020),
            "before the version is looked at"
        );
        // A legacy message under a header of no revision.
        let legacy = caller
            .clone()
            .header("mcp-protocol-version", "1999-01-01")
            .rpc("ping", json!({}))
            .await;
        assert_eq!((legacy.status, legacy.code()), (400, -32022));
        let modern_header = caller
            .clone()
            .header("mcp-protocol-version", MODERN)
            .rpc("tools/list", json!({}))
            .await;
        assert_eq!((modern_header.status, modern_header.code()), (400, -32602));
        // `Mcp-Method` alone does not make a message modern.
        let mixed = caller
            .clone()
            .header("mcp-method", "ping")
            .header("mcp-protocol-version", "2025-11-25");
        assert_eq!(mixed.rpc("ping", json!({})).await.status, 200);
    });
}

#[test]
fn notifications_and_responses_are_accepted() {
    limited(async {
        let (_server, caller) = open();
        for body in [
            json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
            json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } }),
            json!({ "jsonrpc": "2.0", "method": "notifications/anything", "params": { "_meta": envelope() } }),
            json!({ "jsonrpc": "2.0", "id": 1, "result": {} }),
            json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": 1, "message": "no" } }),
        ] {
            let accepted = caller.post(body.to_string()).await;
            assert_eq!(
                (accepted.status, accepted.text.as_str()),
                (202, ""),
                "{body}"
            );
        }
    });
}

#[test]
fn batches_belong_to_one_revision() {
    limited(async {
        let (_server, caller) = open();
        let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
        let note = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let bad = json!({ "jsonrpc": "2.0", "id": 3 });
        let whoami = json!({ "jsonrpc": "2.0", "id": "two", "method": "tools/call", "params": { "name": "whoami" } });
        let answer = caller
            .post(json!([ping, note, whoami, bad, 7]).to_string())
            .await;
        assert_eq!(answer.status, 200);
        let answers = answer.json();
        assert_eq!(answers.as_array().unwrap().len(), 4);
        assert_eq!(
            answers[0],
            json!({ "jsonrpc": "2.0", "id": 1, "result": {} })
        );
        assert_eq!(answers[1]["id"], "two");
        assert_eq!(
            (&answers[2]["id"], &answers[2]["error"]["code"]),
            (&json!(3), &json!(-32600))
        );
        assert_eq!(
            (answers[3].get("id"), &answers[3]["error"]["code"]),
            (None, &json!(-32600))
        );
        let header = caller.clone().header("mcp-protocol-version", "2025-03-26");
        assert_eq!(header.post(json!([ping]).to_string()).await.status, 200);
        assert_eq!(
            caller.post(json!([note, note]).to_string()).await.status,
            202
        );
        let modern = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "_meta": envelope() } });
        let initialize = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": { "protocolVersion": "2025-03-26" } });
        let mut unknown = modern.clone();
        unknown["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "v999".into();
        for refused in [
            json!([]),
            json!([ping, unknown]),
            json!([ping, modern]),
            json!([initialize]),
            Value::Array(vec![ping.clone(); 65]),
            json!([[ping]]),
        ] {
            let answer = caller.post(refused.to_string()).await;
            let nested = refused[0].is_array();
            if nested {
                assert_eq!(
                    (answer.status, &answer.json()[0]["error"]["code"]),
                    (200, &json!(-32600))
                );
            } else {
                assert_eq!(
                    (answer.status, answer.code()),
                    (400, -32600),
                    "{}",
                    answer.text
                );
            }
        }
        for version in ["2025-06-18", "2025-11-25", MODERN] {
            let refused = caller
                .clone()
                .header("mcp-protocol-version", version)
                .post(json!([ping]).to_string())
                .await;
            assert_eq!((refused.status, refused.code()), (400, -32600), "{version}");
        }
    });
}

#[test]
fn what_is_not_json_or_not_a_request_is_said_so() {
    limited(async {
        let (_server, caller) = open();
        let deep = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":{}{}}}}}"#,
            "[".repeat(200),
            "]".repeat(200)
        );
        let not_json: [&[u8]; 8] = [
            b"",
            b"{",
            b"nul",
            b"{\"jsonrpc\":\"2.0\",}",
            b"\xff\xfe",
            b"{\"a\":\"\xc3\x28\"}",
            b"\xef\xbb\xbf{}",
            b"{} {}",
        ];
        for body in not_json {
            let refused = caller.post(body).await;
            assert_eq!(
                (refused.status, refused.code()),
                (400, -32700),
                "{}",
                String::from_utf8_lossy(body)
            );
            assert!(refused.json().get("id").is_none());
        }
        for body in [
            "7",
            "\"ping\"",
            "null",
            "{}",
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            r#"{"id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1e3,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","name":"bucket_list"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","arguments":{"a":{"b":1,"b":2}}}}"#,
            &deep,
        ] {
            let refused = caller.post(body.to_owned()).await;
            assert_eq!((refused.status, refused.code()), (400, -32600), "{body}");
        }
        assert_eq!(
            caller.rpc("ping", json!({})).await.status,
            200,
            "the next request is served"
        );
    });
}

#[test]
fn ids_come_back_as_they_went() {
    limited(async {
        let (_server, caller) = open();
        for id in [
            "0",
            "-1",
            "123456789012345678901234567890",
            r#""""#,
            r#""é \u00e9 \" x""#,
            r#""0""#,
        ] {
            let answer = caller
                .post(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#))
                .await;
            assert_eq!(
                answer.text,
                format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)
            );
        }
    });
}

#[test]
fn tools_that_fail_say_so_in_their_result() {
    limited(async {
        let (_server, caller) = open();
        let unknown = caller.call("no_such_tool", json!({})).await;
        assert_eq!((unknown.status, unknown.code()), (200, -32602));
        for params in [
            json!({}),
            json!({ "name": 7 }),
            json!({ "name": "whoami", "arguments": [] }),
            json!({ "name": "whoami", "arguments": "x" }),
        ] {
            let refused = caller.rpc("tools/call", params.clone()).await;
            assert_eq!((refused.status, refused.code()), (200, -32602), "{params}");
        }
        assert_eq!(
            caller
                .rpc("tools/call", json!({ "name": "whoami" }))
                .await
                .content()["scheme"],
            Value::Null
        );
        assert_eq!(
            caller
                .rpc("tools/call", json!({ "name": "whoami", "arguments": null }))
                .await
                .status,
            200
        );
        for arguments in [
            json!({}),
            json!({ "bucket": 7 }),
            json!({ "bucket": "b-b-b", "more": 1 }),
            json!({ "bucket": "b-b-b", "max_keys": "x" }),
        ] {
            let text = caller
                .call("bucket_objects_list", arguments.clone())
                .await
                .tool_error();
            assert!(text.contains("input schema"), "{arguments}: {text}");
        }
        // Without authentication there is nobody to be.
        let text = caller.call("bucket_list", json!({})).await.tool_error();
        assert!(text.contains("without authentication"), "{text}");
    });
}

#[test]
fn the_endpoint_answers_post_only() {
    limited(async {
        let (server, caller) = open();
        for method in [
            reqwest::Method::GET,
            reqwest::Method::DELETE,
            reqwest::Method::PUT,
            reqwest::Method::PATCH,
        ] {
            let refused = answer(caller.request(method.clone())).await;
            assert_eq!(
                (refused.status, refused.header("allow")),
                (405, Some("POST")),
                "{method}"
            );
        }
        let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        for (content_type, status) in [
            ("application/json", 200),
            ("application/json; charset=utf-8", 200),
            ("Application/JSON", 200),
            ("text/plain", 415),
            ("application/x-www-form-urlencoded", 415),
            ("application/jsonx", 415),
            ("", 415),
        ] {
            let request = caller
                .request(reqwest::Method::POST)
                .header("content-type", content_type)
                .body(ping);
            assert_eq!(answer(request).await.status, status, "{content_type}");
        }
        assert_eq!(
            answer(caller.request(reqwest::Method::POST).body(ping))
                .await
                .status,
            415
        );
        let gzip = caller
            .clone()
            .header("content-encoding", "gzip")
            .post(ping)
            .await;
        assert_eq!(gzip.status, 415);
        for (accept, status) in [
            ("*/*", 200),
            ("application/json", 200),
            ("application/json, text/event-stream", 200),
            ("text/event-stream;q=1, application/*;q=0.5", 200),
            ("text/event-stream", 200),
            ("text/html", 406),
        ] {
            let answered = caller.clone().header("accept", accept).post(ping).await;
            assert_eq!(answered.status, status, "{accept}");
            if status == 200 {
                assert_eq!(
                    answered.header("content-type"),
                    Some("application/json"),
                    "{accept}"
                );
            }
        }
        let slash = answer(
            server
                .client
                .post(server.url("/mcp/"))
                .header("content-type", "application/json")
                .body(ping),
        )
        .await;
        assert_eq!(slash.status, 200);
        assert_eq!(
            answer(server.client.get(server.url("/nothing")))
                .await
                .status,
            404
        );
        assert_eq!(
            answer(server.client.post(server.url("/healthz")))
                .await
                .status,
            405
        );
    });
}
