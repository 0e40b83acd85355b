//! Judging of claims: whoever is let in has what a second, plain reading of the same payload says that they have.
//! The first line is a token's header, the second its payload, the third the role that is asked for; the issuer signs
//! whatever comes.
#![no_main]

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
    time::{Duration, UNIX_EPOCH},
};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use ring::hmac;
use rolecall::{
    auth::{Authenticator, Grants, Level, LoadSecret, RoleChoices},
    clock::Clock,
    config::Config,
    egress::Egress,
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
    // As on Lambda: nothing is kept from one input to the next.
    let choices = Arc::new(RoleChoices::new(&config.roles, false, clock));
    let egress = Arc::new(Egress::new(&config.server.egress, []));
    Authenticator::new(
        &config.auth,
        &config.server,
        &config.roles,
        choices,
        &egress,
        clock,
        &load,
    )
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
        .authenticate(&good, None, &"fuzz".into())
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
            .authenticate(&headers, None, &"fuzz".into())
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
    let subject = ["sub", "user_id", "id"].iter().map(|name| &claims[*name]);
    let subject = subject.into_iter().find(|value| !value.is_null());
    let subject = subject.and_then(Value::as_str).expect("a subject");
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
    let stated = stated(&claims, "roles");
    let twin = texts(&claims["r"]);
    let mut named: BTreeSet<&str> = stated.unwrap_or(twin).into_iter().collect();
    let own = ["role_arn", "aws_role_arn", "awsRoleArn", "roleArn"].iter();
    named.extend(own.filter_map(|name| claims[*name].as_str()).next());
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
        let place = if claims["scope"].is_null() {
            "s"
        } else {
            "scope"
        };
        let given = claims[place].as_str().unwrap_or_default();
        let held = given.split(' ').any(|one| one == scope);
        assert_eq!(caller.principal.has_scope(scope), held, "{claims}");
    }
    let listed = claims["session_tags"].as_array().into_iter().flatten();
    for tag in listed {
        assert!(tag.is_object(), "{claims}");
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
    grants(caller.principal.grants(), &claims);
});

/// What is granted is what the payload names, in the one place that counts; and nobody whom it narrows is not narrowed.
fn grants(grants: &Grants, claims: &Value) {
    let twin = texts(&claims["p"]);
    let twin: Vec<String> = twin.into_iter().map(action).collect();
    narrowed(
        grants.permissions.as_ref(),
        claims,
        ("permissions", "p"),
        &twin,
    );
    narrowed(
        grants.buckets.as_ref(),
        claims,
        ("buckets", "b"),
        &buckets(&claims["b"]),
    );
    let place = if claims["level"].is_null() {
        "l"
    } else {
        "level"
    };
    let level = grants.level.map(Level::as_str);
    if level.is_some() {
        assert_eq!(level, claims[place].as_str());
    }
    let groups = texts(&claims["groups"]);
    for group in &grants.groups {
        assert!(
            groups.contains(&group.as_str()),
            "{group} is not in {claims}"
        );
    }
}

fn narrowed(
    granted: Option<&BTreeSet<String>>,
    claims: &Value,
    (long, short): (&str, &str),
    twin: &[String],
) {
    let stated = stated(claims, long);
    let narrows = stated.is_some() || !claims[short].is_null();
    assert_eq!(granted.is_some(), narrows, "{long} of {claims}");
    let Some(granted) = granted else { return };
    let named: BTreeSet<&str> = match &stated {
        Some(stated) => stated.iter().copied().collect(),
        None => twin.iter().map(String::as_str).collect(),
    };
    for one in granted {
        assert!(named.contains(one.as_str()), "{one} is not in {claims}");
    }
    // Nor is anything lost that was said in plain words.
    for one in stated.into_iter().flatten() {
        let plain = one.len() <= 256 && one.bytes().all(|byte| byte.is_ascii_graphic());
        assert!(
            !plain || one.is_empty() || granted.contains(one),
            "{one:?} of {claims}"
        );
    }
}

/// What a token states in full: at its top, else in `quilt`.
fn stated<'a>(claims: &'a Value, name: &str) -> Option<Vec<&'a str>> {
    let places = [&claims[name], &claims["quilt"][name]];
    let place = places.into_iter().find(|place| !place.is_null())?;
    let all = place.as_array().expect("a list").iter();
    Some(all.map(|one| one.as_str().expect("texts only")).collect())
}

/// The texts of a list of texts; of anything else, none.
fn texts(value: &Value) -> Vec<&str> {
    let list = value.as_array().map_or(&[][..], Vec::as_slice);
    let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
    texts.unwrap_or_default()
}

/// What an abbreviation stands for, by the rule that they are made by.
fn action(short: &str) -> String {
    let special = match short {
        "g" => "GetObject",
        "p" => "PutObject",
        "d" => "DeleteObject",
        "l" => "ListBucket",
        "la" => "ListAllMyBuckets",
        "gv" => "GetObjectVersion",
        "pa" => "PutObjectAcl",
        "amu" => "AbortMultipartUpload",
        _ => "",
    };
    if !special.is_empty() {
        return format!("s3:{special}");
    }
    let verbs = [("g", "Get"), ("p", "Put"), ("d", "Delete")];
    let things = [
        ("m", "ObjectMetadata"),
        ("l", "ObjectLockConfiguration"),
        ("t", "ObjectTagging"),
        ("r", "ObjectRetention"),
        ("c", "ObjectLegalHold"),
        ("b", "BucketLocation"),
        ("bl", "BucketLifecycle"),
        ("bt", "BucketTagging"),
        ("ba", "BucketAcl"),
        ("bp", "BucketPolicy"),
    ];
    for (letter, verb) in verbs {
        for (letters, thing) in things {
            if short.strip_prefix(letter) == Some(letters) {
                return format!("s3:{verb}{thing}");
            }
        }
    }
    short.to_owned()
}

/// The buckets that a twin stands for: as many as can be read in it.
fn buckets(twin: &Value) -> Vec<String> {
    let data = &twin["_data"];
    let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
    match twin["_type"].as_str() {
        None => owned(texts(twin)),
        Some("compressed") => {
            let packed = data
                .as_str()
                .and_then(|text| BASE64_STANDARD.decode(text).ok());
            let list = packed.and_then(|json| serde_json::from_slice::<Value>(&json).ok());
            list.map_or_else(Vec::new, |list| owned(texts(&list)))
        }
        Some(kind) => {
            let groups = data.as_object().into_iter().flatten();
            let names = groups.flat_map(|(prefix, suffixes)| {
                texts(suffixes)
                    .into_iter()
                    .map(move |suffix| match (kind, prefix.as_str()) {
                        ("groups", _) | ("patterns", "quilt") => format!("{prefix}-{suffix}"),
                        ("patterns", _) => suffix.to_owned(),
                        _ => String::new(),
                    })
            });
            names.filter(|name| !name.is_empty()).collect()
        }
    }
}
