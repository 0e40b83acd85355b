//! Every clause of the rules for tokens and roles, each with what it must refuse.

use std::sync::{
    Mutex,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;
use crate::config::Config;

const SECRET: &str = "a secret of the issuer, 32 bytes or more";
const OTHER_SECRET: &str = "another secret, also of 32 bytes or more";
/// When all tests take place.
const NOW: u64 = 1_795_000_000;
const ALICE: &str = "arn:aws:iam::111111111111:role/QuiltAlice";
const READER: &str = "arn:aws:iam::111111111111:role/team/Reader";

fn clock() -> Clock {
    Clock::from_fn(|| std::time::UNIX_EPOCH + std::time::Duration::from_secs(NOW))
}

fn key(secret: &str) -> Hs256Key {
    Hs256Key::new(&SecretString::from(secret)).unwrap()
}

fn config(roles: &Value) -> Config {
    let document = json!({
        "auth": { "issuers": [
            { "issuer": "quilt-frontend", "audience": "quilt-mcp-server", "hs256": SECRET },
            { "issuer": "other", "audience": "other-audience", "hs256": OTHER_SECRET },
        ] },
        "roles": roles,
    });
    Config::parse(&document.to_string(), &|_| None).unwrap()
}

fn no_stored_secrets() -> LoadSecret {
    Arc::new(|_| Box::pin(async { Err(SecretError::Unusable("there is none".to_owned())) }))
}

fn choices(config: &Config, clock: Clock) -> Arc<RoleChoices> {
    Arc::new(RoleChoices::new(&config.roles, true, clock))
}

fn authenticator_with(roles: &Value) -> Authenticator {
    let config = config(roles);
    Authenticator::new(
        &config.auth,
        &config.server,
        &config.roles,
        choices(&config, clock()),
        clock(),
        &no_stored_secrets(),
    )
}

fn authenticator() -> Authenticator {
    authenticator_with(&json!({ "allow": ["arn:aws:iam::111111111111:role/*"] }))
}

fn claims() -> Value {
    json!({ "iss": "quilt-frontend", "aud": "quilt-mcp-server", "sub": "alice", "iat": NOW, "exp": NOW + 3_600 })
}

fn with(changes: Value) -> Value {
    let Value::Object(changes) = changes else {
        panic!("claims are an object")
    };
    let mut claims = claims();
    claims.as_object_mut().unwrap().extend(changes);
    claims
}

fn without(claim: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(claim);
    claims
}

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn sign(payload: &Value) -> String {
    key(SECRET).sign(HEADER.as_bytes(), payload.to_string().as_bytes())
}

fn headers(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        AUTHORIZATION,
        HeaderValue::from_str(&format!("Bearer {token}")).unwrap(),
    );
    headers
}

async fn judge(token: &str) -> Result<Caller, AuthError> {
    authenticator().authenticate(&headers(token), None).await
}

#[track_caller]
fn rejection(result: Result<Caller, AuthError>) -> Rejection {
    match result {
        Err(AuthError::InvalidToken(rejection)) => rejection,
        other => panic!("expected a rejected token, got {other:?}"),
    }
}

#[tokio::test]
async fn a_good_token_makes_a_principal() {
    let caller = judge(&sign(&with(
        json!({ "role_arn": ALICE, "roles": [ALICE, READER, "ReadOnlyQuilt"] }),
    )))
    .await
    .unwrap();
    assert_eq!(caller.principal.subject(), "alice");
    assert_eq!(caller.principal.issuer(), "quilt-frontend");
    assert_eq!(caller.principal.expires_at(), NOW + 3_600);
    assert_eq!(caller.role.unwrap().arn().as_str(), ALICE);
    assert_eq!(caller.principal.roles().len(), 2);
}

#[tokio::test]
async fn what_the_rules_allow_is_accepted() {
    let accepted = [
        with(json!({ "aud": ["someone-else", "quilt-mcp-server"] })),
        with(json!({ "exp": NOW + 1 })),
        with(json!({ "exp": NOW - 29 })),
        with(json!({ "iat": NOW + 30, "nbf": NOW + 30 })),
        with(json!({ "exp": 1_795_000_000.5, "iat": 1_794_999_999.5 })),
        with(json!({ "exp": NOW + 86_400 })),
        with(json!({ "sub": "é".repeat(256) })),
        with(json!({ "sub": "a" })),
        with(
            json!({ "role_arn": null, "roles": null, "unknown": { "deep": [1, 2, { "x": null }] } }),
        ),
        without("iat"),
    ];
    for payload in accepted {
        let judged = judge(&sign(&payload)).await;
        assert!(judged.is_ok(), "{payload}: {judged:?}");
    }
    for header in [
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"at+jwt","kid":"frontend-enhanced"}"#,
        r#"{"typ":"application/AT+JWT","alg":"HS256","cty":"x","jku":"https://evil.example/keys","x5u":"https://evil.example"}"#,
    ] {
        let token = key(SECRET).sign(header.as_bytes(), claims().to_string().as_bytes());
        assert!(judge(&token).await.is_ok(), "{header}");
    }
}

#[tokio::test]
async fn claims_that_are_missing_or_wrong_are_refused() {
    let refused: Vec<(Value, Rejection)> = vec![
        (
            without("iss"),
            Rejection::Claims("not strict JSON with an issuer"),
        ),
        (
            with(json!({ "iss": ["quilt-frontend"] })),
            Rejection::Claims("not strict JSON with an issuer"),
        ),
        (with(json!({ "iss": "Quilt-frontend" })), Rejection::Issuer),
        (with(json!({ "iss": "quilt-frontend " })), Rejection::Issuer),
        (with(json!({ "iss": "" })), Rejection::Issuer),
        (with(json!({ "aud": "quilt" })), Rejection::Audience),
        (with(json!({ "aud": [] })), Rejection::Audience),
        (
            with(json!({ "aud": ["quilt-mcp-server2"] })),
            Rejection::Audience,
        ),
        (
            with(json!({ "sub": "" })),
            Rejection::Claims("`sub` is not 1 to 256 printable characters"),
        ),
        (
            with(json!({ "sub": "a".repeat(257) })),
            Rejection::Claims("`sub` is not 1 to 256 printable characters"),
        ),
        (
            with(json!({ "sub": "a\nb" })),
            Rejection::Claims("`sub` is not 1 to 256 printable characters"),
        ),
        (
            with(json!({ "sub": "a\u{202e}b" })),
            Rejection::Claims("`sub` is not 1 to 256 printable characters"),
        ),
        (
            with(json!({ "sub": "a\u{fe0f}" })),
            Rejection::Claims("`sub` is not 1 to 256 printable characters"),
        ),
        (
            with(json!({ "sub": "\u{3164}" })),
            Rejection::Claims("`sub` is not 1 to 256 printable characters"),
        ),
        (
            with(json!({ "sub": "a\u{200b}" })),
            Rejection::Claims("`sub` is not 1 to 256 printable characters"),
        ),
        (
            with(json!({ "sub": "\u{a0}" })),
            Rejection::Claims("`sub` is not 1 to 256 printable characters"),
        ),
        (with(json!({ "exp": NOW - 30 })), Rejection::Expired),
        (with(json!({ "exp": 0 })), Rejection::Expired),
        (
            with(json!({ "nbf": NOW + 31 })),
            Rejection::Claims("`nbf` is in the future"),
        ),
        (
            with(json!({ "iat": NOW + 31 })),
            Rejection::Claims("`iat` is in the future"),
        ),
        (
            with(json!({ "exp": NOW + 86_401 })),
            Rejection::Claims("the lifetime is longer than allowed"),
        ),
        (
            with(json!({ "iat": NOW - 86_400, "exp": NOW + 1 })),
            Rejection::Claims("the lifetime is longer than allowed"),
        ),
        (
            with(json!({ "role_arn": "QuiltAlice" })),
            Rejection::Claims("`role_arn` is not a role's ARN"),
        ),
        (
            with(json!({ "roles": vec!["r"; 51] })),
            Rejection::Claims("`roles` lists more than 50"),
        ),
    ];
    for (payload, reason) in refused {
        assert_eq!(rejection(judge(&sign(&payload)).await), reason, "{payload}");
    }
    let mut long_lived = without("iat");
    long_lived["exp"] = json!(NOW + 86_401);
    assert_eq!(
        rejection(judge(&sign(&long_lived)).await),
        Rejection::Claims("the lifetime is longer than allowed")
    );
}

#[tokio::test]
async fn claims_of_a_wrong_type_or_range_are_refused() {
    let wrong = [
        without("aud"),
        without("exp"),
        without("sub"),
        with(json!({ "aud": 1 })),
        with(json!({ "aud": [1] })),
        with(json!({ "aud": ["quilt-mcp-server", 1] })),
        with(json!({ "aud": { "0": "quilt-mcp-server" } })),
        with(json!({ "aud": null })),
        with(json!({ "sub": 7 })),
        with(json!({ "sub": null })),
        with(json!({ "exp": "1795003600" })),
        with(json!({ "exp": u64::MAX })),
        with(json!({ "exp": 1_u64 << 40 })),
        with(json!({ "exp": -1 })),
        with(json!({ "exp": true })),
        with(json!({ "exp": [NOW + 60] })),
        with(json!({ "iat": -1 })),
        with(json!({ "iat": "now" })),
        with(json!({ "nbf": 1e300 })),
        with(json!({ "role_arn": 7 })),
        with(json!({ "role_arn": [ALICE] })),
        with(json!({ "awsRoleArn": {} })),
        with(json!({ "roles": ALICE })),
        with(json!({ "roles": [1] })),
        with(json!({ "session_tags": "k=v" })),
        with(json!({ "session_tags": { "k": 1 } })),
        with(json!({ "session_tags": [{ "Key": "k" }] })),
        with(json!({ "session_tags": [{ "Key": "k", "Value": "v", "More": "m" }] })),
        with(json!({ "transitive_tag_keys": "k" })),
    ];
    for payload in wrong {
        assert_eq!(
            rejection(judge(&sign(&payload)).await),
            Rejection::Claims("a claim has the wrong type"),
            "{payload}"
        );
    }
    // Numbers that JSON can write and no clock can show.
    for exp in ["1e400", "NaN", "Infinity", "1e309", "-0.1"] {
        let payload = claims().to_string().replace(
            &format!("\"exp\":{}", NOW + 3_600),
            &format!("\"exp\":{exp}"),
        );
        let token = key(SECRET).sign(HEADER.as_bytes(), payload.as_bytes());
        assert!(
            matches!(rejection(judge(&token).await), Rejection::Claims(_)),
            "{exp}"
        );
    }
}

#[tokio::test]
async fn payloads_must_be_strict_json() {
    let good = claims().to_string();
    let nested = format!(
        r#"{},"x":{}{}}}"#,
        &good[..good.len() - 1],
        "[".repeat(200),
        "]".repeat(200)
    );
    let payloads: [&[u8]; 9] = [
        b"",
        b"[]",
        br#"["quilt-frontend"]"#,
        b"\"quilt-frontend\"",
        br#"{"iss":"quilt-frontend","iss":"other"}"#,
        &good
            .replace("\"sub\":\"alice\"", "\"sub\":\"alice\",\"sub\":\"bob\"")
            .into_bytes(),
        &good
            .replace(
                "\"sub\":\"alice\"",
                "\"sub\":\"alice\",\"x\":{\"a\":1,\"\\u0061\":2}",
            )
            .into_bytes(),
        &[&good.as_bytes()[..good.len() - 1], b",\"x\":\"\xff\"}"].concat(),
        nested.as_bytes(),
    ];
    for payload in payloads {
        let token = key(SECRET).sign(HEADER.as_bytes(), payload);
        assert_eq!(
            rejection(judge(&token).await),
            Rejection::Claims("not strict JSON with an issuer"),
            "{}",
            String::from_utf8_lossy(payload)
        );
    }
}

#[tokio::test]
async fn headers_that_ask_for_something_else_are_refused() {
    for header in [
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":null}"#,
        r#"{"alg":"HS256","b64":null}"#,
        r#"{"alg":"HS256","b64":false}"#,
        r#"{"alg":"HS256","b64":true}"#,
        r#"{"alg":"HS256","typ":"JWS"}"#,
        r#"{"alg":"HS256","typ":""}"#,
        r#"{"alg":"HS256","typ":7}"#,
        r#"{"alg":"HS256","kid":7}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","\u0061lg":"none"}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"alg":"none"}"#,
        r#"{"alg":"NONE"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS384"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"ES256"}"#,
        r#"{"alg":"EdDSA"}"#,
        "[]",
        r#"["HS256","JWT",null,null,null]"#,
        "",
    ] {
        let token = key(SECRET).sign(header.as_bytes(), claims().to_string().as_bytes());
        assert!(
            matches!(rejection(judge(&token).await), Rejection::Header(_)),
            "{header}"
        );
    }
}

#[tokio::test]
async fn tokens_that_are_not_three_base64url_parts_are_refused() {
    let token = sign(&claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let unsigned = format!(
        "{}.{}.",
        BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
        signed.split_once('.').unwrap().1
    );
    let stray_bits = {
        // The last character of the signature with a bit set that no byte needs.
        let last = signature.as_bytes()[signature.len() - 1];
        let next = char::from(last + 1);
        format!("{signed}.{}{next}", &signature[..signature.len() - 1])
    };
    for bad in [
        "a".to_owned(),
        "..".to_owned(),
        signed.to_owned(),
        format!("{signed}."),
        format!("{token}."),
        format!("{token}.{signature}"),
        format!(".{signed}.{signature}"),
        format!("{token}="),
        format!("{signed}.{signature}=="),
        format!("{signed}.+/{}", &signature[2..]),
        stray_bits,
        unsigned,
    ] {
        let judged = judge(&bad).await;
        assert!(
            matches!(judged, Err(AuthError::InvalidToken(_))),
            "{bad}: {judged:?}"
        );
    }
    for bad in ["", "a b", "é", "token;x", "\"token\""] {
        assert!(BearerToken::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_token_over_16_kib_is_refused_before_it_is_looked_at() {
    let long = "a".repeat(MAX_TOKEN_BYTES + 1);
    assert_eq!(
        rejection(judge(&long).await),
        Rejection::Malformed("longer than 16 KiB")
    );
    assert!(BearerToken::parse("a".repeat(MAX_TOKEN_BYTES).as_bytes()).is_ok());
}

#[tokio::test]
async fn signatures_of_other_keys_and_changed_tokens_are_refused() {
    let payload = claims().to_string();
    let other = key(OTHER_SECRET).sign(HEADER.as_bytes(), payload.as_bytes());
    assert_eq!(rejection(judge(&other).await), Rejection::Signature);
    let token = sign(&claims());
    let changed = token.replace(
        token.split('.').nth(1).unwrap(),
        &BASE64_URL_SAFE_NO_PAD.encode(with(json!({ "sub": "bob" })).to_string()),
    );
    assert_eq!(rejection(judge(&changed).await), Rejection::Signature);
}

#[tokio::test]
async fn an_issuer_judges_its_own_tokens_only() {
    // Signed with the key of the issuer that the token does not name.
    let payload = with(json!({ "iss": "other", "aud": "other-audience" }));
    assert_eq!(
        rejection(judge(&sign(&payload)).await),
        Rejection::Signature
    );
    let its_own = key(OTHER_SECRET).sign(HEADER.as_bytes(), payload.to_string().as_bytes());
    assert!(judge(&its_own).await.is_ok());
    // And by its own audience, not by another's.
    let payload = with(json!({ "iss": "other" }));
    let token = key(OTHER_SECRET).sign(HEADER.as_bytes(), payload.to_string().as_bytes());
    assert_eq!(rejection(judge(&token).await), Rejection::Audience);
}

#[test]
fn an_issuer_s_rules_refuse_another_s_token_whatever_key_made_it() {
    // Whoever chose the wrong rules for a token, with a key that both issuers share, is still refused.
    let bearer = BearerToken::parse(sign(&claims()).as_bytes()).unwrap();
    let unverified = UnverifiedClaims::parse(&bearer).unwrap();
    let config = config(&json!({}));
    let keys = vec![key(SECRET)];
    let rules = |index: usize| {
        let mut rules = Rules::from_config(&config.auth.issuers[index], &config.server);
        rules.audience = "quilt-mcp-server".to_owned();
        rules
    };
    let judge = |rules: &Rules| VerifiedClaims::verify(&unverified, &keys, rules, NOW);
    assert!(judge(&rules(0)).is_ok());
    assert_eq!(judge(&rules(1)).unwrap_err(), Rejection::Issuer);
}

#[tokio::test]
async fn one_authorization_header_with_one_value() {
    let token = sign(&claims());
    let authenticator = authenticator();
    let judge = async |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        authenticator
            .authenticate(&headers, None)
            .await
            .map(|caller| caller.principal.subject().to_owned())
    };
    let bearer = format!("Bearer {token}");
    assert_eq!(judge(&[&bearer]).await.as_deref(), Ok("alice"));
    assert_eq!(
        judge(&[&format!("bEARER   {token}")]).await.as_deref(),
        Ok("alice")
    );
    assert_eq!(judge(&[]).await, Err(AuthError::MissingToken));
    assert_eq!(
        judge(&["Basic YWxpY2U6aHVudGVyMg=="]).await,
        Err(AuthError::MissingToken)
    );
    assert_eq!(judge(&[&token]).await, Err(AuthError::MissingToken));
    assert_eq!(
        judge(&[&bearer, &bearer]).await,
        Err(AuthError::RepeatedAuthorization)
    );
    assert_eq!(
        judge(&["Basic x", &bearer]).await,
        Err(AuthError::RepeatedAuthorization)
    );
    assert_eq!(
        judge(&[&format!("{bearer}, {bearer}")]).await,
        Err(AuthError::RepeatedAuthorization)
    );
    assert_eq!(
        judge(&[&format!("{bearer},")]).await,
        Err(AuthError::RepeatedAuthorization)
    );
    assert!(matches!(
        judge(&["Bearer"]).await,
        Err(AuthError::InvalidToken(_))
    ));
    assert!(matches!(
        judge(&["Bearer "]).await,
        Err(AuthError::InvalidToken(_))
    ));
    assert!(matches!(
        judge(&[&format!("{bearer} x")]).await,
        Err(AuthError::InvalidToken(_))
    ));
}

#[tokio::test]
async fn the_role_comes_from_its_claims_in_order() {
    let role = async |changes: Value| {
        let caller = judge(&sign(&with(changes))).await.unwrap();
        caller.role.map(|role| role.arn().to_string())
    };
    for claim in ["role_arn", "aws_role_arn", "awsRoleArn", "roleArn"] {
        assert_eq!(
            role(json!({ claim: ALICE })).await.as_deref(),
            Some(ALICE),
            "{claim}"
        );
    }
    assert_eq!(
        role(json!({ "role_arn": ALICE, "roleArn": READER }))
            .await
            .as_deref(),
        Some(ALICE)
    );
    assert_eq!(
        role(json!({ "roles": ["ReadOnlyQuilt", READER, ALICE] }))
            .await
            .as_deref(),
        Some(READER)
    );
    assert_eq!(
        role(json!({ "role_arn": ALICE, "roles": [READER] }))
            .await
            .as_deref(),
        Some(ALICE)
    );
    assert_eq!(role(json!({ "roles": ["ReadOnlyQuilt"] })).await, None);
    assert_eq!(role(json!({})).await, None);
}

#[tokio::test]
async fn the_header_selects_among_the_token_s_roles_only() {
    let select = async |roles: &Value, payload: Value, values: &[&str]| {
        let mut headers = headers(&sign(&payload));
        for value in values {
            headers.append(
                role::ROLE_HEADER,
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        let caller = authenticator_with(roles).authenticate(&headers, None).await;
        caller.map(|caller| caller.role.map(|role| role.arn().to_string()))
    };
    let all = json!({ "allow": ["arn:aws:iam::111111111111:role/*"] });
    let listed = || with(json!({ "role_arn": ALICE, "roles": [ALICE, READER] }));
    let unlisted = "arn:aws:iam::111111111111:role/Admin";
    assert_eq!(
        select(&all, listed(), &[READER]).await,
        Ok(Some(READER.to_owned()))
    );
    assert_eq!(
        select(&all, listed(), &[ALICE]).await,
        Ok(Some(ALICE.to_owned()))
    );
    assert_eq!(
        select(&all, listed(), &[unlisted]).await,
        Err(AuthError::RoleNotAllowed(RoleError::NotListed))
    );
    // A token without roles has none to select from.
    assert_eq!(
        select(&all, claims(), &[ALICE]).await,
        Err(AuthError::RoleNotAllowed(RoleError::NotListed))
    );
    // Exact: no case folding, no prefix, no trimming of what is not white space around the value.
    let upper = ALICE.to_uppercase();
    assert_eq!(
        select(&all, listed(), &[&upper]).await,
        Err(AuthError::MalformedRole)
    );
    assert_eq!(
        select(
            &all,
            listed(),
            &["arn:aws:iam::111111111111:role/quiltalice"]
        )
        .await,
        Err(AuthError::RoleNotAllowed(RoleError::NotListed))
    );
    for malformed in [
        "",
        "QuiltAlice",
        "arn:aws:iam::111111111111:role/*",
        "arn:aws:iam::111111111111:user/QuiltAlice",
        "é",
    ] {
        assert_eq!(
            select(&all, listed(), &[malformed]).await,
            Err(AuthError::MalformedRole),
            "{malformed}"
        );
    }
    assert_eq!(
        select(&all, listed(), &[ALICE, READER]).await,
        Err(AuthError::MalformedRole)
    );
    assert_eq!(
        select(&all, listed(), &[&format!("{ALICE},{READER}")]).await,
        Err(AuthError::MalformedRole)
    );
    assert_eq!(
        select(&all, listed(), &[&format!("{ALICE}, {READER}")]).await,
        Err(AuthError::MalformedRole)
    );
    let off = json!({ "allow": ["arn:aws:iam::111111111111:role/*"], "header": "off" });
    assert_eq!(
        select(&off, listed(), &[ALICE]).await,
        Err(AuthError::RoleNotAllowed(RoleError::HeaderOff))
    );
    assert_eq!(
        select(&off, listed(), &[]).await,
        Ok(Some(ALICE.to_owned()))
    );
    // The operator's word is above the token's.
    let one = json!({ "allow": [READER] });
    assert_eq!(
        select(&one, listed(), &[]).await,
        Err(AuthError::RoleNotAllowed(RoleError::NotAllowed))
    );
    assert_eq!(
        select(&one, listed(), &[READER]).await,
        Ok(Some(READER.to_owned()))
    );
    let none = json!({});
    assert_eq!(
        select(&none, listed(), &[]).await,
        Err(AuthError::RoleNotAllowed(RoleError::NotAllowed))
    );
    assert_eq!(select(&none, claims(), &[]).await, Ok(None));
}

#[tokio::test]
async fn a_bad_token_with_a_good_role_header_is_a_bad_token() {
    let expired = sign(&with(json!({ "exp": NOW - 100, "role_arn": ALICE })));
    let mut headers = headers(&expired);
    headers.insert(role::ROLE_HEADER, HeaderValue::from_static(ALICE));
    assert_eq!(
        rejection(authenticator().authenticate(&headers, None).await),
        Rejection::Expired
    );
    headers.remove(AUTHORIZATION);
    assert_eq!(
        authenticator()
            .authenticate(&headers, None)
            .await
            .unwrap_err(),
        AuthError::MissingToken
    );
    headers.insert("x-quilt-user-id", HeaderValue::from_static("alice"));
    headers.remove(role::ROLE_HEADER);
    assert_eq!(
        authenticator()
            .authenticate(&headers, None)
            .await
            .unwrap_err(),
        AuthError::MissingToken
    );
}

#[tokio::test]
async fn session_tags_come_in_both_forms() {
    let tags = async |changes: Value| {
        let principal = judge(&sign(&with(changes)))
            .await
            .map(|caller| caller.principal)?;
        let tags: Vec<String> = principal
            .session_tags()
            .iter()
            .map(|tag| format!("{}={}", tag.key, tag.value))
            .collect();
        Ok::<_, AuthError>((tags, principal.transitive_tag_keys().to_vec()))
    };
    let expected = Ok((
        vec!["a=1".to_owned(), "team=Zoë & co".replace(" &", "")],
        vec!["team".to_owned()],
    ));
    let object = json!({ "session_tags": { "team": "Zoë co", "a": "1" }, "transitive_tag_keys": ["team", "team"] });
    assert_eq!(tags(object).await, expected);
    let list = json!({ "session_tags": [{ "Key": "team", "Value": "Zoë co" }, { "key": "a", "value": "1" }], "transitive_tag_keys": ["team"] });
    assert_eq!(tags(list).await, expected);
    let many: Vec<Value> = (0..51)
        .map(|n| json!({ "Key": format!("k{n}"), "Value": "v" }))
        .collect();
    for refused in [
        json!({ "session_tags": { "": "v" } }),
        json!({ "session_tags": { "k".repeat(129): "v" } }),
        json!({ "session_tags": { "k": "v".repeat(257) } }),
        json!({ "session_tags": { "aws:x": "v" } }),
        json!({ "session_tags": { "k": "a;b" } }),
        json!({ "session_tags": { "k": "v", "K": "w" } }),
        json!({ "session_tags": [{ "Key": "k", "Value": "v" }, { "Key": "k", "Value": "w" }] }),
        json!({ "session_tags": many }),
        json!({ "transitive_tag_keys": ["k"] }),
    ] {
        let judged = tags(refused.clone()).await;
        assert!(
            matches!(judged, Err(AuthError::InvalidToken(Rejection::Claims(_)))),
            "{refused}: {judged:?}"
        );
    }
}

/// A stored secret that a test rotates, and a count of its reads.
struct Store {
    versions: Mutex<Result<SecretVersions, SecretError>>,
    reads: AtomicU32,
}

#[expect(clippy::unnecessary_wraps, reason = "stands where a failure may stand")]
fn versions(current: &str, previous: Option<&str>) -> Result<SecretVersions, SecretError> {
    Ok(SecretVersions {
        current: current.into(),
        previous: previous.map(SecretString::from),
    })
}

fn stored(
    versions: Result<SecretVersions, SecretError>,
    now: fn() -> std::time::SystemTime,
) -> (Arc<Store>, Authenticator) {
    let store = Arc::new(Store {
        versions: Mutex::new(versions),
        reads: AtomicU32::new(0),
    });
    let load: LoadSecret = {
        let store = Arc::clone(&store);
        Arc::new(move |_| {
            store.reads.fetch_add(1, Relaxed);
            let versions = store.versions.lock().unwrap().clone();
            Box::pin(async move { versions })
        })
    };
    let document = json!({ "auth": { "issuers": [{
        "issuer": "quilt-frontend",
        "audience": "quilt-mcp-server",
        "hs256": { "$secret": "arn:aws:secretsmanager:us-east-1:111122223333:secret:jwt" },
    }] } });
    let config = Config::parse(&document.to_string(), &|_| None).unwrap();
    let authenticator = Authenticator::new(
        &config.auth,
        &config.server,
        &config.roles,
        choices(&config, Clock::from_fn(now)),
        Clock::from_fn(now),
        &load,
    );
    (store, authenticator)
}

/// A clock that only its test moves.
macro_rules! hand_clock {
    ($name:ident) => {{
        static NOW_HERE: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(NOW);
        let now = || std::time::UNIX_EPOCH + std::time::Duration::from_secs(NOW_HERE.load(Relaxed));
        let $name = |seconds: u64| NOW_HERE.fetch_add(seconds, Relaxed);
        (now as fn() -> std::time::SystemTime, $name)
    }};
}

#[tokio::test]
async fn a_stored_secret_is_read_on_first_use_and_kept() {
    let (now, _) = hand_clock!(pass);
    let (store, authenticator) = stored(versions(SECRET, None), now);
    assert_eq!(store.reads.load(Relaxed), 0);
    for _ in 0..10 {
        assert!(
            authenticator
                .authenticate(&headers(&sign(&claims())), None)
                .await
                .is_ok()
        );
    }
    assert_eq!(store.reads.load(Relaxed), 1);
}

#[tokio::test]
async fn a_rotation_refuses_nobody_and_a_storm_of_bad_tokens_costs_one_read() {
    let (now, pass) = hand_clock!(pass);
    let (store, authenticator) = stored(versions(SECRET, None), now);
    let old = sign(&claims());
    let new = key(OTHER_SECRET).sign(HEADER.as_bytes(), claims().to_string().as_bytes());
    assert!(
        authenticator
            .authenticate(&headers(&old), None)
            .await
            .is_ok()
    );
    *store.versions.lock().unwrap() = versions(OTHER_SECRET, Some(SECRET));
    assert_eq!(
        rejection(authenticator.authenticate(&headers(&new), None).await),
        Rejection::Signature,
        "cooling down"
    );
    pass(30);
    assert!(
        authenticator
            .authenticate(&headers(&new), None)
            .await
            .is_ok()
    );
    assert!(
        authenticator
            .authenticate(&headers(&old), None)
            .await
            .is_ok(),
        "AWSPREVIOUS"
    );
    assert_eq!(store.reads.load(Relaxed), 2);
    let bad = key("a key that never was the issuer's, at all")
        .sign(HEADER.as_bytes(), claims().to_string().as_bytes());
    for _ in 0..100 {
        assert_eq!(
            rejection(authenticator.authenticate(&headers(&bad), None).await),
            Rejection::Signature
        );
    }
    pass(30);
    for _ in 0..100 {
        assert_eq!(
            rejection(authenticator.authenticate(&headers(&bad), None).await),
            Rejection::Signature
        );
    }
    assert_eq!(store.reads.load(Relaxed), 3);
    // A secret that its issuer dropped is dropped here within five minutes.
    *store.versions.lock().unwrap() = versions(OTHER_SECRET, None);
    pass(300);
    assert_eq!(
        rejection(authenticator.authenticate(&headers(&old), None).await),
        Rejection::Signature
    );
}

#[tokio::test]
async fn an_outage_is_no_rejection_and_the_next_call_recovers() {
    let (now, pass) = hand_clock!(pass);
    let down = || {
        Err(SecretError::Unavailable(
            "Secrets Manager did not answer".to_owned(),
        ))
    };
    let (store, authenticator) = stored(down(), now);
    let token = sign(&claims());
    assert!(authenticator.ailment().is_none(), "nothing was tried yet");
    let refused = authenticator
        .authenticate(&headers(&token), None)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, AuthError::Unavailable(KeyError::Unavailable(_))),
        "{refused:?}"
    );
    assert!(authenticator.ailment().is_some());
    *store.versions.lock().unwrap() = versions(SECRET, None);
    assert!(
        authenticator
            .authenticate(&headers(&token), None)
            .await
            .is_ok()
    );
    assert!(authenticator.ailment().is_none());
    *store.versions.lock().unwrap() = down();
    pass(300);
    assert!(
        authenticator
            .authenticate(&headers(&token), None)
            .await
            .is_ok(),
        "the last known good one serves"
    );
    pass(3_300);
    let late = sign(&with(json!({ "exp": NOW + 80_000 })));
    assert!(
        matches!(
            authenticator.authenticate(&headers(&late), None).await,
            Err(AuthError::Unavailable(_))
        ),
        "not for ever"
    );
}

#[tokio::test]
async fn a_stored_secret_that_is_too_short_verifies_nothing() {
    let (now, _) = hand_clock!(pass);
    let (_, authenticator) = stored(versions("short", None), now);
    let refused = authenticator
        .authenticate(&headers(&sign(&claims())), None)
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, AuthError::Unavailable(KeyError::Unusable(_))),
        "{refused:?}"
    );
    assert!(authenticator.ailment().is_some());
    assert!(Hs256Key::new(&SecretString::from("")).is_none());
    assert!(Hs256Key::new(&SecretString::from("x".repeat(31))).is_none());
    assert!(Hs256Key::new(&SecretString::from("x".repeat(32))).is_some());
}

#[tokio::test]
async fn nothing_prints_a_token_or_a_key() {
    let token = sign(&claims());
    let bearer = BearerToken::parse(token.as_bytes()).unwrap();
    let unverified = UnverifiedClaims::parse(&bearer).unwrap();
    let shown = format!(
        "{bearer:?} {unverified:?} {:?} {:?}",
        key(SECRET),
        judge(&token).await
    );
    for part in token.split('.') {
        assert!(!shown.contains(part), "{shown}");
    }
    assert!(!shown.contains(SECRET));
}

/// Alice, by a token with this fingerprint that lists these roles.
fn alice_with(fingerprint: u8, roles: &[&str]) -> Arc<Principal> {
    let payload = with(json!({ "role_arn": roles[0], "roles": roles }));
    let token = BearerToken::parse(sign(&payload).as_bytes()).unwrap();
    let unverified = UnverifiedClaims::parse(&token).unwrap();
    let config = config(&json!({}));
    let judged_by = Rules::from_config(&config.auth.issuers[0], &config.server);
    let keys = vec![key(SECRET)];
    let claims = VerifiedClaims::verify(&unverified, &keys, &judged_by, NOW).unwrap();
    Arc::new(Principal::of_token(claims, [fingerprint; 32]))
}

#[tokio::test]
async fn a_choice_is_judged_again_at_every_call_and_ends_with_its_token() {
    let (now, advance) = hand_clock!(advance);
    let config = config(&json!({ "allow": ["arn:aws:iam::111111111111:role/*"] }));
    let choices = choices(&config, Clock::from_fn(now));
    let before = alice_with(1, &[ALICE, READER]);
    let role = choices.authorize(&before, READER.parse().unwrap()).unwrap();
    assert!(choices.keep(&role));
    let asked = |principal: &Arc<Principal>| {
        let request = choices.chosen(principal)?;
        Some(principal.authorize_role(Some(request), &choices.policy))
    };
    let role = asked(&before).unwrap().unwrap().unwrap();
    assert_eq!(
        (role.arn().as_str(), role.source()),
        (READER, RoleSource::Session)
    );
    // The same session, whose roles have become fewer.
    let fewer = alice_with(1, &[ALICE]);
    assert_eq!(asked(&fewer).unwrap().unwrap_err(), RoleError::NotListed);
    // Another session of the same subject.
    assert!(asked(&alice_with(2, &[ALICE, READER])).is_none());
    advance(3_599);
    assert!(asked(&before).is_some());
    advance(1);
    assert!(asked(&before).is_none());
    // Where another process may answer next, nothing is kept.
    let forgetful = RoleChoices::new(&config.roles, false, clock());
    assert!(!forgetful.keep(&role));
}
