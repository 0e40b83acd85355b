//! Judging of claims: whoever is let in has what a second, plain reading of the same payload says that they have.
//! The first line is a token's header, the second its payload, the third the role that is asked for; the issuer signs
//! whatever comes.
#![no_main]

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use ring::hmac;
use rolecall::{
    auth::{Authenticator, LoadSecret},
    clock::Clock,
    config::Config,
};
use serde_json::Value;

/// When every token of the corpus is judged, in seconds since the epoch.
const NOW: u64 = 1_800_000_000;
const SECRET: &str = "a secret for nothing but the fuzzer, long enough";
const CONFIG: &str = r#"{
    "auth": { "issuers": [{ "issuer": "quilt-frontend", "audience": "quilt-mcp-server",
                            "hs256": "a secret for nothing but the fuzzer, long enough" }] },
    "roles": { "allow": ["arn:aws:iam::111111111111:role/Quilt*"] } }"#;

static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
    let config = Config::parse(CONFIG, &|_| None).expect("a good configuration");
    let load: LoadSecret = Arc::new(|_| unreachable!("the secret is in the configuration"));
    let clock = Clock::from_fn(|| UNIX_EPOCH + Duration::from_secs(NOW));
    Authenticator::new(&config.auth, &config.server, &config.roles, clock, &load)
});

fn headers(token: &str, role: Option<&[u8]>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    let bearer = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    headers.insert("authorization", bearer);
    if let Some(role) = role.filter(|role| !role.is_empty()) {
        headers.insert("x-quilt-user-role", HeaderValue::from_bytes(role).ok()?);
    }
    Some(headers)
}

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let (Some(header), Some(payload)) = (lines.next(), lines.next()) else {
        return;
    };
    let requested = lines.next();
    let signed = [header, payload].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
    let signed = signed.join(".");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let mac = hmac::sign(&key, signed.as_bytes());
    let token = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac));
    let Some(good) = headers(&token, requested) else {
        return;
    };
    let judged = AUTHENTICATOR
        .authenticate(&good)
        .now_or_never()
        .expect("no waiting");
    let Ok(caller) = judged else {
        return;
    };

    // Nobody comes in with another signature.
    let mut other = mac.as_ref().to_vec();
    other[0] ^= 1;
    for forged in [&other[..], &other[..31], b""] {
        let forged = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(forged));
        let headers = headers(&forged, None).expect("headers");
        let judged = AUTHENTICATOR
            .authenticate(&headers)
            .now_or_never()
            .expect("no waiting");
        assert!(judged.is_err(), "a forged signature");
    }

    let header: Value = serde_json::from_slice(header).expect("JSON");
    assert_eq!(header["alg"], "HS256");
    let claims: Value = serde_json::from_slice(payload).expect("JSON");
    assert_eq!(claims["iss"], "quilt-frontend");
    let audience = match &claims["aud"] {
        Value::Array(all) => {
            assert!(all.iter().all(Value::is_string), "{claims}");
            all.iter().any(|one| one == "quilt-mcp-server")
        }
        one => one == "quilt-mcp-server",
    };
    assert!(audience, "{claims}");
    let subject = claims["sub"].as_str().expect("a subject");
    assert!((1..=256).contains(&subject.chars().count()));
    // Nothing that a log or a model would not show, or show the other way round.
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}')
    };
    assert!(!subject.chars().any(hidden), "{subject:?}");
    assert_eq!(caller.principal.subject(), subject);
    assert_eq!(caller.principal.issuer(), "quilt-frontend");
    let now = NOW as f64;
    let time = |name: &str| match &claims[name] {
        Value::Null => None,
        time => Some(time.as_f64().expect("a number")),
    };
    let expiry = time("exp").expect("it expires");
    assert!(expiry > now - 31.0 && expiry < now + 200_000.0, "{claims}");
    assert!(
        caller.principal.expires_at() <= expiry as u64,
        "never longer than the token"
    );
    for name in ["nbf", "iat"] {
        assert!(time(name).is_none_or(|time| time <= now + 30.0), "{claims}");
    }

    // No role but those that the token names, and none that the operator does not allow.
    let mut named: BTreeSet<&str> = ["role_arn", "aws_role_arn", "awsRoleArn", "roleArn"]
        .iter()
        .filter_map(|name| claims[*name].as_str())
        .collect();
    named.extend(
        claims["roles"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str),
    );
    for role in caller.principal.roles() {
        assert!(named.contains(role.as_str()), "{role} is not in {claims}");
    }
    if let Some(role) = &caller.role {
        let arn = role.arn().as_str();
        assert!(named.contains(arn), "{arn} is not in {claims}");
        assert!(
            arn.starts_with("arn:aws:iam::111111111111:role/Quilt"),
            "{arn}"
        );
        assert_eq!(role.principal().subject(), subject);
    }
    if let Some(requested) = requested.filter(|role| !role.is_empty()) {
        let role = caller
            .role
            .as_ref()
            .expect("what is asked for is granted or refused");
        assert_eq!(role.arn().as_str().as_bytes(), requested.trim_ascii());
    }
    for scope in ["mcp:call", "admin", ""] {
        let given = claims["scope"].as_str().unwrap_or_default();
        let held = given.split(' ').any(|one| one == scope);
        assert_eq!(caller.principal.has_scope(scope), held, "{claims}");
    }
    for tag in caller.principal.session_tags() {
        assert!((1..=128).contains(&tag.key.chars().count()));
        assert!(tag.value.chars().count() <= 256);
        let text = claims["session_tags"].to_string();
        let key = Value::from(tag.key.as_str()).to_string();
        assert!(
            text.contains(key.trim_matches('"')),
            "{key} is not in {text}"
        );
    }
});
