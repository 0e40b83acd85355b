//! Callers that signed their request: `roles.header: "iam"`, behind the front doors that check SigV4.

use serde_json::{Value, json};

use super::support::{FrontDoor, Function, Request, Setup, claims, limited, server::Answer, world};

const ROLE: &str = "X-Quilt-User-Role";
const CI: &str = "arn:aws:sts::111122223333:assumed-role/Ci/build-7";
const USER: &str = "arn:aws:iam::444455556666:user/team/dana";

/// A server whose only way in are signed requests. `Ci` may name alice's roles, dana the second of them.
fn setup() -> Setup {
    let roles = &world().person("alice").roles;
    let mut setup = Setup::new()
        .with("/roles/header", "iam")
        .with(
            "/roles/iam",
            json!({
                "frontDoors": [
                    { "kind": "function-url", "apiId": "abcdefghij", "domainName": "abcdefghij.lambda-url.us-east-1.on.aws" },
                    { "kind": "rest-api", "accountId": "123456789012", "apiId": "gy415nuibc", "domainName": "gy415nuibc.execute-api.us-east-1.amazonaws.com" },
                ],
                "callers": [
                    { "caller": "arn:aws:sts::111122223333:assumed-role/Ci/*", "roles": roles },
                    { "caller": USER, "roles": [roles[1]] },
                ],
            }),
        );
    setup.config.as_object_mut().unwrap().remove("auth");
    setup
}

/// The event of a request that `arn` signed, as the front door writes it.
fn signed(door: FrontDoor, request: &Request, arn: &str) -> Value {
    let account = arn.split(':').nth(4).unwrap();
    let signature = "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/20260310/us-east-1/lambda/aws4_request, SignedHeaders=host;x-amz-date, Signature=0f1e2d";
    let request = request.clone().header("Authorization", signature);
    let mut event = door.event(&request);
    let context = &mut event["requestContext"];
    if door == FrontDoor::RestApi {
        let identity = &mut context["identity"];
        identity["userArn"] = arn.into();
        identity["accountId"] = account.into();
        identity["accessKey"] = "ASIAEXAMPLE".into();
        identity["caller"] = "AROAEXAMPLE:build-7".into();
        identity["user"] = "AROAEXAMPLE:build-7".into();
    } else {
        context["authorizer"] = json!({ "iam": {
            "accessKey": "ASIAEXAMPLE",
            "accountId": account,
            "callerId": "AROAEXAMPLE:build-7",
            "cognitoIdentity": null,
            "principalOrgId": null,
            "userArn": arn,
            "userId": "AROAEXAMPLE:build-7",
        } });
        if door == FrontDoor::FunctionUrl {
            context["accountId"] = account.into();
        }
    }
    event
}

async fn send(function: &Function, door: FrontDoor, event: &Value) -> Answer {
    door.answer(&function.invoke(event).await)
}

fn whoami() -> Request {
    Request::legacy("whoami", &json!({}))
}

#[test]
fn a_signed_request_names_its_role_behind_both_front_doors() {
    limited(async {
        let function = Function::start(setup()).await;
        let alice = world().person("alice");
        for door in [FrontDoor::FunctionUrl, FrontDoor::RestApi] {
            let as_role = |request: Request| request.header(ROLE, &alice.roles[1]);
            let event = signed(door, &as_role(whoami()), CI);
            let who = send(&function, door, &event).await.content();
            assert_eq!(who["subject"], CI);
            assert_eq!(who["issuer"], "aws:iam:111122223333");
            assert_eq!(who["environment"], "web-role");
            assert_eq!(who["scheme"], "assume-role");
            assert_eq!(who["role"], alice.roles[1]);
            let status = as_role(Request::legacy("auth_status", &json!({})));
            let status = send(&function, door, &signed(door, &status, CI)).await;
            assert_eq!(status.content()["aws"]["account"], alice.account);
            // Another caller on the same instance, at once.
            let dana = send(&function, door, &signed(door, &as_role(whoami()), USER)).await;
            assert_eq!(dana.content()["subject"], USER);
        }
    });
}

#[test]
fn without_the_header_there_is_a_caller_and_no_role() {
    limited(async {
        let function = Function::start(setup()).await;
        for door in [FrontDoor::FunctionUrl, FrontDoor::RestApi] {
            // An id that is only claimed is nobody's.
            let request = whoami().header("X-Quilt-User-Id", "alice");
            let who = send(&function, door, &signed(door, &request, CI)).await;
            let who = who.content();
            assert_eq!((&who["subject"], &who["role"]), (&json!(CI), &Value::Null));
            let list = Request::legacy("bucket_list", &json!({}));
            let text = send(&function, door, &signed(door, &list, CI)).await;
            assert!(text.tool_error().contains("named no AWS role"));
        }
    });
}

#[test]
fn who_may_not_name_a_role_is_refused() {
    limited(async {
        let function = Function::start(setup()).await;
        let (alice, bob) = (world().person("alice"), world().person("bob"));
        for door in [FrontDoor::FunctionUrl, FrontDoor::RestApi] {
            let status = async |arn: &str, role: &str| {
                let request = whoami().header(ROLE, role);
                let answer = send(&function, door, &signed(door, &request, arn)).await;
                (answer.status, answer.text)
            };
            assert_eq!(status(USER, &alice.roles[1]).await.0, 200);
            // Another caller's role, and one that nobody may name: one text.
            let other = status(USER, &alice.roles[0]).await;
            assert_eq!(other.0, 403);
            assert!(other.1.contains("role_not_allowed"), "{}", other.1);
            assert_eq!(status(CI, &bob.roles[0]).await, other);
            assert_eq!(status(CI, "alice").await.0, 400);
            for stranger in [
                "arn:aws:sts::111122223333:assumed-role/Ci2/build-7",
                "arn:aws:sts::999922223333:assumed-role/Ci/build-7",
                "arn:aws:iam::444455556666:user/team/dana2",
                "arn:aws:iam::444455556666:root",
                "",
            ] {
                let request = whoami().header(ROLE, &alice.roles[1]);
                let mut event = signed(door, &request, CI);
                *arn_of(&mut event, door) = stranger.into();
                let answer = send(&function, door, &event).await;
                assert_eq!(answer.status, 403, "{stranger}: {}", answer.text);
                assert!(answer.text.contains("caller_not_allowed"));
            }
        }
    });
}

/// Where an event says who signed.
fn arn_of(event: &mut Value, door: FrontDoor) -> &mut Value {
    match door {
        FrontDoor::RestApi => &mut event["requestContext"]["identity"]["userArn"],
        _ => &mut event["requestContext"]["authorizer"]["iam"]["userArn"],
    }
}

#[test]
fn only_the_configured_front_doors_are_believed() {
    limited(async {
        let function = Function::start(setup()).await;
        let request = whoami().header(ROLE, &world().person("alice").roles[1]);
        let status = async |door: FrontDoor, event: &Value| {
            let answer = send(&function, door, event).await;
            (answer.status, answer.text)
        };
        // Nobody signed: a Function URL without authentication, a REST API's open method.
        for door in FrontDoor::ALL {
            assert_eq!(status(door, &door.event(&request)).await.0, 401, "{door:?}");
        }
        for door in [FrontDoor::FunctionUrl, FrontDoor::RestApi] {
            assert_eq!(status(door, &signed(door, &request, CI)).await.0, 200);
            for (member, value) in [
                ("apiId", "abcdefghik"),
                ("domainName", "abcdefghik.lambda-url.us-east-1.on.aws"),
                ("domainName", "evil.example.com"),
            ] {
                let mut event = signed(door, &request, CI);
                event["requestContext"][member] = value.into();
                let (status, text) = status(door, &event).await;
                assert_eq!(status, 401, "{door:?} {member}={value}: {text}");
            }
        }
        let mut event = signed(FrontDoor::RestApi, &request, CI);
        event["requestContext"]["accountId"] = "999999999999".into();
        assert_eq!(status(FrontDoor::RestApi, &event).await.0, 401);
        // An HTTP API with the ids of either, in both of its payload versions; an ALB with all of their members.
        let mut event = signed(FrontDoor::HttpApi, &request, CI);
        event["requestContext"]["apiId"] = "gy415nuibc".into();
        event["requestContext"]["domainName"] =
            "gy415nuibc.execute-api.us-east-1.amazonaws.com".into();
        assert_eq!(status(FrontDoor::HttpApi, &event).await.0, 401);
        let mut event = signed(FrontDoor::RestApi, &request, CI);
        event["version"] = "1.0".into();
        assert_eq!(status(FrontDoor::RestApi, &event).await.0, 401);
        let mut event = signed(FrontDoor::RestApi, &request, CI);
        event["requestContext"]["elb"] = json!({ "targetGroupArn": "arn:aws:x" });
        assert_eq!(status(FrontDoor::AlbMulti, &event).await.0, 401);
    });
}

#[test]
fn a_front_door_of_the_other_kind_is_not_believed() {
    limited(async {
        // The ids of an HTTP API, written down as a Function URL's by mistake.
        let function = Function::start(setup().with(
            "/roles/iam/frontDoors/0",
            json!({ "kind": "function-url", "apiId": "r3pmxmplak", "domainName": "r3pmxmplak.execute-api.us-east-2.amazonaws.com" }),
        ))
        .await;
        let request = whoami().header(ROLE, &world().person("alice").roles[1]);
        let door = FrontDoor::HttpApi;
        let answer = send(&function, door, &signed(door, &request, CI)).await;
        assert_eq!(answer.status, 401, "{}", answer.text);
        // And a REST API's.
        let rest = json!({ "kind": "function-url", "apiId": "gy415nuibc", "domainName": "gy415nuibc.execute-api.us-east-1.amazonaws.com" });
        let function = Function::start(setup().with("/roles/iam/frontDoors/1", rest)).await;
        let door = FrontDoor::RestApi;
        let answer = send(&function, door, &signed(door, &request, CI)).await;
        assert_eq!(answer.status, 401, "{}", answer.text);
    });
}

#[test]
fn a_token_comes_first_and_its_caller_names_no_role() {
    limited(async {
        let mut both = setup();
        both.config["auth"] = Setup::new().config["auth"].clone();
        let function = Function::start(both).await;
        let alice = world().person("alice");
        let token = claims("alice").roles(&alice.roles).sign(&world().secret);
        for door in [FrontDoor::FunctionUrl, FrontDoor::RestApi] {
            let status = async |request: Request| {
                let mut event = signed(door, &whoami(), CI);
                let plain = door.event(&request);
                event[door.headers()] = plain[door.headers()].clone();
                if door == FrontDoor::RestApi {
                    event["headers"] = plain["headers"].clone();
                }
                send(&function, door, &event).await
            };
            let who = status(whoami().bearer(&token)).await.content();
            assert_eq!(who["subject"], "alice");
            assert_eq!(who["role"], alice.roles[0]);
            let named = whoami().bearer(&token).header(ROLE, &alice.roles[1]);
            assert_eq!(status(named).await.status, 403);
            // A bad token is a bad token, whoever signed.
            let bad = whoami().bearer("bad").header(ROLE, &alice.roles[1]);
            assert_eq!(status(bad).await.status, 401);
        }
    });
}

#[test]
fn over_tcp_nobody_is_a_signed_caller() {
    limited(async {
        let mut both = setup();
        both.config["auth"] = Setup::new().config["auth"].clone();
        let server = both.start();
        let role = &world().person("alice").roles[1];
        let forged = server
            .anonymous()
            .header(ROLE, role)
            .header("x-quilt-user-id", "alice")
            .header(
                "x-amzn-request-context",
                &json!({ "authorizer": { "iam": { "userArn": CI } } }).to_string(),
            );
        let answer = forged.call("whoami", json!({})).await;
        assert_eq!(answer.status, 401, "{}", answer.text);
        // And where signed requests are the only way in, a TCP server does not start.
        let output = {
            let mut command = setup().command();
            command.output().unwrap()
        };
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("no issuer is configured"));
    });
}
