//! Every clause of the rules for tokens and roles, each with what it must refuse.

mod hostile;

use std::sync::{
    Mutex,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;
use crate::{
    clock::Clock,
    config::{Config, IssuerSection},
    egress::Egress,
};

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

/// To wherever the configuration names: nowhere, if all its issuers have secrets.
fn egress(config: &Config) -> Arc<Egress> {
    let destinations = config
        .auth
        .issuers
        .iter()
        .flat_map(IssuerSection::destinations);
    Arc::new(Egress::new(&config.server.egress, destinations))
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
        &egress(&config),
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
    authenticator()
        .authenticate(&headers(token), None, &"test".into())
        .await
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
        (without("iss"), Rejection::Issuer),
        (with(json!({ "iss": null })), Rejection::Issuer),
        (
            with(json!({ "iss": ["quilt-frontend"] })),
            Rejection::Claims("not strict JSON, or an issuer that is no text"),
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
        (without("aud"), Rejection::Audience),
        (with(json!({ "aud": null })), Rejection::Audience),
        (without("exp"), Rejection::Claims("there is no `exp`")),
        (
            with(json!({ "exp": null })),
            Rejection::Claims("there is no `exp`"),
        ),
        (without("sub"), Rejection::Claims("there is no `sub`")),
        (
            with(json!({ "sub": null })),
            Rejection::Claims("there is no `sub`"),
        ),
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
        with(json!({ "aud": 1 })),
        with(json!({ "aud": [1] })),
        with(json!({ "aud": ["quilt-mcp-server", 1] })),
        with(json!({ "aud": { "0": "quilt-mcp-server" } })),
        with(json!({ "sub": 7 })),
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
        with(json!({ "session_tags": [["k", "v"]] })),
        with(json!({ "session_tags": [{ "Key": "k", "key": "k", "Value": "v" }] })),
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
            Rejection::Claims("not strict JSON, or an issuer that is no text"),
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
        r#"["HS256","JWT",null]"#,
        r#"{"alg":"HS256","x":1,"x":2}"#,
        r#"{"alg":"HS256","x":{"a":1,"\u0061":2}}"#,
        &format!(
            r#"{{"alg":"HS256","x":{}{}}}"#,
            "[".repeat(200),
            "]".repeat(200)
        ),
        "",
    ] {
        let token = key(SECRET).sign(header.as_bytes(), claims().to_string().as_bytes());
        assert!(
            matches!(rejection(judge(&token).await), Rejection::Header(_)),
            "{header}"
        );
    }
    let not_text = [&HEADER.as_bytes()[..HEADER.len() - 1], b",\"x\":\"\xff\"}"].concat();
    let token = key(SECRET).sign(&not_text, claims().to_string().as_bytes());
    assert!(matches!(
        rejection(judge(&token).await),
        Rejection::Header(_)
    ));
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
    let keys = KeySet::Shared(vec![key(SECRET)]);
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
            .authenticate(&headers, None, &"test".into())
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
        let caller = authenticator_with(roles)
            .authenticate(&headers, None, &"test".into())
            .await;
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
        rejection(
            authenticator()
                .authenticate(&headers, None, &"test".into())
                .await
        ),
        Rejection::Expired
    );
    headers.remove(AUTHORIZATION);
    assert_eq!(
        authenticator()
            .authenticate(&headers, None, &"test".into())
            .await
            .unwrap_err(),
        AuthError::MissingToken
    );
    headers.insert("x-quilt-user-id", HeaderValue::from_static("alice"));
    headers.remove(role::ROLE_HEADER);
    assert_eq!(
        authenticator()
            .authenticate(&headers, None, &"test".into())
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
        &egress(&config),
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
                .authenticate(&headers(&sign(&claims())), None, &"test".into())
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
            .authenticate(&headers(&old), None, &"test".into())
            .await
            .is_ok()
    );
    *store.versions.lock().unwrap() = versions(OTHER_SECRET, Some(SECRET));
    assert_eq!(
        rejection(
            authenticator
                .authenticate(&headers(&new), None, &"test".into())
                .await
        ),
        Rejection::Signature,
        "cooling down"
    );
    pass(30);
    assert!(
        authenticator
            .authenticate(&headers(&new), None, &"test".into())
            .await
            .is_ok()
    );
    assert!(
        authenticator
            .authenticate(&headers(&old), None, &"test".into())
            .await
            .is_ok(),
        "AWSPREVIOUS"
    );
    assert_eq!(store.reads.load(Relaxed), 2);
    let bad = key("a key that never was the issuer's, at all")
        .sign(HEADER.as_bytes(), claims().to_string().as_bytes());
    for _ in 0..100 {
        assert_eq!(
            rejection(
                authenticator
                    .authenticate(&headers(&bad), None, &"test".into())
                    .await
            ),
            Rejection::Signature
        );
    }
    pass(30);
    for _ in 0..100 {
        assert_eq!(
            rejection(
                authenticator
                    .authenticate(&headers(&bad), None, &"test".into())
                    .await
            ),
            Rejection::Signature
        );
    }
    assert_eq!(store.reads.load(Relaxed), 3);
    // A secret that its issuer dropped is dropped here within five minutes.
    *store.versions.lock().unwrap() = versions(OTHER_SECRET, None);
    pass(300);
    assert_eq!(
        rejection(
            authenticator
                .authenticate(&headers(&old), None, &"test".into())
                .await
        ),
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
        .authenticate(&headers(&token), None, &"test".into())
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
            .authenticate(&headers(&token), None, &"test".into())
            .await
            .is_ok()
    );
    assert!(authenticator.ailment().is_none());
    *store.versions.lock().unwrap() = down();
    pass(300);
    assert!(
        authenticator
            .authenticate(&headers(&token), None, &"test".into())
            .await
            .is_ok(),
        "the last known good one serves"
    );
    pass(3_300);
    let late = sign(&with(json!({ "exp": NOW + 80_000 })));
    assert!(
        matches!(
            authenticator
                .authenticate(&headers(&late), None, &"test".into())
                .await,
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
        .authenticate(&headers(&sign(&claims())), None, &"test".into())
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

/// A server that publishes a key set, which a test changes, and counts who asks. `None`: it is down.
struct Publisher {
    url: String,
    set: Arc<Mutex<Option<Value>>>,
    fetches: Arc<AtomicU32>,
}

impl Publisher {
    async fn start(keys: &[Value]) -> Self {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let set = Arc::new(Mutex::new(Some(json!({ "keys": keys }))));
        let fetches = Arc::new(AtomicU32::new(0));
        let (answer, count) = (Arc::clone(&set), Arc::clone(&fetches));
        #[expect(clippy::disallowed_methods, reason = "another server's side")]
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                count.fetch_add(1, Relaxed);
                let set = answer.lock().unwrap().clone();
                let (status, body) = match set {
                    Some(set) => ("200 OK", set.to_string()),
                    None => ("503 Service Unavailable", String::new()),
                };
                let length = body.len();
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { url, set, fetches }
    }

    fn publish(&self, keys: &[Value]) {
        *self.set.lock().unwrap() = Some(json!({ "keys": keys }));
    }

    fn go_down(&self) {
        *self.set.lock().unwrap() = None;
    }

    fn fetches(&self) -> u32 {
        self.fetches.load(Relaxed)
    }

    fn authenticator(&self, now: fn() -> std::time::SystemTime) -> Authenticator {
        let document = json!({ "auth": { "issuers": [{
            "issuer": "quilt-frontend", "audience": "quilt-mcp-server", "jwks": self.url,
        }] } });
        let config = Config::parse(&document.to_string(), &|_| None).unwrap();
        let clock = Clock::from_fn(now);
        let load = no_stored_secrets();
        Authenticator::new(
            &config.auth,
            &config.server,
            &config.roles,
            choices(&config, clock),
            &egress(&config),
            clock,
            &load,
        )
    }
}

fn published(pair: &ring::signature::EcdsaKeyPair, key_id: &str, subject: &str) -> String {
    let claims = with(json!({ "sub": subject, "exp": NOW + 80_000 }));
    jwk::tests::sign_claims(pair, &json!({ "alg": "ES256", "kid": key_id }), &claims)
}

#[tokio::test]
async fn a_published_key_that_is_new_is_found_and_one_that_is_dropped_is_trusted_no_longer() {
    let (now, pass) = hand_clock!(pass);
    let ((old, old_key), (new, new_key)) = (
        jwk::tests::es256(Some("old")),
        jwk::tests::es256(Some("new")),
    );
    let publisher = Publisher::start(std::slice::from_ref(&old_key)).await;
    let authenticator = publisher.authenticator(now);
    let judge = async |token: &str| {
        authenticator
            .authenticate(&headers(token), None, &"test".into())
            .await
    };
    let (by_old, by_new) = (
        published(&old, "old", "alice"),
        published(&new, "new", "alice"),
    );
    assert_eq!(publisher.fetches(), 0);
    for _ in 0..10 {
        assert!(judge(&by_old).await.is_ok());
    }
    publisher.publish(&[old_key, new_key.clone()]);
    assert_eq!(
        rejection(judge(&by_new).await),
        Rejection::UnknownKey,
        "cooling down"
    );
    assert_eq!(publisher.fetches(), 1);
    pass(30);
    assert!(judge(&by_new).await.is_ok());
    assert!(judge(&by_old).await.is_ok());
    assert_eq!(publisher.fetches(), 2);
    // A storm of names that nobody has costs one fetch in each span.
    for _ in 0..2 {
        let before = publisher.fetches();
        pass(30);
        let storm = (0..100).map(|n| published(&new, &format!("made-up-{n}"), "mallory"));
        for token in storm {
            assert_eq!(rejection(judge(&token).await), Rejection::UnknownKey);
        }
        assert_eq!(publisher.fetches(), before + 1);
    }
    // A good name with a bad signature is no reason to ask.
    let before = publisher.fetches();
    pass(30);
    assert_eq!(
        rejection(judge(&published(&old, "new", "mallory")).await),
        Rejection::Signature
    );
    assert_eq!(publisher.fetches(), before);
    // The token was verified a moment ago, and its key is good no more.
    publisher.publish(&[new_key]);
    assert!(judge(&by_old).await.is_ok(), "for five minutes");
    pass(300);
    assert_eq!(rejection(judge(&by_old).await), Rejection::UnknownKey);
    assert!(judge(&by_new).await.is_ok());
}

#[tokio::test]
async fn published_keys_serve_through_an_outage_and_not_for_ever() {
    let (now, pass) = hand_clock!(pass);
    let (pair, key) = jwk::tests::es256(Some("a"));
    let publisher = Publisher::start(std::slice::from_ref(&key)).await;
    let authenticator = publisher.authenticator(now);
    let judge = async |token: &str| {
        authenticator
            .authenticate(&headers(token), None, &"test".into())
            .await
    };
    let token = published(&pair, "a", "alice");
    publisher.go_down();
    assert!(matches!(
        judge(&token).await,
        Err(AuthError::Unavailable(KeyError::Unavailable(_)))
    ));
    assert!(authenticator.ailment().is_some());
    publisher.publish(std::slice::from_ref(&key));
    assert!(judge(&token).await.is_ok(), "the next call recovers");
    publisher.go_down();
    pass(300);
    assert!(
        judge(&token).await.is_ok(),
        "the last known good ones serve"
    );
    let before = publisher.fetches();
    pass(29);
    assert!(judge(&token).await.is_ok());
    assert_eq!(
        publisher.fetches(),
        before,
        "and are not asked for at every call"
    );
    pass(3_300);
    assert!(
        matches!(judge(&token).await, Err(AuthError::Unavailable(_))),
        "not for ever"
    );
}

#[tokio::test]
async fn a_token_that_was_verified_is_judged_anew_when_its_time_or_the_clock_says_so() {
    let (now, pass) = hand_clock!(pass);
    let (store, authenticator) = stored(versions(SECRET, None), now);
    let judge = async |token: &str| {
        authenticator
            .authenticate(&headers(token), None, &"test".into())
            .await
    };
    let token = sign(&with(json!({ "exp": NOW + 100, "nbf": NOW })));
    let first = judge(&token).await.unwrap().principal;
    let again = judge(&token).await.unwrap().principal;
    assert!(Arc::ptr_eq(&first, &again), "remembered");
    // One character of difference is another token.
    let (rest, last) = token.split_at(token.len() - 1);
    let other = format!("{rest}{}", if last == "A" { "E" } else { "A" });
    assert!(judge(&other).await.is_err());
    pass(129);
    assert!(judge(&token).await.is_ok(), "within the leeway");
    pass(1);
    assert_eq!(rejection(judge(&token).await), Rejection::Expired);
    assert_eq!(store.reads.load(Relaxed), 1);
}

#[tokio::test]
async fn a_token_that_was_verified_is_judged_anew_when_the_clock_was_set_back() {
    let (now, pass) = hand_clock!(pass);
    let config = config(&json!({}));
    let clock = Clock::from_fn(now);
    let authenticator = Authenticator::new(
        &config.auth,
        &config.server,
        &config.roles,
        choices(&config, clock),
        &egress(&config),
        clock,
        &no_stored_secrets(),
    );
    let judge = async |token: &str| {
        authenticator
            .authenticate(&headers(token), None, &"test".into())
            .await
    };
    let token = sign(&with(json!({ "nbf": NOW })));
    assert!(judge(&token).await.is_ok());
    pass(0_u64.wrapping_sub(31));
    assert_eq!(
        rejection(judge(&token).await),
        Rejection::Claims("`nbf` is in the future")
    );
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

/// The grants of a token with these claims.
async fn grants(changes: Value) -> Result<Grants, AuthError> {
    let caller = judge(&sign(&with(changes))).await?;
    Ok(caller.principal.grants().clone())
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "stands where a claim may be absent"
)]
fn set(entries: &[&str]) -> Option<std::collections::BTreeSet<String>> {
    Some(entries.iter().map(|&entry| entry.to_owned()).collect())
}

#[tokio::test]
async fn a_token_without_quilt_s_claims_has_no_grants_and_no_limits() {
    assert_eq!(grants(json!({})).await, Ok(Grants::default()));
    let nulls = json!({ "permissions": null, "buckets": null, "level": null, "p": null, "b": null,
        "quilt": { "permissions": null, "buckets": null, "roles": null }, "email": null, "sid": null });
    assert_eq!(grants(nulls).await, Ok(Grants::default()));
}

#[tokio::test]
async fn plain_claims_are_carried_as_they_are() {
    let token = sign(&with(json!({
        "scope": "openid s3:read", "permissions": ["s3:GetObject", "g"], "roles": ["ReadOnlyQuilt", ALICE],
        "groups": ["science"], "buckets": ["b-1"], "level": "admin", "email": "alice@example.com",
        "preferred_username": "Alice", "username": "alice1", "sid": "s-1", "jti": "j-1",
    })));
    let caller = judge(&token).await.unwrap();
    let principal = &caller.principal;
    let expected = Grants {
        role_names: vec!["ReadOnlyQuilt".to_owned()],
        groups: vec!["science".to_owned()],
        permissions: set(&["s3:GetObject", "g"]),
        buckets: set(&["b-1"]),
        level: Some(Level::Admin),
        scope: "openid s3:read".to_owned(),
    };
    assert_eq!(principal.grants(), &expected);
    assert_eq!(principal.email(), Some("alice@example.com"));
    assert_eq!(principal.name(), Some("Alice"));
    assert_eq!(principal.session_id(), Some("s-1"));
    assert!(principal.has_scope("s3:read"));
    let other = judge(&sign(&with(json!({ "username": "alice1" })))).await;
    assert_eq!(other.unwrap().principal.name(), Some("alice1"));
}

#[tokio::test]
async fn the_worked_example_of_a_compressed_token() {
    let changes = json!({ "s": "w", "p": ["g", "p", "d", "l"], "r": ["ReadWriteQuiltV2-sales-prod", READER], "l": "write",
        "b": { "_type": "groups", "_data": { "quilt": ["sandbox-bucket", "sales-raw"] } } });
    let expected = Grants {
        role_names: vec!["ReadWriteQuiltV2-sales-prod".to_owned()],
        groups: Vec::new(),
        permissions: set(&[
            "s3:GetObject",
            "s3:PutObject",
            "s3:DeleteObject",
            "s3:ListBucket",
        ]),
        buckets: set(&["quilt-sandbox-bucket", "quilt-sales-raw"]),
        level: Some(Level::Write),
        scope: "w".to_owned(),
    };
    assert_eq!(grants(changes.clone()).await, Ok(expected));
    let caller = judge(&sign(&with(changes))).await.unwrap();
    assert!(caller.principal.has_scope("w"));
    assert_eq!(caller.role.unwrap().arn().as_str(), READER);
}

#[tokio::test]
async fn an_explicit_claim_beats_the_nested_one_and_that_beats_the_twin_field_by_field() {
    let all = || {
        json!({
            "scope": "explicit", "s": "twin",
            "level": "read", "l": "admin",
            "permissions": ["explicit"], "p": ["g"],
            "buckets": ["explicit"], "b": ["twin", "*"],
            "roles": ["Explicit"], "r": ["Twin", ALICE],
            "quilt": { "permissions": ["nested"], "buckets": ["nested"], "roles": ["Nested"] },
        })
    };
    let of = async |removed: &[&str]| {
        let mut claims = all();
        for path in removed {
            match path.split_once('.') {
                Some((outer, inner)) => claims[outer][inner] = Value::Null,
                None => claims[*path] = Value::Null,
            }
        }
        grants(claims).await.unwrap()
    };
    let explicit = of(&[]).await;
    assert_eq!(
        (explicit.scope.as_str(), explicit.level),
        ("explicit", Some(Level::Read))
    );
    assert_eq!(explicit.role_names, ["Explicit"]);
    assert_eq!(
        (explicit.permissions.clone(), explicit.buckets.clone()),
        (set(&["explicit"]), set(&["explicit"]))
    );
    // One field at a time falls back; the others stay.
    let mut expected = explicit.clone();
    expected.permissions = set(&["nested"]);
    assert_eq!(of(&["permissions"]).await, expected);
    expected.permissions = set(&["s3:GetObject"]);
    assert_eq!(of(&["permissions", "quilt.permissions"]).await, expected);
    let mut expected = explicit.clone();
    expected.buckets = set(&["nested"]);
    assert_eq!(of(&["buckets"]).await, expected);
    expected.buckets = set(&["twin", "*"]);
    assert_eq!(of(&["buckets", "quilt.buckets"]).await, expected);
    let mut expected = explicit.clone();
    expected.role_names = vec!["Nested".to_owned()];
    assert_eq!(of(&["roles"]).await, expected);
    expected.role_names = vec!["Twin".to_owned()];
    assert_eq!(of(&["roles", "quilt.roles"]).await, expected);
    let mut expected = explicit.clone();
    (expected.scope, expected.level) = ("twin".to_owned(), Some(Level::Admin));
    assert_eq!(of(&["scope", "level"]).await, expected);
    // An empty claim is there: what it does not list is not looked for elsewhere.
    let empty = json!({ "permissions": [], "p": ["g"], "buckets": [], "b": ["*"], "roles": [], "r": [ALICE], "scope": "", "s": "twin" });
    let expected = Grants {
        permissions: set(&[]),
        buckets: set(&[]),
        ..Grants::default()
    };
    assert_eq!(grants(empty.clone()).await, Ok(expected));
    assert!(
        judge(&sign(&with(empty)))
            .await
            .unwrap()
            .principal
            .roles()
            .is_empty()
    );
}

#[tokio::test]
async fn an_explicit_claim_of_a_wrong_type_refuses_the_token() {
    for changes in [
        json!({ "permissions": "s3:GetObject" }),
        json!({ "permissions": [1] }),
        json!({ "permissions": {} }),
        json!({ "permissions": false }),
        json!({ "buckets": "*" }),
        json!({ "buckets": ["b-1", null] }),
        json!({ "buckets": { "_type": "groups", "_data": {} } }),
        json!({ "groups": "science" }),
        json!({ "level": "root" }),
        json!({ "level": "Read" }),
        json!({ "level": 1 }),
        json!({ "level": ["read"] }),
        json!({ "level": { "read": null } }),
        json!({ "scope": ["w"] }),
        json!({ "email": 1 }),
        json!({ "preferred_username": {} }),
        json!({ "username": [] }),
        json!({ "sid": 1 }),
        json!({ "quilt": [] }),
        json!({ "quilt": [["r"], ["s3:GetObject"], ["*"]] }),
        json!({ "quilt": "x" }),
        json!({ "quilt": 7 }),
        json!({ "quilt": { "permissions": "s3:GetObject" } }),
        json!({ "quilt": { "buckets": [7] } }),
        json!({ "quilt": { "roles": {} } }),
    ] {
        let refused = grants(changes.clone()).await;
        let wrong = AuthError::InvalidToken(Rejection::Claims("a claim has the wrong type"));
        assert_eq!(refused, Err(wrong), "{changes}");
    }
}

#[tokio::test]
async fn malformed_twins_leave_nothing_permitted() {
    let expected = Grants {
        permissions: set(&[]),
        buckets: set(&[]),
        ..Grants::default()
    };
    for changes in [
        json!({ "p": "g", "b": "*" }),
        json!({ "p": 7, "b": { "_type": "compressed", "_data": "%" }, "l": "root", "r": 7, "s": 7 }),
    ] {
        assert_eq!(
            grants(changes.clone()).await,
            Ok(expected.clone()),
            "{changes}"
        );
    }
    let many = json!({ "r": vec!["r"; 51] });
    assert_eq!(
        grants(many).await,
        Err(AuthError::InvalidToken(Rejection::Claims(
            "`roles` lists more than 50"
        )))
    );
}

#[tokio::test]
async fn what_cannot_be_shown_is_left_out() {
    let hidden = "a\u{202e}b";
    let token = sign(&with(
        json!({ "email": hidden, "username": "", "groups": [hidden, "g"], "roles": [hidden], "permissions": [hidden], "buckets": ["", "b-1"] }),
    ));
    let principal = judge(&token).await.unwrap().principal;
    assert_eq!((principal.email(), principal.name()), (None, None));
    let expected = Grants {
        groups: vec!["g".to_owned()],
        permissions: set(&[]),
        buckets: set(&["b-1"]),
        ..Grants::default()
    };
    assert_eq!(principal.grants(), &expected);
}

#[tokio::test]
async fn user_id_and_then_id_name_the_subject_of_a_quilt_token_without_sub() {
    let subject = async |changes: Value| {
        let mut payload = without("sub");
        payload
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        let caller = judge(&sign(&payload)).await?;
        Ok::<_, AuthError>(caller.principal.subject().to_owned())
    };
    assert_eq!(
        subject(json!({ "user_id": "u-1", "id": "i-1" }))
            .await
            .as_deref(),
        Ok("u-1")
    );
    assert_eq!(subject(json!({ "id": "i-1" })).await.as_deref(), Ok("i-1"));
    assert_eq!(
        subject(json!({ "sub": null, "id": "i-1" }))
            .await
            .as_deref(),
        Ok("i-1")
    );
    assert_eq!(
        subject(json!({ "sub": "s-1", "user_id": "u-1", "id": 7 }))
            .await
            .as_deref(),
        Ok("s-1")
    );
    for refused in [
        json!({}),
        json!({ "id": 7 }),
        json!({ "user_id": 7, "id": "i-1" }),
        json!({ "user_id": "" }),
        json!({ "sub": "", "id": "i-1" }),
    ] {
        let judged = subject(refused.clone()).await;
        assert!(
            matches!(judged, Err(AuthError::InvalidToken(Rejection::Claims(_)))),
            "{refused}: {judged:?}"
        );
    }
}

#[test]
fn another_issuer_s_user_id_names_nobody() {
    let mut payload = without("sub");
    payload["user_id"] = json!("alice");
    let bearer = BearerToken::parse(sign(&payload).as_bytes()).unwrap();
    let unverified = UnverifiedClaims::parse(&bearer).unwrap();
    let config = config(&json!({}));
    let mut rules = Rules::from_config(&config.auth.issuers[0], &config.server);
    let keys = KeySet::Shared(vec![key(SECRET)]);
    let judge = |rules: &Rules| {
        VerifiedClaims::verify(&unverified, &keys, rules, NOW).map(|claims| claims.subject)
    };
    assert_eq!(judge(&rules).as_deref(), Ok("alice"));
    rules.subject_by_id = false;
    assert_eq!(
        judge(&rules).unwrap_err(),
        Rejection::Claims("there is no `sub`")
    );
    let document = json!({ "auth": { "issuers": [{ "issuer": "https://idp.example.com", "audience": "a", "jwks": "discover" }] } });
    let other = Config::parse(&document.to_string(), &|_| None).unwrap();
    assert!(!Rules::from_config(&other.auth.issuers[0], &other.server).subject_by_id);
}

#[test]
fn every_error_has_the_code_that_clients_know() {
    for (rejection, code) in [
        (Rejection::Malformed(""), "invalid_token"),
        (Rejection::Header(""), "invalid_token"),
        (Rejection::Issuer, "invalid_issuer"),
        (Rejection::Signature, "invalid_signature"),
        (Rejection::Audience, "invalid_audience"),
        (Rejection::Expired, "token_expired"),
        (Rejection::Claims(""), "invalid_claims"),
    ] {
        assert_eq!(AuthError::from(rejection).code(), code);
        // The log says the same word.
        assert!(rejection.to_string().starts_with(code), "{rejection}");
    }
}

/// Alice, by a token with this fingerprint that lists these roles.
fn alice_with(fingerprint: u8, roles: &[&str]) -> Arc<Principal> {
    alice_by(
        fingerprint,
        &with(json!({ "role_arn": roles[0], "roles": roles })),
    )
}

/// Alice, by a token with this fingerprint and these claims.
fn alice_by(fingerprint: u8, payload: &Value) -> Arc<Principal> {
    let token = BearerToken::parse(sign(payload).as_bytes()).unwrap();
    let unverified = UnverifiedClaims::parse(&token).unwrap();
    let config = config(&json!({}));
    let judged_by = Rules::from_config(&config.auth.issuers[0], &config.server);
    let keys = KeySet::Shared(vec![key(SECRET)]);
    let claims = VerifiedClaims::verify(&unverified, &keys, &judged_by, NOW).unwrap();
    Arc::new(Principal::of_token(claims, [fingerprint; 32], Proof::Jwt))
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
    let named = |fingerprint: u8, sid: &str| {
        let claims = json!({ "role_arn": ALICE, "roles": [READER], "sid": sid });
        alice_by(fingerprint, &with(claims))
    };
    // A `sid` that names no login is none: its tokens share nothing.
    for sid in ["", "\u{202e}", &"s".repeat(257)] {
        let role = choices
            .authorize(&named(5, sid), READER.parse().unwrap())
            .unwrap();
        assert!(choices.keep(&role));
        assert!(asked(&named(5, sid)).is_some());
        assert!(asked(&named(6, sid)).is_none(), "{sid:?}");
    }
    // In a login of several tokens, as long as the one it was made with is accepted: also past its end, by the leeway.
    let role = choices
        .authorize(&named(3, "login"), READER.parse().unwrap())
        .unwrap();
    assert!(choices.keep(&role));
    advance(3_629);
    assert!(asked(&named(4, "login")).is_some());
    advance(1);
    assert!(asked(&named(4, "login")).is_none());
    // A session of one token needs no other end than the token's.
    assert!(asked(&before).is_some());
    // Where another process may answer next, nothing is kept.
    let forgetful = RoleChoices::new(&config.roles, false, clock());
    assert!(!forgetful.keep(&role));
}

#[tokio::test]
async fn a_client_secret_that_hangs_holds_nobody_for_long() {
    let document = json!({ "auth": { "issuers": [{ "issuer": "i", "audience": "a", "introspection": {
        "url": "http://127.0.0.1:9/introspect", "clientId": "rolecall",
        "clientSecret": { "$secret": "arn:aws:secretsmanager:us-east-1:111122223333:secret:client-AbCdEf" },
    } }] } });
    let config = Config::parse(&document.to_string(), &|_| None).unwrap();
    let hangs: LoadSecret = Arc::new(|_| Box::pin(std::future::pending()));
    let authenticator = Authenticator::new(
        &config.auth,
        &config.server,
        &config.roles,
        choices(&config, clock()),
        &egress(&config),
        clock(),
        &hangs,
    );
    let headers = headers("opaque");
    let request_id: Arc<str> = "test".into();
    let judged = authenticator.authenticate(&headers, None, &request_id);
    let judged = tokio::time::timeout(std::time::Duration::from_secs(30), judged);
    let refused = judged.await.expect("it has an answer").unwrap_err();
    assert!(matches!(refused, AuthError::Unavailable(_)), "{refused:?}");
}
