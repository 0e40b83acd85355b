//! The Lambda door: the real binary behind a Runtime API, for each kind of event.

mod bad_events;
mod frozen;
mod limits;
mod streams;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::support::{
    FrontDoor, Function, Invocation, Mode, Request, Setup, claims, limited, runtime_api::Lost,
    server::Answer, world,
};

/// A valid token of somebody of the seeded world.
#[track_caller]
fn token(name: &str) -> String {
    let world = world();
    claims(name)
        .roles(&world.person(name).roles)
        .sign(&world.secret)
}

/// What an invocation answered, as the client gets it.
#[track_caller]
fn answered(door: FrontDoor, invocation: &Invocation) -> Answer {
    door.answer(invocation)
}

/// Runs a test with a function that answers whole, and with one that answers in streams.
fn each_mode(test: impl AsyncFn(Mode)) {
    for mode in Mode::BOTH {
        limited(test(mode));
    }
}

/// Sends a request through a front door.
async fn send(function: &Function, door: FrontDoor, request: &Request) -> Answer {
    answered(door, &function.invoke(&door.event(request)).await)
}

/// Asks who the caller is, and expects that it is this person.
async fn expect_whoami(function: &Function, door: FrontDoor, name: &str) {
    let request = Request::legacy("whoami", &json!({})).bearer(&token(name));
    let answer = send(function, door, &request).await;
    assert_eq!(answer.content()["subject"], name, "{door:?}");
}

/// The keys of a listed bucket.
#[track_caller]
fn keys(answer: &Answer) -> Vec<String> {
    let content = answer.content();
    let objects = content["objects"].as_array().unwrap();
    objects
        .iter()
        .map(|object| object["key"].as_str().unwrap().to_owned())
        .collect()
}

/// Each kind of request, with both eras and alternating callers, on one instance.
async fn callers_alternate(function: &Function, mode: Mode) {
    for &door in mode.doors() {
        for name in ["alice", "bob", "alice"] {
            let person = world().person(name);
            let bucket = json!({ "bucket": person.bucket });
            for form in [Request::legacy, Request::modern] {
                let who = form("whoami", &json!({})).bearer(&token(name));
                let who = send(function, door, &who).await;
                assert_eq!(who.content()["subject"], name, "{door:?}");
                assert_eq!(who.content()["role"], person.roles[0], "{door:?}");
                let listed = form("bucket_objects_list", &bucket).bearer(&token(name));
                let listed = send(function, door, &listed).await;
                assert_eq!(keys(&listed), person.keys, "{door:?}");
                assert_eq!(listed.header("content-type"), Some("application/json"));
                assert!(listed.header("x-request-id").is_some());
            }
            // The account that AWS itself sees is the caller's.
            let status = Request::legacy("auth_status", &json!({})).bearer(&token(name));
            let status = send(function, door, &status).await;
            assert_eq!(status.content()["aws"]["account"], person.account);
        }
    }
}

#[test]
fn every_front_door_answers_its_caller() {
    each_mode(async |mode| {
        let mut function = mode.start(Setup::new()).await;
        callers_alternate(&function, mode).await;
        function.assert_alive();
    });
}

#[test]
fn the_runtime_api_implies_the_lambda_door() {
    limited(async {
        let function = Function::start_bare(Setup::new()).await;
        expect_whoami(&function, FrontDoor::FunctionUrl, "alice").await;
    });
}

#[test]
fn the_legacy_handshake_and_the_modern_discovery_work() {
    each_mode(async |mode| {
        let function = mode.start(Setup::new()).await;
        let hello = json!({
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": { "name": "test", "version": "1" },
            },
        });
        let discover = json!({
            "jsonrpc": "2.0",
            "id": 1,
            "method": "server/discover",
            "params": { "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            } },
        });
        let notification = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        for &door in mode.doors() {
            let request = Request::post(hello.to_string()).bearer(&token("alice"));
            let answer = send(&function, door, &request).await;
            assert_eq!(answer.json()["result"]["protocolVersion"], "2025-06-18");

            let request = Request::post(notification.to_string()).bearer(&token("alice"));
            let answer = send(&function, door, &request).await;
            assert_eq!((answer.status, answer.text.as_str()), (202, ""), "{door:?}");

            let request = Request::post(discover.to_string())
                .bearer(&token("alice"))
                .header("MCP-Protocol-Version", "2026-07-28")
                .header("Mcp-Method", "server/discover");
            let answer = send(&function, door, &request).await;
            let versions = &answer.json()["result"]["supportedVersions"];
            assert_eq!(*versions, json!(["2026-07-28"]), "{door:?}");
        }
    });
}

#[test]
fn bodies_may_be_base64() {
    each_mode(async |mode| {
        let function = mode.start(Setup::new()).await;
        for &door in mode.doors() {
            for form in [Request::legacy, Request::modern] {
                let request = form("whoami", &json!({})).bearer(&token("alice")).base64();
                let answer = send(&function, door, &request).await;
                assert_eq!(answer.content()["subject"], "alice", "{door:?}");
            }
            // The flag decides, not the look of the body.
            let mut event =
                door.event(&Request::legacy("whoami", &json!({})).bearer(&token("bob")));
            let body = Request::legacy("whoami", &json!({})).base64();
            event["body"] = door.event(&body)["body"].clone();
            let answer = answered(door, &function.invoke(&event).await);
            assert_eq!((answer.status, answer.code()), (400, -32700), "{door:?}");
        }
    });
}

#[test]
fn stages_and_base_paths_are_taken_off() {
    each_mode(async |mode| {
        let setup = Setup::new().with("/server/publicUrl", "https://mcp.example.com/tools");
        let function = mode.start(setup).await;
        let call = |stage: &str, path: &str| {
            Request::legacy("whoami", &json!({}))
                .bearer(&token("alice"))
                .stage(stage)
                .path(path)
        };
        // The last three are stages and base paths that look like routes.
        for (stage, path) in [
            ("$default", "/mcp"),
            ("$default", "/mcp/"),
            ("$default", "/tools/mcp"),
            ("prod", "/mcp"),
            ("prod", "/mcp/"),
            ("v1", "/mcp"),
            ("mcp", "/mcp"),
            ("mcp", "/mcp/"),
            ("healthz", "/mcp"),
        ] {
            for &door in mode.doors() {
                if stage != "$default" && !door.has_stages() {
                    continue;
                }
                let answer = send(&function, door, &call(stage, path)).await;
                assert_eq!(
                    answer.status, 200,
                    "{door:?} {stage} {path} {}",
                    answer.text
                );
            }
        }
        // A stage is taken off whole, once, and only from the front.
        for (stage, path) in [
            ("$default", "/prod/mcp"),
            ("prod", "/production/mcp"),
            ("prod", "/x/prod/mcp"),
            ("$default", "/toolsmcp"),
            ("$default", "//mcp"),
            ("$default", "/x/../mcp"),
            ("$default", "/%6dcp"),
            ("$default", "/MCP"),
        ] {
            for door in mode.doors().iter().copied().filter(|door| {
                (stage == "$default" || door.has_stages())
                    // Behind a REST API the default stage of these tests is `prod`.
                    && !(*door == FrontDoor::RestApi && path == "/prod/mcp")
            }) {
                let answer = send(&function, door, &call(stage, path)).await;
                assert_eq!(answer.status, 404, "{door:?} {stage} {path}");
            }
        }
    });
}

#[test]
fn health_and_metadata_need_no_token() {
    each_mode(async |mode| {
        let setup = Setup::new()
            .with("/server/publicUrl", "https://mcp.example.com")
            .with("/auth/issuers/0/issuer", "https://idp.example.com");
        let function = mode.start(setup).await;
        for &door in mode.doors() {
            let answer = send(&function, door, &Request::get("/healthz")).await;
            assert_eq!(answer.status, 200, "{door:?}");
            assert_eq!(answer.json()["server"]["transport"], "lambda");
            let path = "/.well-known/oauth-protected-resource/mcp";
            let answer = send(&function, door, &Request::get(path)).await;
            assert_eq!(answer.json()["resource"], "https://mcp.example.com/mcp");
        }
        if mode == Mode::Streaming {
            return;
        }
        // What a target group sends to see whether the function is well.
        let check = json!({
            "requestContext": { "elb": {
                "targetGroupArn": "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/t/49e9d65c45c6791a",
            } },
            "httpMethod": "GET",
            "path": "/healthz",
            "queryStringParameters": {},
            "headers": { "user-agent": "ELB-HealthChecker/2.0" },
            "body": "",
            "isBase64Encoded": false,
        });
        let answer = answered(FrontDoor::AlbSingle, &function.invoke(&check).await);
        assert_eq!(answer.status, 200);
    });
}

#[test]
fn callers_without_a_valid_token_are_challenged() {
    each_mode(async |mode| {
        let setup = Setup::new()
            .with("/server/publicUrl", "https://mcp.example.com")
            .with("/auth/issuers/0/issuer", "https://idp.example.com");
        let function = mode.start(setup).await;
        let url = r#"resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp""#;
        for &door in mode.doors() {
            let request = Request::legacy("whoami", &json!({}));
            let answer = send(&function, door, &request).await;
            assert_eq!(answer.status, 401, "{door:?}");
            let challenge = answer.header(door.challenge()).unwrap();
            assert_eq!(challenge, format!("Bearer {url}"), "{door:?}");

            let answer = send(&function, door, &request.bearer("a.b.c")).await;
            assert_eq!(answer.status, 401, "{door:?}");
            let challenge = answer.header(door.challenge()).unwrap();
            assert_eq!(challenge, format!(r#"Bearer error="invalid_token", {url}"#));
        }
    });
}

#[test]
fn two_authorization_headers_are_refused() {
    each_mode(async |mode| {
        let function = mode.start(Setup::new()).await;
        let request = Request::legacy("whoami", &json!({}));
        for &door in mode.doors() {
            let twice = request
                .clone()
                .bearer(&token("alice"))
                .bearer(&token("bob"));
            let answer = send(&function, door, &twice).await;
            if door == FrontDoor::AlbSingle {
                // Such a target group passes on the last value only, as if it were the only one.
                assert_eq!(answer.content()["subject"], "bob");
                continue;
            }
            assert_eq!(answer.status, 400, "{door:?}: {}", answer.text);
            // Under two spellings of the name.
            let mut event = door.event(&request.clone().bearer(&token("alice")));
            for member in ["headers", "multiValueHeaders"] {
                if let Some(headers) = event[member].as_object_mut() {
                    let (name, value) = headers
                        .iter()
                        .find(|(name, _)| name.eq_ignore_ascii_case("authorization"))
                        .map(|(name, value)| (name.to_ascii_uppercase(), value.clone()))
                        .unwrap();
                    headers.insert(name, value);
                }
            }
            let answer = answered(door, &function.invoke(&event).await);
            assert_eq!(answer.status, 400, "{door:?}: {}", answer.text);
        }
    });
}

#[test]
fn callers_at_once_in_one_process_see_only_themselves() {
    const AT_ONCE: usize = 8;
    each_mode(async |mode| {
        // AWS answers once as many calls wait for it as there can be.
        let (gate, open) = watch::channel(false);
        let setup = Setup::new().endpoint(&limits::held_aws(open).await);
        let function = Function::start_concurrent(mode.set(setup), AT_ONCE).await;
        let calls = (0..120).map(|number| {
            let function = &function;
            async move {
                let name = ["alice", "bob"][number % 2];
                let door = mode.doors()[number % mode.doors().len()];
                let form = [Request::legacy, Request::modern][number / 2 % 2];
                let person = world().person(name);
                let call = if number % 3 == 0 {
                    form("bucket_objects_list", &json!({ "bucket": person.bucket }))
                } else {
                    form("whoami", &json!({}))
                };
                let answer = send(function, door, &call.bearer(&token(name))).await;
                if number % 3 == 0 {
                    assert_eq!(keys(&answer), person.keys, "{door:?}");
                } else {
                    assert_eq!(answer.content()["subject"], name, "{door:?}");
                    assert_eq!(answer.content()["role"], person.roles[0], "{door:?}");
                }
            }
        });
        let all_wait = async {
            while function.most_at_once() < AT_ONCE {
                tokio::task::yield_now().await;
            }
            gate.send_replace(true);
        };
        tokio::join!(futures_util::future::join_all(calls), all_wait);
        assert_eq!(function.most_at_once(), AT_ONCE);
    });
}

#[test]
fn a_connection_that_fails_under_an_answer_costs_that_answer_alone() {
    each_mode(async |mode| {
        for concurrency in [1, 2] {
            let setup = mode.set(Setup::new());
            let mut function = Function::start_concurrent(setup, concurrency).await;
            let door = mode.doors()[0];
            let call = Request::legacy("whoami", &json!({})).bearer(&token("alice"));
            // More often than there are workers.
            for _ in 0..3 {
                function.lose_next(Lost::Before);
                let lost = function.invoke(&door.event(&call)).await;
                assert!(matches!(lost, Invocation::Error(_)), "{lost:?}");
                expect_whoami(&function, door, "bob").await;
            }
            function.assert_alive();
        }
    });
}

#[test]
fn an_instance_that_is_given_no_more_events_ends_when_what_it_runs_is_answered() {
    each_mode(async |mode| {
        let (gate, open) = watch::channel(false);
        let setup = Setup::new().endpoint(&limits::held_aws(open).await);
        let function = Function::start_concurrent(mode.set(setup), 2).await;
        let door = mode.doors()[0];
        let held = Request::legacy("auth_status", &json!({})).bearer(&token("alice"));
        let event = door.event(&held);
        let held = function.invoke(&event);
        let no_more = async {
            while function.most_at_once() < 1 {
                tokio::task::yield_now().await;
            }
            function.lose_next(Lost::Amid);
            let lost = function
                .invoke(&door.event(&Request::get("/healthz")))
                .await;
            assert!(matches!(lost, Invocation::Error(_)), "{lost:?}");
            // Lambda gives nothing for a worker whose event has no answer, by its books.
            while function.refused_polls() < 5 {
                tokio::task::yield_now().await;
            }
            gate.send_replace(true);
        };
        let (answered, ()) = tokio::join!(held, no_more);
        assert!(
            !matches!(answered, Invocation::Error(_) | Invocation::TimedOut),
            "{answered:?}"
        );
        let (status, output) = function.ended().await;
        assert_eq!(status.code(), Some(1), "{output}");
        assert_eq!(
            output.matches(r#""message":"no event""#).count(),
            5,
            "{output}"
        );
        assert!(
            output.contains("Lambda gives this instance no more events"),
            "{output}"
        );
    });
}

#[test]
fn sigterm_ends_the_process() {
    each_mode(async |mode| {
        let function = mode.start(Setup::new()).await;
        expect_whoami(&function, mode.doors()[0], "alice").await;
        let (status, output) = function.terminate().await;
        assert!(status.success(), "{status}: {output}");
    });
}

#[test]
fn what_is_being_answered_when_the_process_is_told_to_end_is_finished() {
    each_mode(async |mode| {
        let (gate, open) = watch::channel(false);
        let setup = Setup::new().endpoint(&limits::held_aws(open).await);
        let function = mode.start(setup).await;
        let door = mode.doors()[0];
        let call = Request::legacy("whoami", &json!({})).bearer(&token("alice"));
        let event = door.event(&call);
        let call = function.invoke(&event);
        let output = function.output.clone();
        let end = async {
            while function.most_at_once() < 1 {
                tokio::task::yield_now().await;
            }
            function.tell_to_end();
            gate.send_replace(true);
        };
        let (invocation, ()) = tokio::join!(call, end);
        assert_eq!(answered(door, &invocation).content()["subject"], "alice");
        let (status, _) = function.ended().await;
        assert!(status.success(), "{status:?}: {}", output.text());
    });
}

#[test]
fn the_log_names_the_request_and_holds_no_token() {
    each_mode(async |mode| {
        let function = mode.start(Setup::new()).await;
        let token = token("alice");
        let request = Request::legacy("whoami", &json!({})).bearer(&token);
        let answer = send(&function, FrontDoor::RestApi, &request).await;
        let id = answer.header("x-request-id").unwrap().to_owned();
        // Lambda's own, by which its logs are searched.
        assert!(id.starts_with("8476a536-e9f4-11e8-9739-"), "{id}");
        let mut broken = FrontDoor::RestApi.event(&request);
        broken["multiValueHeaders"]["Bad Name"] = json!([token.as_str()]);
        broken["headers"]["Bad Name"] = token.as_str().into();
        let answer = answered(FrontDoor::RestApi, &function.invoke(&broken).await);
        assert_eq!(answer.status, 400);
        let output = function.output.clone();
        let (_, text) = function.terminate().await;
        let lines = output.lines();
        let access = |line: &&Value| line["message"] == "request" && line["request_id"] == id;
        let line = lines.iter().find(access).unwrap();
        assert_eq!(line["subject"], "alice");
        assert_eq!(line["status"], 200);
        let bad = |line: &&Value| line["message"] == "bad event";
        let line = lines.iter().find(bad).unwrap();
        assert_eq!(line["reason"], "a header's name is malformed");
        assert!(!text.contains(&token));
    });
}
