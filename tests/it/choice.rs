//! Roles chosen for a session: `assume_quilt_user_role`, `get_current_quilt_role`.

use serde_json::{Value, json};

use super::support::{
    FrontDoor, Function, Request, Setup, claims,
    fault::{Fault, Faults},
    limited,
    server::{Caller, Server},
    world,
};

async fn choose(caller: &Caller, role: &str) -> Value {
    let choice = json!({ "role_arn": role });
    caller
        .call("assume_quilt_user_role", choice)
        .await
        .content()
}

/// (role, source) of the caller's calls.
async fn current(caller: &Caller) -> (Value, Value) {
    let current = caller.call("get_current_quilt_role", json!({})).await;
    let current = current.content();
    (current["role"].clone(), current["source"].clone())
}

/// A token of alice's, of a login of its own.
fn login(jti: &str, roles: &[String]) -> String {
    claims("alice")
        .roles(roles)
        .with("jti", jti)
        .sign(&world().secret)
}

#[test]
fn a_choice_holds_for_the_session_it_was_made_in_and_for_no_other() {
    limited(async {
        let server = Server::start();
        let roles = &world().person("alice").roles;
        let (own, other) = (json!(roles[0]), json!(roles[1]));
        let one = server.with_token(login("one", roles));
        let two = server.with_token(login("two", roles));
        assert_eq!(current(&one).await, (own.clone(), json!("token")));
        let chosen = choose(&one, &roles[1]).await;
        assert_eq!(chosen["role"], other);
        assert_eq!(chosen["kept"], true);
        assert_eq!(current(&one).await, (other.clone(), json!("session")));
        // AWS sees it too.
        let proof = one.call("auth_status", json!({})).await.content();
        let name = roles[1].rsplit('/').next().unwrap();
        let arn = proof["aws"]["arn"].as_str().unwrap();
        assert!(arn.contains(&format!("assumed-role/{name}/")), "{arn}");
        // The same person, signed in twice.
        assert_eq!(current(&two).await, (own.clone(), json!("token")));
        // A header is newer than a choice.
        let header = one.clone().header("x-quilt-user-role", &roles[0]);
        assert_eq!(current(&header).await, (own.clone(), json!("header")));
        assert_eq!(current(&one).await, (other, json!("session")));
        choose(&one, &roles[0]).await;
        assert_eq!(current(&one).await, (own, json!("session")));
    });
}

#[test]
fn a_role_that_the_next_token_does_not_list_is_not_kept_for_it() {
    limited(async {
        let server = Server::start();
        let roles = &world().person("alice").roles;
        let before = server.with_token(login("before", roles));
        choose(&before, &roles[1]).await;
        let after = server.with_token(login("after", &roles[..1]));
        assert_eq!(current(&after).await, (json!(roles[0]), json!("token")));
        let choice = json!({ "role_arn": roles[1] });
        let refused = after.call("assume_quilt_user_role", choice).await;
        assert!(refused.tool_error().starts_with("role_not_allowed"));
    });
}

#[test]
fn what_may_not_be_chosen_is_refused_with_one_text_and_asks_nobody() {
    limited(async {
        let sts = Faults::start().await;
        let server = Setup::new().endpoint(&sts.endpoint()).start();
        let (alice, bob) = (world().person("alice"), world().person("bob"));
        let outside = "arn:aws:iam::999999999999:role/QuiltAlice".to_owned();
        let mut roles = alice.roles.clone();
        // Listed by the token, and not allowed by the operator.
        roles.push(outside.clone());
        let caller = server.with_token(login("one", &roles));
        let refusal = async |role: &str| {
            let choice = json!({ "role_arn": role });
            let answer = caller.call("assume_quilt_user_role", choice).await;
            answer.tool_error()
        };
        let missing = format!("arn:aws:iam::{}:role/NoSuchRole", alice.account);
        let text = refusal(&bob.roles[0]).await;
        assert!(text.starts_with("role_not_allowed"), "{text}");
        for role in [outside.as_str(), &missing] {
            assert_eq!(refusal(role).await, text, "{role}");
        }
        for role in ["", "QuiltAlice", "arn:aws:iam::111111111111:role/*"] {
            assert!(refusal(role).await.contains("must be one role's ARN"));
        }
        assert_eq!(sts.count("Action=AssumeRole&"), 0);
        assert_eq!(current(&caller).await.1, "token");
        // Allowed, and STS says no: not kept.
        sts.inject("Action=AssumeRole&", Fault::denied(), 9);
        refusal(&alice.roles[1]).await;
        assert_eq!(current(&caller).await.1, "token");
        let listed = caller.call("get_current_quilt_role", json!({})).await;
        assert_eq!(listed.content()["roles"], json!(alice.roles));
    });
}

#[test]
fn a_server_that_lets_no_header_ask_lets_no_tool_ask() {
    limited(async {
        let server = Setup::new().with("/roles/header", "off").start();
        let roles = &world().person("alice").roles;
        let choice = json!({ "role_arn": roles[1] });
        let refused = server
            .user("alice")
            .call("assume_quilt_user_role", choice)
            .await;
        assert!(refused.tool_error().starts_with("role_not_allowed"));
    });
}

#[test]
fn on_lambda_nothing_is_kept_and_the_answer_says_what_to_send() {
    limited(async {
        let function = Function::start(Setup::new()).await;
        let roles = &world().person("alice").roles;
        let token = login("one", roles);
        let call = async |tool: &str, arguments: Value| {
            let request = Request::legacy(tool, &arguments).bearer(&token);
            let door = FrontDoor::HttpApi;
            door.answer(&function.invoke(&door.event(&request)).await)
        };
        let choice = json!({ "role_arn": roles[1] });
        let chosen = call("assume_quilt_user_role", choice).await.content();
        assert_eq!(chosen["kept"], false);
        let instead = chosen["instead"].as_str().unwrap();
        assert!(
            instead.ends_with(&format!("X-Quilt-User-Role: {}", roles[1])),
            "{instead}"
        );
        let current = call("get_current_quilt_role", json!({})).await.content();
        assert_eq!(current["role"], roles[0]);
        let unlisted = json!({ "role_arn": world().person("bob").roles[0] });
        let refused = call("assume_quilt_user_role", unlisted).await;
        assert!(refused.tool_error().starts_with("role_not_allowed"));
    });
}
