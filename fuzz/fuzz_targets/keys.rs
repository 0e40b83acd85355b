//! Published keys: of a key set, each key that is taken is one that a plain reading would trust with signatures, and has a
//! name of its own; of a load balancer's PEM, a P-256 point and nothing else.
#![no_main]

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use libfuzzer_sys::fuzz_target;
use rolecall::{
    auth::{Algorithm, PublicKeys},
    fuzzing::point_of_pem,
    json,
};
use serde_json::Value;

fuzz_target!(|document: &[u8]| {
    set(document);
    pem(document);
});

fn set(document: &[u8]) {
    let Ok(keys) = PublicKeys::parse(document) else {
        return;
    };
    assert_eq!(json::check(document), Ok(()), "strict");
    let written: Value = serde_json::from_slice(document).expect("JSON");
    let written = written["keys"].as_array().expect("a list of keys");
    assert!(written.len() <= 100);
    let taken: Vec<(Option<&str>, Algorithm)> = keys.named().collect();
    assert!(!taken.is_empty() && taken.len() <= written.len());
    let mut trusted = Vec::new();
    for key in written {
        if let Some(algorithm) = trustworthy(key) {
            trusted.push((key["kid"].as_str(), algorithm));
        }
    }
    for (name, algorithm) in &taken {
        assert!(
            trusted.contains(&(*name, *algorithm)),
            "{name:?} {algorithm:?}"
        );
        let same = taken.iter().filter(|(other, _)| other == name);
        assert_eq!(same.count(), 1, "one key for one name: {name:?}");
        assert!(name.is_some() || taken.len() == 1, "which is meant?");
        // A name that two keys have names none, unless the other was never one to trust.
        let same = trusted.iter().filter(|(other, _)| other == name);
        assert_eq!(same.count(), 1, "{name:?} is the name of several");
    }
}

/// The algorithm of a key that may verify signatures.
fn trustworthy(key: &Value) -> Option<Algorithm> {
    let says = |name: &str| key[name].as_str();
    let bytes = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(says(name)?).ok();
    // A member of another type than it should have is not understood, and neither is its key.
    for name in ["use", "alg", "kid", "crv", "n", "e", "x", "y"] {
        if !key[name].is_null() && !key[name].is_string() {
            return None;
        }
    }
    if says("kid").is_some_and(|name| !(1..=256).contains(&name.len())) {
        return None;
    }
    if key.get("d").is_some_and(|private| !private.is_null()) {
        return None;
    }
    if !key["use"].is_null() && says("use") != Some("sig") {
        return None;
    }
    let operations = &key["key_ops"];
    let verifies = operations
        .as_array()
        .is_some_and(|all| all.iter().all(Value::is_string) && all.contains(&"verify".into()));
    if !operations.is_null() && !verifies {
        return None;
    }
    let (algorithm, names): (_, &[&str]) = match (says("kty")?, says("crv")) {
        ("RSA", None) => {
            let n = bytes("n")?;
            bytes("e")?;
            let long = n.len() > 256 || (n.len() == 256 && n[0] >= 0x80);
            if !long || n[0] == 0 {
                return None;
            }
            match says("alg") {
                Some("PS256") => (Algorithm::Ps256, &["PS256"]),
                _ => (Algorithm::Rs256, &["RS256"]),
            }
        }
        ("EC", Some("P-256")) if bytes("x")?.len() == 32 && bytes("y")?.len() == 32 => {
            (Algorithm::Es256, &["ES256"])
        }
        ("EC", Some("P-384")) if bytes("x")?.len() == 48 && bytes("y")?.len() == 48 => {
            (Algorithm::Es384, &["ES384"])
        }
        ("OKP", Some("Ed25519")) if bytes("x")?.len() == 32 => {
            (Algorithm::EdDsa, &["EdDSA", "Ed25519"])
        }
        _ => return None,
    };
    let named = key["alg"].is_null() || says("alg").is_some_and(|name| names.contains(&name));
    named.then_some(algorithm)
}

fn pem(document: &[u8]) {
    let Some(point) = point_of_pem(document) else {
        return;
    };
    assert_eq!((point.len(), point[0]), (65, 4));
    // What lies between the two lines, read line by line, ends with the point.
    let text = std::str::from_utf8(document).expect("text");
    let inner = text.trim().split("-----").nth(2).expect("a body");
    let inner: String = inner.split_ascii_whitespace().collect();
    let der = BASE64_STANDARD.decode(inner).expect("base64");
    assert_eq!(der.len(), 91);
    assert!(der.ends_with(&point));
    // id-ecPublicKey and prime256v1.
    let curve = &der[4..23];
    assert_eq!(
        &curve[..9],
        [0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]
    );
    assert_eq!(
        &curve[9..],
        [0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]
    );
}
