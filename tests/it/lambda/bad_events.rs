//! Events that are no requests, or try to be two: each is refused, and the same process serves the next call.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{answered, each_mode, expect_whoami, send, token};
use crate::support::{FrontDoor, Function, Invocation, Request, Setup};

const TIME: Duration = Duration::from_secs(10);

/// A good call of alice's.
fn good() -> Request {
    Request::legacy("whoami", &json!({})).bearer(&token("alice"))
}

/// Sends an event that must be answered with 400, and a good one after it.
async fn expect_bad(function: &mut Function, door: FrontDoor, event: impl Into<Vec<u8>>, of: &str) {
    let invocation = function.invoke_raw(event, TIME).await;
    let answer = answered(door, &invocation);
    assert_eq!(answer.status, 400, "{door:?} {of}: {}", answer.text);
    assert!(answer.json()["error"].is_string(), "{}", answer.text);
    expect_whoami(function, door, "bob").await;
    function.assert_alive();
}

/// A good event with one member changed.
fn with(door: FrontDoor, pointer: &str, value: impl Into<Value>) -> String {
    let mut event = door.event(&good());
    *event
        .pointer_mut(pointer)
        .unwrap_or_else(|| panic!("{door:?} has {pointer}")) = value.into();
    event.to_string()
}

/// The status that an event is answered with, in whatever form.
async fn status(function: &Function, event: &str) -> u64 {
    match function.invoke_raw(event, TIME).await {
        Invocation::Response(head) | Invocation::Streamed { prelude: head, .. } => {
            head["statusCode"].as_u64().unwrap()
        }
        other => panic!("{event}: {other:?}"),
    }
}

/// A good event with one more header, wherever such an event has headers.
fn with_header(door: FrontDoor, name: &str, value: &str) -> String {
    door.event(&good().header(name, value)).to_string()
}

#[test]
fn events_of_no_known_kind() {
    each_mode(async |mode| {
        let mut function = mode.start(Setup::new()).await;
        let bus = json!({
            "version": "0",
            "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": "123456789012",
            "time": "2026-10-08T16:53:06Z",
            "region": "us-east-1",
            "resources": ["arn:aws:events:us-east-1:123456789012:rule/my-rule"],
            "detail": {},
        });
        let bucket = json!({ "Records": [{
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "s3": { "bucket": { "name": "b" }, "object": { "key": "k", "size": 1 } },
        }] });
        let socket = json!({
            "requestContext": { "routeKey": "$connect", "eventType": "CONNECT", "connectionId": "x", "stage": "prod" },
            "headers": {},
            "multiValueHeaders": {},
            "isBase64Encoded": false,
        });
        let lattice = json!({
            "version": "2.0",
            "path": "/mcp",
            "method": "POST",
            "headers": { "host": ["mcp.example.com"] },
            "isBase64Encoded": false,
            "requestContext": { "serviceNetworkArn": "arn:aws:vpc-lattice:us-east-1:123456789012:servicenetwork/sn-1", "region": "us-east-1" },
        });
        for event in [
            json!({}),
            bus,
            bucket,
            socket,
            lattice,
            json!("POST /mcp"),
            json!(7),
            json!([1, 2]),
            json!([]),
            json!(true),
            json!(null),
        ] {
            let text = event.to_string();
            expect_bad(&mut function, FrontDoor::RestApi, text.as_str(), &text).await;
        }
        // The members of an event in a row, as a reader of structures might take them.
        let context = json!([null, {}, "a", "a.lambda-url.us-east-1.on.aws"]);
        let row = json!(["2.0", context, null]).to_string();
        expect_bad(&mut function, FrontDoor::FunctionUrl, row.as_str(), &row).await;
    });
}

#[test]
fn events_that_are_not_strict_json() {
    each_mode(async |mode| {
        let mut function = mode.start(Setup::new()).await;
        // What is not JSON at all cannot tell what it came through.
        let door = FrontDoor::RestApi;
        for bytes in [
            &b""[..],
            b"{",
            b"nul",
            b"{'a':1}",
            b"\"\xff\"",
            b"{\"a\":\"\xc3\x28\"}",
            b"\xef\xbb\xbf{}",
        ] {
            expect_bad(&mut function, door, bytes, &format!("{bytes:?}")).await;
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for kind in FrontDoor::ALL {
            let event = kind.event(&good()).to_string();
            let first = |member: &str| event.replacen('{', &format!("{{{member},"), 1);
            let header = |member: &str| {
                let place = format!(r#""{}":{{"#, kind.headers());
                assert!(event.contains(&place));
                event.replacen(&place, &format!("{place}{member},"), 1)
            };
            let value = |text: &str| match kind.has_lists() {
                true => format!("[{text}]"),
                false => text.to_owned(),
            };
            for bad in [
                // The same member twice: two readers would read two events.
                first(r#""body":"{}""#),
                first(r#""\u0062ody":"{}""#),
                first(r#""requestContext":{}"#),
                first(r#""unread":1,"unread":1"#),
                header(&format!(r#""x-a":{0},"x-a":{0}"#, value(r#""b""#))),
                // Nested too deep, in a member that nobody reads.
                first(&format!(r#""unread":{deep}"#)),
                // Half of a surrogate pair.
                first(r#""unread":"\ud800""#),
                header(&format!(r#""x-a":{}"#, value(r#""\udfff""#))),
                event.replacen("/mcp", r"/mcp\ud800", 1),
            ] {
                assert_ne!(bad, event);
                expect_bad(&mut function, door, bad.as_str(), &bad).await;
            }
        }
    });
}

#[test]
fn members_of_a_wrong_type() {
    each_mode(async |mode| {
        let mut function = mode.start(Setup::new()).await;
        for &door in mode.doors() {
            let event = door.event(&good());
            let mut members = vec![
                door.path().to_owned(),
                door.method().to_owned(),
                format!("/{}", door.headers()),
                "/requestContext".to_owned(),
                "/body".to_owned(),
                "/isBase64Encoded".to_owned(),
            ];
            if door.has_stages() {
                members.push("/requestContext/stage".to_owned());
            }
            if door == FrontDoor::RestApi {
                members.push("/headers".to_owned());
            }
            if door.path() == "/rawPath" {
                members.extend(
                    ["/version", "/rawQueryString", "/requestContext/http"].map(str::to_owned),
                );
            }
            let name = if door == FrontDoor::RestApi {
                "Accept"
            } else {
                "accept"
            };
            members.push(format!("/{}/{name}", door.headers()));
            for member in members {
                let right = event.pointer(&member).unwrap();
                for wrong in [json!(true), json!(7), json!("x"), json!([7]), json!({})] {
                    if std::mem::discriminant(right) == std::mem::discriminant(&wrong)
                        && !right.is_array()
                    {
                        continue;
                    }
                    let text = with(door, &member, wrong);
                    assert_eq!(status(&function, &text).await, 400, "{text}");
                }
                // Null may stand for absent; it is never our failure.
                let text = with(door, &member, Value::Null);
                assert!(status(&function, &text).await < 500, "{text}");
            }
            expect_whoami(&function, door, "bob").await;
            function.assert_alive();
        }
    });
}

#[test]
fn malformed_headers() {
    each_mode(async |mode| {
        let mut function = mode.start(Setup::new()).await;
        for &door in mode.doors() {
            for name in ["", "Bad Name", "a:b", "(x)", "é", "x\r\ny", "x\0"] {
                expect_bad(&mut function, door, with_header(door, name, "v"), name).await;
            }
            for value in ["a\r\nb", "a\nb", "\0", "a\u{7f}b", "\u{1b}[2J"] {
                expect_bad(&mut function, door, with_header(door, "X-A", value), value).await;
            }
            // More than a map of headers can hold.
            let many: Map<String, Value> = (0..40_000)
                .map(|number| {
                    let name = format!("x-{number}");
                    match door.has_lists() {
                        true => (name, json!(["v"])),
                        false => (name, json!("v")),
                    }
                })
                .collect();
            let mut event = door.event(&good());
            event[door.headers()] = many.into();
            expect_bad(&mut function, door, event.to_string(), "40,000 headers").await;
        }
        // Lists and single values that do not tell of the same headers.
        let mut event = FrontDoor::RestApi.event(&good());
        let lists = event["multiValueHeaders"].as_object_mut().unwrap();
        lists.remove("Authorization");
        let text = event.to_string();
        expect_bad(&mut function, FrontDoor::RestApi, text, "disagreement").await;
    });
}

#[test]
fn hosts_never_change_where_a_request_goes() {
    each_mode(async |mode| {
        let mut function = mode.start(Setup::new()).await;
        for &door in mode.doors() {
            for host in [
                "a b",
                "h:99999",
                "[",
                "a<b>",
                "evil.com/x?y=",
                "evil.com/mcp?y=",
                "evil.com/healthz?",
                "evil.com#",
                "user@evil.com",
                "",
                "é.example",
                "mcp.example.com, evil.com",
            ] {
                let to = |request: Request| request.replace("Host", host);
                let answer = send(&function, door, &to(good())).await;
                assert_eq!(answer.status, 421, "{door:?} {host}");
                let nowhere = send(&function, door, &to(good().path("/nowhere"))).await;
                assert_eq!(nowhere.status, 421, "{door:?} {host}");
                let health = send(&function, door, &to(Request::get("/healthz"))).await;
                assert_eq!(health.json()["route"], "/healthz", "{door:?} {host}");
                expect_whoami(&function, door, "bob").await;
            }
            // Two of them.
            let twice = good().header("Host", "evil.com");
            let answer = send(&function, door, &twice).await;
            if door == FrontDoor::AlbSingle {
                assert_eq!(answer.status, 200, "the last one is all that comes");
            } else {
                assert_eq!(answer.status, 421, "{door:?}");
            }
            // Of the client's scheme, address and port, nothing is read.
            for name in ["X-Forwarded-Proto", "X-Forwarded-For", "X-Forwarded-Port"] {
                for value in ["", "https, http", "gopher", "a b", "[", "é"] {
                    let answer = send(&function, door, &good().replace(name, value)).await;
                    assert_eq!(
                        answer.content()["subject"],
                        "alice",
                        "{door:?} {name} {value}"
                    );
                }
            }
            function.assert_alive();
        }
        let setup = Setup::new().with("/server/allowedHosts", json!(["mcp.example.com"]));
        let named = mode.start(setup).await;
        for &door in mode.doors() {
            expect_whoami(&named, door, "alice").await;
            let elsewhere = good().replace("Host", "other.example.com");
            assert_eq!(send(&named, door, &elsewhere).await.status, 421, "{door:?}");
        }
    });
}

#[test]
fn malformed_paths_queries_and_methods() {
    each_mode(async |mode| {
        let mut function = mode.start(Setup::new()).await;
        let long = format!("/mcp{}", "a".repeat(70_000));
        for &door in mode.doors() {
            for path in [
                "",
                "mcp",
                "*",
                "http://evil.com/mcp",
                "?/mcp",
                "/mcp?x=1",
                "/mcp?",
                "/mcp#x",
                "/m cp",
                "/mcp\0",
                "/mcp\r\nX-A: b",
                &long,
            ] {
                let event = with(door, door.path(), path);
                expect_bad(&mut function, door, event, path).await;
            }
            for method in ["", "P OST", "POST\r\n", "PÖST", "POST /healthz"] {
                let event = with(door, door.method(), method);
                expect_bad(&mut function, door, event, method).await;
            }
            for method in [
                "POSTED", "post", "GET", "PUT", "DELETE", "TRACE", "CONNECT", "HEAD",
            ] {
                let event = with(door, door.method(), method);
                let answer = answered(door, &function.invoke_raw(event, TIME).await);
                assert_eq!(answer.status, 405, "{door:?} {method}");
                assert_eq!(answer.header("allow"), Some("POST"), "{door:?} {method}");
            }
        }
        let with_query = [FrontDoor::HttpApi, FrontDoor::FunctionUrl];
        let read = |door: &FrontDoor| mode.doors().contains(door);
        for door in with_query.into_iter().filter(read) {
            for query in ["a b", "\0", "x\r\ny"] {
                let event = with(door, "/rawQueryString", query);
                expect_bad(&mut function, door, event, query).await;
            }
            for query in ["x=1", "?", "/healthz", "x#y", "%zz", "é"] {
                let event = with(door, "/rawQueryString", query);
                let answer = answered(door, &function.invoke_raw(event, TIME).await);
                assert_eq!(answer.content()["subject"], "alice", "{query}");
            }
            // A token in a query is nobody's.
            let mut event = door.event(&Request::legacy("whoami", &json!({})));
            event["rawQueryString"] = format!("access_token={}", token("alice")).into();
            let answer = answered(door, &function.invoke(&event).await);
            assert_eq!(answer.status, 401);
        }
    });
}

#[test]
fn bodies_that_are_not_base64() {
    each_mode(async |mode| {
        let mut function = mode.start(Setup::new()).await;
        for &door in mode.doors() {
            for body in ["%%%", "a", "YQ", "YQ=", "Y Q==", "YQ==\n", "_-8=", "{}"] {
                let mut event = door.event(&good().base64());
                event["body"] = body.into();
                expect_bad(&mut function, door, event.to_string(), body).await;
            }
            // Base64, but of bytes that are no text.
            let mut event = door.event(&good().base64());
            event["body"] = "/////w==".into();
            let answer = answered(door, &function.invoke(&event).await);
            assert_eq!((answer.status, answer.code()), (400, -32700), "{door:?}");
        }
    });
}
