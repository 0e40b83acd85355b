//! Several instances of one function, frozen between calls and in the middle of them, as Lambda does with them.

use std::time::Duration;

use serde_json::{Value, json};

use super::{answered, each_mode, send, token};
use crate::support::{
    FrontDoor, Function, Issuer, Request, Setup, claims, issuer::CLIENT, kept_alive::KeptAlive,
    token::now, world,
};

const DOOR: FrontDoor = FrontDoor::FunctionUrl;

fn proof(name: &str) -> Request {
    Request::legacy("auth_status", &json!({})).bearer(&token(name))
}

/// Fails unless these are the person's own account and session.
#[track_caller]
fn expect_own(content: &Value, name: &str) {
    assert_eq!(content["caller"]["subject"], name);
    let aws = &content["aws"];
    assert_eq!(aws["account"], world().person(name).account, "{content}");
    let session = aws["role_session"].as_str().unwrap();
    assert!(session.starts_with(&format!("mcp-{name}-")), "{content}");
}

/// Sends a request to a frozen instance, which goes on once the event waits for it.
async fn wake(function: &Function, request: &Request) -> super::Answer {
    let event = DOOR.event(request);
    let waking = async { function.thaw() };
    let (invocation, ()) = tokio::join!(function.invoke(&event), waking);
    answered(DOOR, &invocation)
}

#[test]
fn instances_that_are_frozen_between_calls_and_amid_them_answer_each_caller_for_itself() {
    each_mode(async |mode| {
        let aws = KeptAlive::start().await;
        let mut functions = Vec::new();
        for _ in 0..3 {
            let setup = Setup::new().endpoint(&aws.endpoint);
            functions.push(mode.start(setup).await);
        }
        for (index, function) in functions.iter().enumerate() {
            for name in ["alice", "bob", "alice"] {
                expect_own(&send(function, DOOR, &proof(name)).await.content(), name);
            }
            assert!(
                aws.requests() > aws.connections() + index,
                "connections are kept: {} requests on {}",
                aws.requests(),
                aws.connections()
            );
        }
        for round in 0..6 {
            for (index, name) in ["alice", "bob", "alice", "bob"].into_iter().enumerate() {
                let function = &functions[(round + index) % functions.len()];
                // Between two calls. Meanwhile AWS closes what was idle.
                function.freeze().await;
                let before = aws.connections();
                aws.cut();
                expect_own(&wake(function, &proof(name)).await.content(), name);
                assert!(aws.connections() > before, "on a connection of its own");
                // In the middle of a call, after which the connection is there, or is not.
                let came = aws.requests();
                aws.hold();
                let freezing = async {
                    aws.until_more_than(came).await;
                    function.freeze().await;
                    if index % 2 == 0 {
                        aws.cut();
                    }
                    aws.open();
                    function.thaw();
                };
                let (answer, ()) =
                    tokio::join!(async { send(function, DOOR, &proof(name)).await }, freezing);
                expect_own(&answer.content(), name);
            }
        }
        for function in &mut functions {
            function.assert_alive();
        }
    });
}

#[test]
fn calls_at_once_in_an_instance_that_is_frozen_again_and_again_see_only_themselves() {
    each_mode(async |mode| {
        let setup = Setup::new();
        let function = Function::start_concurrent(mode.set(setup), 8).await;
        let calls = futures_util::future::join_all((0..80).map(|number| {
            let function = &function;
            async move {
                let name = ["alice", "bob"][number % 2];
                let person = world().person(name);
                if number % 8 < 2 {
                    let content = send(function, DOOR, &proof(name)).await.content();
                    expect_own(&content, name);
                    return;
                }
                let form = [Request::legacy, Request::modern][number / 2 % 2];
                let call = form("whoami", &json!({})).bearer(&token(name));
                let content = send(function, DOOR, &call).await.content();
                assert_eq!(content["subject"], name);
                assert_eq!(content["role"], person.roles[0]);
            }
        }));
        let mut calls = std::pin::pin!(calls);
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        loop {
            tokio::select! {
                _ = &mut calls => break,
                _ = pace.tick() => {
                    function.freeze().await;
                    function.thaw();
                }
            }
        }
    });
}

#[test]
fn a_token_that_ended_while_the_instance_was_frozen_is_refused_when_it_goes_on() {
    each_mode(async |mode| {
        let issuer = Issuer::start().await;
        let audience = "https://mcp.example.com/mcp";
        let secret = world().stored(CLIENT.1).await;
        let asked = json!({ "url": format!("{}/introspect", issuer.url), "clientId": CLIENT.0, "clientSecret": secret, "cacheSeconds": 3_600 });
        let setup = Setup::new()
            .with("/auth/issuers/0/leewaySeconds", 0)
            .with(
                "/auth/issuers/1",
                json!({ "issuer": issuer.url, "audience": audience, "introspection": asked, "leewaySeconds": 0 }),
            );
        let function = mode.start(setup).await;
        let whoami = |token: &str| Request::legacy("whoami", &json!({})).bearer(token);
        // What the first call of all must load is loaded.
        let bob = send(&function, DOOR, &whoami(&token("bob"))).await;
        assert_eq!(bob.content()["subject"], "bob");
        let end = now() + 4;
        let signed = claims("alice").with("exp", end).sign(&world().secret);
        let answer = json!({ "active": true, "sub": "carol", "aud": audience, "exp": end });
        issuer.activate("carol-token", answer);
        // Verified, and remembered as verified.
        for (token, subject) in [(signed.as_str(), "alice"), ("carol-token", "carol")] {
            let answer = send(&function, DOOR, &whoami(token)).await;
            assert_eq!(answer.content()["subject"], subject);
        }
        function.freeze().await;
        while now() <= end {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(wake(&function, &whoami(&signed)).await.status, 401);
        assert_eq!(
            send(&function, DOOR, &whoami("carol-token")).await.status,
            401
        );
        // Whose token goes on is served.
        let alice = send(&function, DOOR, &whoami(&token("alice"))).await;
        assert_eq!(alice.content()["subject"], "alice");
    });
}
