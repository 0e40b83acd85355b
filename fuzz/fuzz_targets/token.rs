//! The token pre-parser: what is accepted is one compact JWS of strict JSON, and says the issuer that a reader sees.
//! An input of three lines is a header, a payload and a signature; any other is the token itself.
#![no_main]

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use libfuzzer_sys::fuzz_target;
use rolecall::{
    auth::{BearerToken, MAX_TOKEN_BYTES, UnverifiedClaims},
    json,
};
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let lines: Vec<&[u8]> = data.splitn(3, |byte| *byte == b'\n').collect();
    let token = match lines[..] {
        [header, payload, signature] => [header, payload, signature]
            .map(|part| BASE64_URL_SAFE_NO_PAD.encode(part))
            .join(".")
            .into_bytes(),
        _ => data.to_vec(),
    };
    let Ok(bearer) = BearerToken::parse(&token) else {
        return;
    };
    assert!(token.len() <= MAX_TOKEN_BYTES);
    assert!(token.iter().all(u8::is_ascii_graphic) && !token.contains(&b','));
    assert_eq!(format!("{bearer:?}"), "BearerToken(***)");
    let Ok(claims) = UnverifiedClaims::parse(&bearer) else {
        return;
    };
    assert_eq!(format!("{claims:?}"), "UnverifiedClaims(***)");
    let text = std::str::from_utf8(&token).expect("ASCII");
    let parts: Vec<&str> = text.split('.').collect();
    assert_eq!(parts.len(), 3, "{text}");
    let decoded: Vec<Vec<u8>> = parts
        .iter()
        .map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64url"))
        .collect();
    for (part, bytes) in parts.iter().zip(&decoded) {
        assert_eq!(
            *part,
            BASE64_URL_SAFE_NO_PAD.encode(bytes),
            "one text for one value"
        );
    }
    for part in &decoded[..2] {
        assert_eq!(json::check(part), Ok(()), "strict");
    }
    let header: Value = serde_json::from_slice(&decoded[0]).expect("JSON");
    assert!(header["alg"].is_string(), "{header}");
    for member in ["crit", "b64"] {
        assert!(header.get(member).is_none(), "{header}");
    }
    let typ = header.get("typ").filter(|typ| !typ.is_null());
    let known = typ.is_none_or(|typ| {
        let typ = typ.as_str().expect("a string").to_ascii_lowercase();
        ["jwt", "at+jwt", "application/at+jwt"].contains(&typ.as_str())
    });
    assert!(known, "{header}");
    let payload: Value = serde_json::from_slice(&decoded[1]).expect("JSON");
    // An issuer that is no text is refused: it would be a token without one.
    assert!(matches!(payload["iss"], Value::Null | Value::String(_)));
    assert_eq!(payload["iss"].as_str(), claims.unverified_issuer());
    assert!(payload.is_object(), "{payload}");
});
