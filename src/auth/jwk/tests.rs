//! Independent vectors: Project Wycheproof's JSON Web Signature and Key tests (version 0.3), and the examples of RFC
//! 7515, 7520 and 8037. Their payloads are no claims, so signatures and keys are judged here, and claims elsewhere.

use std::collections::HashSet;

use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use serde_json::json;

use super::*;
use crate::auth::{Hs256Key, KeySet};

#[derive(Deserialize)]
struct Group {
    #[serde(rename = "group")]
    name: String,
    keys: Vec<Value>,
    /// Number, whether it is valid, compact JWS.
    tests: Vec<(u32, bool, String)>,
}

/// What an issuer with these keys would judge by.
fn key_set(keys: &[Value]) -> Option<KeySet> {
    let shared = |key: &Value| -> Option<Hs256Key> {
        let secret = BASE64_URL_SAFE_NO_PAD.decode(key["k"].as_str()?).ok()?;
        Hs256Key::of_bytes(&secret)
    };
    match keys {
        // A secret is configured for one algorithm, not published.
        [key] if key["kty"] == "oct" && key["alg"] == "HS256" => {
            Some(KeySet::Shared(vec![shared(key)?]))
        }
        keys => PublicKeys::parse(json!({ "keys": keys }).to_string().as_bytes())
            .ok()
            .map(KeySet::Public),
    }
}

fn verify(keys: &KeySet, token: &str) -> Result<(), Rejection> {
    let (token, _) = UnverifiedClaims::take_apart(token, &BASE64_URL_SAFE_NO_PAD)?;
    keys.verify(&token)
}

#[test]
fn independent_vectors_are_judged_right() {
    let (mut accepted, mut refused, mut strict) = (0, 0, HashSet::new());
    for line in include_str!("../vectors/jws.jsonl").lines() {
        let Group {
            name: group,
            keys,
            tests,
        } = serde_json::from_str(line).unwrap();
        let keys = key_set(&keys);
        for (number, valid, token) in tests {
            let verified = keys
                .as_ref()
                .is_some_and(|keys| verify(keys, &token).is_ok());
            // The very text of test 357, which is valid: the suite's own slips.
            if group == "json_web_signature/base64" && [367, 370].contains(&number) {
                continue;
            }
            match (valid, verified) {
                (false, true) => panic!("{group} {number} is invalid, and was accepted: {token}"),
                (false, false) => refused += 1,
                (true, true) => accepted += 1,
                (true, false) => drop(strict.insert((group.clone(), number))),
            }
        }
    }
    assert_eq!((accepted, refused), (32, 375));
    let expected = [
        // Algorithms that we do not verify.
        ("json_web_signature/rs384", 264..=267),
        ("json_web_signature/rs512", 268..=271),
        ("json_web_signature/ps384", 320..=323),
        ("json_web_signature/ps512", 325..=328),
        ("json_web_key/HS384", 14..=14),
        ("json_web_key/HS512", 15..=15),
        ("rfc7515/A.4", 0..=0),
        ("rfc7520/4.2", 0..=0),
        ("rfc7520/4.3", 0..=0),
        // The keys say PS256 and ES521, the tokens PS384 and ES512.
        ("json_web_signature/rfc7520", 346..=347),
        ("json_web_signature/rfc7520WithKeyOps", 350..=351),
        // A character outside the alphabet: the suite's own slips.
        ("json_web_signature/base64", 372..=373),
        // Secrets in a published set.
        ("json_web_key/jws_keyset", 2..=2),
    ];
    let expected: HashSet<(String, u32)> = expected
        .into_iter()
        .flat_map(|(group, numbers)| numbers.map(move |number| (group.to_owned(), number)))
        .collect();
    assert_eq!(strict, expected);
}

/// A key pair of ES256, and its public key as a member of a set.
pub(in crate::auth) fn es256(id: Option<&str>) -> (EcdsaKeyPair, Value) {
    let random = SystemRandom::new();
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random).unwrap();
    let point = pair.public_key().as_ref();
    let encode = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
    let mut key = json!({ "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]) });
    if let Some(id) = id {
        key["kid"] = id.into();
    }
    (pair, key)
}

/// A token of this header and these claims.
pub(in crate::auth) fn sign_claims(pair: &EcdsaKeyPair, header: &Value, claims: &Value) -> String {
    let signed = [header, claims]
        .map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()))
        .join(".");
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn sign(pair: &EcdsaKeyPair, header: &Value) -> String {
    sign_claims(pair, header, &json!({}))
}

fn with(key: &Value, changes: Value) -> Value {
    let mut key = key.clone();
    let Value::Object(changes) = changes else {
        panic!("members")
    };
    key.as_object_mut().unwrap().extend(changes);
    key
}

#[test]
fn only_keys_for_verifying_are_used() {
    let (pair, key) = es256(Some("a"));
    let token = sign(&pair, &json!({ "alg": "ES256", "kid": "a" }));
    let judge = |key: Value| key_set(&[key]).map(|keys| verify(&keys, &token));
    for good in [
        key.clone(),
        with(
            &key,
            json!({ "use": "sig", "alg": "ES256", "key_ops": ["sign", "verify"], "x5c": ["x"], "more": {} }),
        ),
        with(&key, json!({ "use": null, "alg": null, "key_ops": null })),
        // A set of one key need not name it.
        with(&key, json!({ "kid": null })),
    ] {
        assert_eq!(judge(good.clone()), Some(Ok(())), "{good}");
    }
    for bad in [
        with(&key, json!({ "use": "enc" })),
        with(&key, json!({ "use": "SIG" })),
        with(&key, json!({ "use": 1 })),
        with(&key, json!({ "key_ops": [] })),
        with(&key, json!({ "key_ops": ["sign"] })),
        with(&key, json!({ "key_ops": "verify" })),
        with(&key, json!({ "alg": "ES384" })),
        with(&key, json!({ "alg": "HS256" })),
        with(&key, json!({ "alg": "none" })),
        with(&key, json!({ "alg": "" })),
        with(&key, json!({ "kty": "oct" })),
        with(&key, json!({ "kty": "RSA" })),
        with(&key, json!({ "kty": "ec" })),
        with(&key, json!({ "crv": "P-384" })),
        with(&key, json!({ "crv": "P-521" })),
        with(&key, json!({ "crv": "secp256k1" })),
        with(&key, json!({ "kid": "" })),
        with(&key, json!({ "kid": "k".repeat(257) })),
        with(&key, json!({ "kid": 7 })),
        with(&key, json!({ "d": "AAAA" })),
        with(&key, json!({ "x": "AAAA" })),
        with(
            &key,
            json!({ "y": format!("{}=", key["y"].as_str().unwrap()) }),
        ),
        json!(["EC"]),
        json!("EC"),
    ] {
        assert!(judge(bad.clone()).is_none(), "{bad}");
    }
    let off_the_curve = with(&key, json!({ "y": key["x"] }));
    assert_eq!(judge(off_the_curve), Some(Err(Rejection::Signature)));
}

#[test]
fn a_name_means_one_key() {
    let (first, first_key) = es256(Some("a"));
    let (second, second_key) = es256(Some("b"));
    let token = |pair: &EcdsaKeyPair, id: Option<&str>| match id {
        Some(id) => sign(pair, &json!({ "alg": "ES256", "kid": id })),
        None => sign(pair, &json!({ "alg": "ES256" })),
    };
    let both = key_set(&[first_key.clone(), second_key.clone()]).unwrap();
    assert_eq!(verify(&both, &token(&first, Some("a"))), Ok(()));
    assert_eq!(verify(&both, &token(&second, Some("b"))), Ok(()));
    // A key is not tried for another's name, nor any for no name.
    assert_eq!(
        verify(&both, &token(&second, Some("a"))),
        Err(Rejection::Signature)
    );
    assert_eq!(
        verify(&both, &token(&first, Some("c"))),
        Err(Rejection::UnknownKey)
    );
    assert!(matches!(
        verify(&both, &token(&first, None)),
        Err(Rejection::Header(_))
    ));
    // One key needs no name; a name that it does not have is still another's.
    let one = key_set(std::slice::from_ref(&first_key)).unwrap();
    assert_eq!(verify(&one, &token(&first, None)), Ok(()));
    assert_eq!(
        verify(&one, &token(&first, Some("c"))),
        Err(Rejection::UnknownKey)
    );
    // Two of one name, or several without one: nobody can tell them apart.
    let twice = [
        first_key.clone(),
        with(&second_key, json!({ "kid": "a" })),
        es256(Some("c")).1,
    ];
    assert_eq!(
        verify(&key_set(&twice).unwrap(), &token(&first, Some("a"))),
        Err(Rejection::UnknownKey)
    );
    assert!(key_set(&twice[..2]).is_none());
    let (nameless, nameless_key) = es256(None);
    let mixed = key_set(&[first_key.clone(), nameless_key]).unwrap();
    assert_eq!(
        verify(&mixed, &token(&nameless, Some("x"))),
        Err(Rejection::UnknownKey)
    );
    // What is not for signatures does not count: such sets publish an encryption key of the same name.
    let other = with(&second_key, json!({ "kid": "a", "use": "enc" }));
    assert_eq!(
        verify(&key_set(&[first_key, other]).unwrap(), &token(&first, None)),
        Ok(())
    );
}

#[test]
fn the_key_fixes_the_algorithm() {
    let (pair, key) = es256(Some("a"));
    let keys = key_set(&[key]).unwrap();
    for algorithm in ["ES384", "RS256", "HS256", "none", "es256", "", "EdDSA"] {
        let token = sign(&pair, &json!({ "alg": algorithm, "kid": "a" }));
        assert!(
            matches!(verify(&keys, &token), Err(Rejection::Header(_))),
            "{algorithm}"
        );
    }
    // An HMAC under the published key is no signature.
    let shared = Hs256Key::of_bytes(&[7; 32]).unwrap();
    let token = shared.sign(br#"{"alg":"HS256","kid":"a"}"#, b"{}");
    assert!(matches!(verify(&keys, &token), Err(Rejection::Header(_))));
    // And a secret verifies nothing but HS256.
    let token = sign(&pair, &json!({ "alg": "ES256", "kid": "a" }));
    assert!(matches!(
        verify(&KeySet::Shared(vec![shared]), &token),
        Err(Rejection::Header(_))
    ));
}

#[test]
fn the_other_algorithms_verify_what_they_signed() {
    let random = SystemRandom::new();
    let algorithm = &signature::ECDSA_P384_SHA384_FIXED_SIGNING;
    let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random).unwrap();
    let point = pair.public_key().as_ref();
    let encode = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
    let key = json!({ "kty": "EC", "crv": "P-384", "x": encode(&point[1..49]), "y": encode(&point[49..]) });
    let keys = key_set(&[key]).unwrap();
    assert_eq!(
        verify(&keys, &sign(&pair, &json!({ "alg": "ES384" }))),
        Ok(())
    );
    assert!(verify(&keys, &sign(&pair, &json!({ "alg": "ES256" }))).is_err());
    let made = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(made.as_ref()).unwrap();
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) });
    // Both of its names: RFC 8037 and RFC 9864.
    for (name, alg) in [
        ("EdDSA", json!(null)),
        ("Ed25519", json!("EdDSA")),
        ("EdDSA", json!("Ed25519")),
    ] {
        let signed = [json!({ "alg": name }), json!({})]
            .map(|part| encode(part.to_string().as_bytes()))
            .join(".");
        let token = format!("{signed}.{}", encode(pair.sign(signed.as_bytes()).as_ref()));
        let keys = key_set(&[with(&key, json!({ "alg": alg }))]).unwrap();
        assert_eq!(verify(&keys, &token), Ok(()), "{name} {alg}");
    }
}

#[test]
fn a_set_is_strict_json_and_bounded() {
    let (_, key) = es256(Some("a"));
    let many = |count: usize| {
        let named = |n: usize| with(&key, json!({ "kid": format!("k{n}") }));
        json!({ "keys": (0..count).map(named).collect::<Vec<_>>() }).to_string()
    };
    assert!(PublicKeys::parse(many(100).as_bytes()).is_ok());
    for bad in [
        String::new(),
        "[]".to_owned(),
        "{}".to_owned(),
        r#"{"keys":{}}"#.to_owned(),
        r#"{"keys":[]}"#.to_owned(),
        format!(r#"{{"keys":[{key}],"keys":[]}}"#),
        format!(
            r#"{{"keys":[{}]}}"#,
            key.to_string().replace("\"kty\"", "\"kid\":\"a\",\"kty\"")
        ),
        "<html>".to_owned(),
        many(101),
    ] {
        assert!(PublicKeys::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    // What is not understood is passed over: RFC 7517, section 5.
    let mixed = json!({ "keys": [{ "kty": "AKP", "alg": "ML-DSA-44" }, 7, key] });
    assert!(PublicKeys::parse(mixed.to_string().as_bytes()).is_ok());
}
