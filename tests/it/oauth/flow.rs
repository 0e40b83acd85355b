//! The npm client's own OAuth flow, against a real authorization server: from no token to an answer.

use serde_json::{Value, json};

use super::{
    super::support::{Setup, limited, server::answer, token::now},
    program::{Authorization, Front, Program},
};

/// What every call needs, and what one tool needs beside.
fn demanding() -> Setup {
    Setup::new()
        .with("/auth/requiredScopes", json!(["mcp"]))
        .with("/auth/toolScopes", json!({ "auth_status": ["s3:read"] }))
}

#[test]
fn the_npm_client_signs_in_by_itself_rs256() {
    limited(signs_in_by_itself("RS256", "legacy", "2025-11-25"));
}

#[test]
fn the_npm_client_signs_in_by_itself_es256() {
    limited(signs_in_by_itself("ES256", "auto", "2026-07-28"));
}

#[test]
fn the_npm_client_signs_in_by_itself_eddsa() {
    limited(signs_in_by_itself("EdDSA", "auto", "2026-07-28"));
}

#[test]
fn the_npm_client_signs_in_by_itself_hs256() {
    limited(signs_in_by_itself("HS256", "auto", "2026-07-28"));
}

async fn signs_in_by_itself(algorithm: &str, mode: &str, version: &str) {
    let front = Front::open().await;
    let authorization = Authorization::start(algorithm).await;
    let _server = front.lead_to(&authorization, demanding());
    let resource = front.url("/mcp");
    let plan = json!({
        "mode": mode,
        "url": resource,
        "login": "alice",
        "tools": ["whoami", "auth_status", "whoami"],
    });
    let said = Program::start("oauth.mjs").ask(&plan).await;
    let seen = &said["seen"];
    assert_eq!(seen["version"], version, "{said}");
    // It was told where to go, what to ask for, and went back for more when a tool needed it.
    let metadata = front.url("/.well-known/oauth-protected-resource/mcp");
    assert_eq!(
        seen["refused"],
        json!([
            { "status": 401, "challenge": format!(r#"Bearer resource_metadata="{metadata}", scope="mcp""#) },
            { "status": 403, "challenge": format!(r#"Bearer error="insufficient_scope", resource_metadata="{metadata}", scope="mcp s3:read""#) },
        ]),
        "{said}"
    );
    let [first, second] = &seen["asked"].as_array().unwrap()[..] else {
        panic!("signed in twice: {said}")
    };
    for (asked, scope) in [(first, "mcp"), (second, "mcp s3:read")] {
        assert_eq!(asked["resource"], resource, "RFC 8707");
        assert_eq!(asked["scope"], scope);
        assert_eq!(asked["code_challenge_method"], "S256");
    }
    assert_eq!(seen["registered"].as_array().unwrap().len(), 1);
    for step in [0, 2] {
        let who = &seen["steps"][step]["result"]["structuredContent"];
        assert_eq!(
            (&who["subject"], &who["issuer"]),
            (&json!("alice"), &json!(authorization.issuer)),
            "{said}"
        );
    }
    // The tool was called: it says that no role is in the token.
    let text = &seen["steps"][1]["result"]["content"][0]["text"];
    assert!(text.as_str().unwrap().contains("no AWS role"), "{said}");
}

#[test]
fn what_the_authorization_server_did_not_mean_for_us_is_refused() {
    limited(async {
        let front = Front::open().await;
        let mut authorization = Authorization::start("ES256").await;
        let server = front.lead_to(&authorization, demanding());
        let resource = front.url("/mcp");
        let call = async |token: &str| {
            let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "whoami" } });
            let request = server
                .client
                .post(&resource)
                .bearer_auth(token)
                .header("content-type", "application/json")
                .body(body.to_string());
            answer(request).await
        };
        // Issued to the same person by the same server: for us, for us with other scopes, and for what is not us.
        let others = [
            "https://other.example.com/mcp",
            &front.url,
            &front.url("/mcp/"),
        ];
        let mut wanted = vec![
            json!({ "resource": resource, "scope": "mcp" }),
            json!({ "resource": resource, "scope": "s3:read" }),
        ];
        wanted.extend(others.map(|other| json!({ "resource": other, "scope": "mcp" })));
        let plan = json!({ "issuer": authorization.issuer, "login": "alice", "wanted": wanted });
        let said = Program::start("oauth.mjs").ask(&plan).await;
        let token = |at: usize| -> String {
            let token = said["tokens"][at].as_str();
            token.unwrap_or_else(|| panic!("{said}")).to_owned()
        };
        let (good, scopeless) = (token(0), token(1));
        assert_eq!(call(&good).await.content()["subject"], "alice");
        let mut bad: Vec<(String, String)> = others
            .iter()
            .zip(2..)
            .map(|(other, at)| ((*other).to_owned(), token(at)))
            .collect();
        let claims = json!({
            "iss": authorization.issuer,
            "aud": resource,
            "sub": "alice",
            "scope": "mcp",
            "iat": now() - 60,
            "exp": now() + 600,
        });
        let with = |name: &str, value: Value| {
            let mut claims = claims.clone();
            claims[name] = value;
            claims
        };
        let control = authorization.sign(&claims, "own").await;
        assert_eq!(call(&control).await.content()["subject"], "alice");
        for (what, claims, key) in [
            ("a foreign key", claims.clone(), "foreign"),
            ("expired", with("exp", json!(now() - 31)), "own"),
            (
                "another issuer",
                with("iss", json!("https://idp.example.com")),
                "own",
            ),
            (
                "another of its realms",
                with("iss", json!(format!("{}/", authorization.issuer))),
                "own",
            ),
            ("no audience", with("aud", json!([])), "own"),
        ] {
            bad.push((what.to_owned(), authorization.sign(&claims, key).await));
        }
        let expected = format!(
            r#"Bearer error="invalid_token", resource_metadata="{}", scope="mcp""#,
            front.url("/.well-known/oauth-protected-resource/mcp")
        );
        for (what, token) in bad {
            let refused = call(&token).await;
            assert_eq!(refused.status, 401, "{what}: {}", refused.text);
            assert_eq!(
                refused.header("www-authenticate"),
                Some(&*expected),
                "{what}"
            );
        }
        let refused = call(&scopeless).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
        assert_eq!(call(&good).await.status, 200, "and the next one is served");
    });
}
