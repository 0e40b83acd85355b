use std::fmt::Write;

use axum::body::Bytes;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::*;

fn v2(path: &str, stage: &str) -> Value {
    json!({
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": { "host": "mcp.example.com", "content-length": "2", "transfer-encoding": "chunked" },
        "requestContext": { "http": { "method": "POST" }, "stage": stage },
        "body": "{}",
        "isBase64Encoded": false,
    })
}

fn v1(path: &str, stage: &str) -> Value {
    json!({
        "httpMethod": "POST",
        "path": path,
        "headers": { "Host": "mcp.example.com", "Accept": "b" },
        "multiValueHeaders": { "host": ["mcp.example.com"], "Accept": ["a", "b"] },
        "requestContext": { "stage": stage },
        "body": null,
        "isBase64Encoded": false,
    })
}

fn function_url() -> Value {
    let mut event = v2("/mcp", "$default");
    event["requestContext"]["apiId"] = "abcdefghij".into();
    event["requestContext"]["domainName"] = "abcdefghij.lambda-url.us-east-1.on.aws".into();
    event
}

fn alb(headers: &Value) -> Value {
    let mut event = json!({
        "httpMethod": "GET",
        "path": "/healthz",
        "requestContext": { "elb": { "targetGroupArn": "arn:aws:elasticloadbalancing:…" } },
        "body": "",
        "isBase64Encoded": false,
    });
    for (name, value) in headers.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

#[track_caller]
fn good(event: &Value) -> Parsed {
    parse(&event.to_string(), "").unwrap()
}

#[track_caller]
fn path(event: &Value, base_path: &str) -> String {
    let parsed = parse(&event.to_string(), base_path).unwrap();
    parsed.request.uri().to_string()
}

/// Why an event is refused.
#[track_caller]
fn reason(event: &Value) -> &'static str {
    parse(&event.to_string(), "").unwrap_err().reason
}

fn body(parsed: Parsed) -> Bytes {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let collected = runtime.block_on(parsed.request.into_body().collect());
    collected.unwrap().to_bytes()
}

fn values<'a>(parsed: &'a Parsed, name: &str) -> Vec<&'a str> {
    let all = parsed.request.headers().get_all(name).iter();
    all.map(|value| value.to_str().unwrap()).collect()
}

#[test]
fn each_kind_is_known_by_its_shape() {
    let single = json!({ "headers": {} });
    let multi = json!({ "multiValueHeaders": {} });
    let both = json!({ "headers": {}, "multiValueHeaders": {} });
    let v1_of_an_http_api = {
        let mut event = v1("/mcp", "$default");
        event["version"] = "1.0".into();
        event
    };
    for (event, front_door) in [
        (v2("/mcp", "$default"), FrontDoor::HttpApi),
        (v1("/mcp", "prod"), FrontDoor::RestApi),
        (v1_of_an_http_api, FrontDoor::HttpApiV1),
        (function_url(), FrontDoor::FunctionUrl),
        (alb(&single), FrontDoor::AlbSingle),
        (alb(&multi), FrontDoor::AlbMulti),
        (alb(&both), FrontDoor::AlbMulti),
    ] {
        assert_eq!(good(&event).front_door, front_door, "{event}");
    }
}

#[test]
fn a_function_url_is_known_by_its_domain() {
    for (member, value) in [
        (
            "domainName",
            json!("abcdefghij.execute-api.us-east-1.amazonaws.com"),
        ),
        ("domainName", json!("mcp.example.com")),
        ("domainName", json!("other.lambda-url.us-east-1.on.aws")),
        ("domainName", json!(7)),
        ("domainName", json!(null)),
        ("apiId", json!("other")),
        ("apiId", json!(["abcdefghij"])),
        ("apiId", json!(null)),
    ] {
        let mut event = function_url();
        event["requestContext"][member] = value;
        let front_door = match parse(&event.to_string(), "") {
            Ok(parsed) => parsed.front_door,
            Err(bad) => bad.front_door,
        };
        assert_eq!(front_door, FrontDoor::HttpApi, "{event}");
    }
}

#[test]
fn what_is_of_no_kind_is_refused() {
    let mut wrong_version = v2("/mcp", "$default");
    wrong_version["version"] = "1.0".into();
    let mut unknown_version = v1("/mcp", "prod");
    unknown_version["version"] = "1.1".into();
    let mut no_http = v2("/mcp", "$default");
    no_http["requestContext"] = json!({ "stage": "$default" });
    for event in [
        json!({}),
        json!({ "requestContext": null }),
        json!({ "requestContext": 7 }),
        json!([]),
        json!(["2.0"]),
        json!("x"),
        json!(7),
        json!(null),
        wrong_version,
        unknown_version,
        no_http,
    ] {
        let bad = parse(&event.to_string(), "").unwrap_err();
        assert_eq!(
            bad.front_door,
            FrontDoor::RestApi,
            "such an answer suits most"
        );
    }
    // The members of an object in a row are not the object.
    reason(&json!({ "version": "2.0", "requestContext": [null, {}, null, null] }));
    reason(&json!(["2.0", [null, {}, null, null], null]));
}

#[test]
fn only_strict_json_is_read() {
    let event = v2("/mcp", "$default").to_string();
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let mut bad = vec![String::new(), "{".to_owned(), format!("{event}x")];
    for first in [
        r#""body":"x""#,
        r#""\u0062ody":"x""#,
        r#""unread":"\ud800""#,
        &format!(r#""unread":{deep}"#),
    ] {
        bad.push(event.replacen('{', &format!("{{{first},"), 1));
    }
    for text in bad {
        let refused = parse(&text, "").unwrap_err();
        assert_eq!(refused.reason, "not strict JSON", "{text}");
    }
}

#[test]
fn stages_and_base_paths_come_off_once_and_whole() {
    for (path_, stage, base_path, expected) in [
        ("/mcp", "$default", "", "/mcp"),
        ("/prod/mcp", "prod", "", "/mcp"),
        ("/prod/prod/mcp", "prod", "", "/prod/mcp"),
        ("/production/mcp", "prod", "", "/production/mcp"),
        ("/x/prod/mcp", "prod", "", "/x/prod/mcp"),
        ("/tools/mcp", "$default", "/tools", "/mcp"),
        ("/prod/mcp", "prod", "/tools", "/mcp"),
        // The public URL names the stage.
        ("/prod/mcp", "prod", "/prod", "/mcp"),
        ("/prod/prod/mcp", "prod", "/prod", "/prod/mcp"),
        // A stage or a base path that is called as a route is.
        ("/mcp", "mcp", "", "/mcp"),
        ("/mcp/", "mcp", "", "/mcp/"),
        ("/mcp/mcp", "mcp", "", "/mcp"),
        ("/mcp", "prod", "/mcp", "/mcp"),
        ("/mcp/mcp", "prod", "/mcp", "/mcp"),
        ("/prod", "prod", "", "/prod"),
        // Nothing of a path is resolved or decoded.
        ("/prod/../mcp", "prod", "", "/../mcp"),
        ("//mcp", "$default", "", "//mcp"),
        ("/%6dcp", "$default", "", "/%6dcp"),
    ] {
        for event in [v2(path_, stage), v1(path_, stage)] {
            assert_eq!(path(&event, base_path), expected, "{path_} {stage}");
        }
    }
    let mut event = alb(&json!({ "headers": {} }));
    event["path"] = "/prod/mcp".into();
    event["requestContext"]["stage"] = "prod".into();
    assert_eq!(path(&event, ""), "/prod/mcp", "an ALB has no stages");
}

#[test]
fn a_target_is_a_path_and_a_query_and_nothing_else() {
    let mut event = v2("/mcp", "$default");
    event["rawQueryString"] = "x=1&y=%20#z".into();
    event["headers"]["host"] = "evil.com/healthz?y=".into();
    let uri = good(&event).request.uri().clone();
    assert_eq!((uri.path(), uri.query()), ("/mcp", Some("x=1&y=%20")));
    assert!(uri.host().is_none() && uri.scheme().is_none());
    for path in [
        "", "mcp", "*", "?", "/mcp?", "/mcp?x", "/mcp#", "/m cp", "/\0", "/\n",
    ] {
        reason(&v2(path, "$default"));
        reason(&v1(path, "prod"));
    }
    assert_eq!(
        reason(&v2(&format!("/{}", "a".repeat(70_000)), "$default")),
        "the path is malformed"
    );
    event["rawQueryString"] = "a b".into();
    assert_eq!(reason(&event), "the path is malformed");
}

#[test]
fn lists_of_headers_keep_every_value() {
    let parsed = good(&v1("/mcp", "prod"));
    assert_eq!(values(&parsed, "accept"), ["a", "b"]);
    assert_eq!(values(&parsed, "host"), ["mcp.example.com"]);
    let mut event = v2("/mcp", "$default");
    event["headers"] = json!({ "Authorization": "Bearer a", "authorization": "Bearer b" });
    assert_eq!(values(&good(&event), "authorization").len(), 2);
}

#[test]
fn single_values_that_no_list_knows_are_refused() {
    let mut event = v1("/mcp", "prod");
    event["headers"]["Authorization"] = "Bearer a".into();
    let expected = "`headers` and `multiValueHeaders` disagree";
    assert_eq!(reason(&event), expected);
    event["multiValueHeaders"]["authorization"] = json!([]);
    assert_eq!(reason(&event), expected);
    event["multiValueHeaders"]["authorization"] = json!(["Bearer b"]);
    assert_eq!(values(&good(&event), "authorization"), ["Bearer b"]);
}

#[test]
fn headers_may_be_absent() {
    // The console's test of a REST API sends none.
    let mut event = v1("/mcp", "test-invoke-stage");
    event["headers"] = Value::Null;
    event["multiValueHeaders"] = Value::Null;
    assert!(good(&event).request.headers().is_empty());
    assert!(good(&alb(&json!({}))).request.headers().is_empty());
}

#[test]
fn malformed_headers_are_refused() {
    for name in ["", "a b", "a:b", "é", "a\n", "(a)"] {
        let mut event = v2("/mcp", "$default");
        event["headers"][name] = "x".into();
        assert_eq!(reason(&event), "a header's name is malformed", "{name:?}");
    }
    for value in ["a\nb", "a\r", "\0", "\u{7f}", "\u{1b}"] {
        let mut event = v1("/mcp", "prod");
        event["multiValueHeaders"]["x"] = json!([value]);
        assert_eq!(reason(&event), "a header's value is malformed", "{value:?}");
    }
}

#[test]
fn more_headers_than_a_map_can_hold_are_refused() {
    let mut headers = String::new();
    for number in 0..40_000 {
        write!(headers, r#","x-{number}":"v""#).unwrap();
    }
    let event = v2("/mcp", "$default").to_string();
    let event = event.replacen(r#""mcp.example.com""#, &format!(r#""h"{headers}"#), 1);
    let refused = parse(&event, "").unwrap_err();
    assert_eq!(refused.reason, "there are too many headers");
}

#[test]
fn what_the_headers_say_of_framing_is_dropped() {
    let parsed = good(&v2("/mcp", "$default"));
    assert!(values(&parsed, "content-length").is_empty());
    assert!(values(&parsed, "transfer-encoding").is_empty());
    assert_eq!(body(parsed), "{}");
}

#[test]
fn bodies_are_text_or_base64() {
    let mut event = v2("/mcp", "$default");
    event["isBase64Encoded"] = true.into();
    event["body"] = "AP8=".into();
    assert_eq!(body(good(&event)), &b"\x00\xff"[..]);
    for wrong in ["AP8", "AP8 =", "%", "_-8=", "AP9="] {
        event["body"] = wrong.into();
        assert_eq!(reason(&event), "the body is not base64", "{wrong}");
    }
    event["isBase64Encoded"] = false.into();
    event["body"] = "AP8=".into();
    assert_eq!(body(good(&event)), "AP8=");
    assert_eq!(body(good(&v1("/mcp", "prod"))), "");
}

#[test]
fn methods_are_tokens() {
    let mut event = v2("/mcp", "$default");
    for method in ["POST", "post", "X-Y", "CONNECT"] {
        event["requestContext"]["http"]["method"] = method.into();
        assert_eq!(good(&event).request.method(), method);
    }
    for method in ["", "P OST", "POST\r\n", "é", "POST /x"] {
        event["requestContext"]["http"]["method"] = method.into();
        assert_eq!(reason(&event), "the method is malformed", "{method:?}");
    }
}

#[test]
fn a_refusal_is_answered_in_the_form_of_its_front_door() {
    let single = alb(&json!({ "headers": { "a b": "x" } }));
    let multi = alb(&json!({ "multiValueHeaders": { "a b": ["x"] } }));
    for (event, front_door) in [
        (v2("mcp", "$default"), FrontDoor::HttpApi),
        (v1("mcp", "prod"), FrontDoor::RestApi),
        (single, FrontDoor::AlbSingle),
        (multi, FrontDoor::AlbMulti),
    ] {
        let refused = parse(&event.to_string(), "").unwrap_err();
        assert_eq!(refused.front_door, front_door);
    }
}

#[test]
fn wrong_types_are_refused() {
    for (member, wrong) in [
        ("/rawPath", json!(7)),
        ("/rawPath", json!(null)),
        ("/rawQueryString", json!([])),
        ("/headers", json!([])),
        ("/headers/host", json!(["mcp.example.com"])),
        ("/headers/host", json!(null)),
        ("/requestContext/http/method", json!(null)),
        ("/requestContext/http", json!(["POST", 7])),
        ("/requestContext/stage", json!(7)),
        ("/body", json!({})),
        ("/isBase64Encoded", json!("false")),
    ] {
        let mut event = v2("/mcp", "$default");
        *event.pointer_mut(member).unwrap() = wrong;
        assert_eq!(reason(&event), "a member has the wrong type", "{event}");
    }
}
