//! Tokens as attackers write them, for both kinds of issuer that verify signatures, and the examples of RFC 7519.

use ring::{
    hmac,
    signature::{EcdsaKeyPair, KeyPair},
};

use super::*;

/// Compact JWS of any two parts, under an HMAC with any key, of any length.
fn hmac_token(key: &[u8], header: &Value, payload: &Value) -> String {
    let signed = [header, payload]
        .map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()))
        .join(".");
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signature = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

/// The same without a signature.
fn unsigned_token(header: &Value, payload: &Value) -> String {
    let [header, payload] =
        [header, payload].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
    format!("{header}.{payload}.")
}

fn still() -> std::time::SystemTime {
    std::time::UNIX_EPOCH + std::time::Duration::from_secs(NOW)
}

#[test]
fn the_examples_of_rfc_7519_are_refused_each_for_its_reason() {
    let mut examples = include_str!("../vectors/rfc7519.txt").lines();
    let mut next = || examples.next().unwrap();
    // Section 3.1, whose key is that of RFC 7515, A.1: it is for nobody, and about nobody.
    let secret = BASE64_URL_SAFE_NO_PAD
        .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
        .unwrap();
    let keys = KeySet::Shared(vec![Hs256Key::of_bytes(&secret).unwrap()]);
    let rules = Rules {
        issuer: "joe".into(),
        audience: "us".to_owned(),
        leeway: 30,
        max_lifetime: 86_400,
        subject_by_id: true,
    };
    let judge = |token: &str, now: u64| {
        let token = BearerToken::parse(token.as_bytes()).unwrap();
        let unverified = UnverifiedClaims::parse(&token)?;
        keys.verify(&unverified)?;
        VerifiedClaims::verify(&unverified, &keys, &rules, now)
    };
    assert_eq!(
        judge(next(), 1_300_819_379).unwrap_err(),
        Rejection::Audience
    );
    // Section 6.1: unsecured.
    assert_eq!(
        judge(next(), 1_300_819_379).unwrap_err(),
        Rejection::Header("`alg` is not the issuer's")
    );
    // Appendix A.1 and A.2: encrypted, and nested in an encrypted one. Five parts are no token of ours.
    for _ in 0..2 {
        let encrypted = next();
        assert_eq!(encrypted.split('.').count(), 5);
        assert!(matches!(
            judge(encrypted, 1_300_819_379).unwrap_err(),
            Rejection::Malformed(_)
        ));
    }
    assert_eq!(examples.next(), None);
}

#[tokio::test]
async fn no_spelling_of_none_is_an_algorithm() {
    let (pair, key) = jwk::tests::es256(Some("a"));
    let publisher = Publisher::start(&[key]).await;
    let by_keys = publisher.authenticator(still);
    let by_secret = authenticator();
    let good = jwk::tests::sign_claims(&pair, &json!({ "alg": "ES256", "kid": "a" }), &claims());
    assert!(
        by_keys
            .authenticate(&headers(&good), None, &"test".into())
            .await
            .is_ok()
    );
    for spelling in [
        "none",
        "None",
        "NONE",
        "nOnE",
        "nonE",
        " none",
        "none ",
        "none\0",
        "n\u{43e}ne",
        "null",
        "",
        "HS256none",
        "false",
    ] {
        let header = json!({ "alg": spelling, "kid": "a" });
        for token in [
            unsigned_token(&header, &claims()),
            hmac_token(b"", &header, &claims()),
            hmac_token(SECRET.as_bytes(), &header, &claims()),
            jwk::tests::sign_claims(&pair, &header, &claims()),
        ] {
            for authenticator in [&by_secret, &by_keys] {
                let judged = authenticator
                    .authenticate(&headers(&token), None, &"test".into())
                    .await;
                assert!(
                    matches!(rejection(judged), Rejection::Header(_)),
                    "{spelling:?}"
                );
            }
        }
    }
    // The right name with no signature, or with one that is cut short.
    let (signed, signature) = good.rsplit_once('.').unwrap();
    for end in ["", &signature[..40], &signature[..84]] {
        let cut = headers(&format!("{signed}.{end}"));
        let judged = by_keys.authenticate(&cut, None, &"test".into()).await;
        assert_eq!(rejection(judged), Rejection::Signature, "{end}");
    }
    let token = sign(&claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    for end in ["", &signature[..20], &signature[..40]] {
        let cut = headers(&format!("{signed}.{end}"));
        let judged = by_secret.authenticate(&cut, None, &"test".into()).await;
        assert_eq!(rejection(judged), Rejection::Signature, "{end}");
    }
}

/// Every text in which a public key is known to everybody.
fn texts_of(pair: &EcdsaKeyPair, key: &Value) -> Vec<Vec<u8>> {
    const PREFIX: [u8; 26] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
        0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    let point = pair.public_key().as_ref();
    let der = [&PREFIX[..], point].concat();
    let body = base64::prelude::BASE64_STANDARD.encode(&der);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----");
    let coordinate = |name: &str| key[name].as_str().unwrap().as_bytes().to_vec();
    vec![
        format!("{pem}\n").into_bytes(),
        pem.into_bytes(),
        body.into_bytes(),
        der,
        point.to_vec(),
        point[1..].to_vec(),
        point[1..33].to_vec(),
        coordinate("x"),
        key.to_string().into_bytes(),
        json!({ "keys": [key] }).to_string().into_bytes(),
        Vec::new(),
    ]
}

#[tokio::test]
async fn a_public_key_is_no_secret() {
    let (pair, key) = jwk::tests::es256(Some("a"));
    let publisher = Publisher::start(std::slice::from_ref(&key)).await;
    let authenticator = publisher.authenticator(still);
    for secret in texts_of(&pair, &key) {
        for (algorithm, expected) in [
            ("HS256", Rejection::Header("`alg` is not the key's")),
            ("ES256", Rejection::Signature),
        ] {
            let header = json!({ "alg": algorithm, "kid": "a" });
            let token = hmac_token(&secret, &header, &claims());
            let judged = authenticator
                .authenticate(&headers(&token), None, &"test".into())
                .await;
            assert_eq!(rejection(judged), expected, "{algorithm}");
        }
    }
    let good = jwk::tests::sign_claims(&pair, &json!({ "alg": "ES256", "kid": "a" }), &claims());
    assert!(
        authenticator
            .authenticate(&headers(&good), None, &"test".into())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn the_name_of_a_key_is_looked_up_and_never_followed() {
    let (pair, key) = jwk::tests::es256(Some("a"));
    let publisher = Publisher::start(std::slice::from_ref(&key)).await;
    let by_keys = publisher.authenticator(still);
    let by_secret = authenticator();
    let long = "a".repeat(9_000);
    for name in [
        "../../../../../../dev/null",
        "/proc/self/environ",
        "file:///etc/passwd",
        "' UNION SELECT 'x' -- ",
        "a' OR '1'='1",
        "$(id)",
        "http://169.254.169.254/latest/meta-data/",
        "a\0",
        "a\r\nx: y",
        "A",
        " a",
        "",
        &long,
    ] {
        let header = json!({ "alg": "ES256", "kid": name });
        let token = jwk::tests::sign_claims(&pair, &header, &claims());
        let judged = by_keys
            .authenticate(&headers(&token), None, &"test".into())
            .await;
        assert_eq!(rejection(judged), Rejection::UnknownKey, "{name:?}");
        // An issuer with a secret has no names: what the file or the row would have held is no key of it.
        let header = json!({ "alg": "HS256", "kid": name });
        for secret in [&b""[..], b"x", &[0; 64]] {
            let token = hmac_token(secret, &header, &claims());
            let judged = by_secret
                .authenticate(&headers(&token), None, &"test".into())
                .await;
            assert_eq!(rejection(judged), Rejection::Signature, "{name:?}");
        }
    }
    assert_eq!(
        publisher.fetches(),
        1,
        "the names cost no fetch of their own"
    );
}

#[tokio::test]
async fn keys_that_a_token_brings_are_neither_used_nor_fetched() {
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let url = format!("http://{}/keys", elsewhere.local_addr().unwrap());
    let (pair, key) = jwk::tests::es256(Some("a"));
    let (mallory, mallory_key) = jwk::tests::es256(Some("m"));
    let publisher = Publisher::start(std::slice::from_ref(&key)).await;
    let authenticator = publisher.authenticator(still);
    let judge = async |token: &str| {
        authenticator
            .authenticate(&headers(token), None, &"test".into())
            .await
    };
    let brought = [
        json!({ "jku": url }),
        json!({ "x5u": url }),
        json!({ "jwk": mallory_key }),
        json!({ "x5c": [BASE64_URL_SAFE_NO_PAD.encode(mallory.public_key().as_ref())] }),
        json!({ "jku": url, "x5u": url, "jwk": mallory_key, "x5t": "x", "x5t#S256": "x" }),
        json!({ "jku": format!("{}@{url}", publisher.url) }),
    ];
    for extra in brought {
        let header = |name: Option<&str>| {
            let mut header = json!({ "alg": "ES256" });
            header
                .as_object_mut()
                .unwrap()
                .extend(extra.as_object().unwrap().clone());
            if let Some(name) = name {
                header["kid"] = name.into();
            }
            header
        };
        for (name, expected) in [
            (Some("a"), Rejection::Signature),
            (None, Rejection::Signature),
            (Some("m"), Rejection::UnknownKey),
        ] {
            let token = jwk::tests::sign_claims(&mallory, &header(name), &claims());
            assert_eq!(rejection(judge(&token).await), expected, "{extra}");
        }
        // Its issuer's own token may say such things: they change nothing.
        let token = jwk::tests::sign_claims(&pair, &header(Some("a")), &claims());
        assert!(judge(&token).await.is_ok(), "{extra}");
    }
    let nobody = elsewhere.accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(publisher.fetches(), 1);
}

#[test]
fn an_rsa_key_has_2_048_bits_and_a_plain_modulus() {
    let set = |modulus: &[u8]| {
        let key = json!({ "kty": "RSA", "alg": "RS256", "n": BASE64_URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB" });
        PublicKeys::parse(json!({ "keys": [key] }).to_string().as_bytes()).is_ok()
    };
    let modulus = |first: u8, bytes: usize| {
        let mut modulus = vec![0xa7; bytes];
        modulus[0] = first;
        modulus
    };
    assert!(set(&modulus(0x80, 256)));
    assert!(set(&modulus(0xff, 512)));
    assert!(!set(&modulus(0xff, 128)), "1,024 bits");
    assert!(!set(&modulus(0x7f, 256)), "2,047 bits");
    assert!(!set(&modulus(0, 257)), "a leading zero");
    assert!(!set(&[]));
}

#[test]
fn a_published_secret_is_no_key() {
    // As a published key it would be known to everybody: RFC 8725, section 3.1.
    let (pair, key) = jwk::tests::es256(Some("a"));
    let secret = json!({ "kty": "oct", "kid": "s", "alg": "HS256", "k": BASE64_URL_SAFE_NO_PAD.encode([7; 32]) });
    assert!(PublicKeys::parse(json!({ "keys": [secret] }).to_string().as_bytes()).is_err());
    let both = json!({ "keys": [secret, key] }).to_string();
    let keys = KeySet::Public(PublicKeys::parse(both.as_bytes()).unwrap());
    let judge = |token: &str| {
        let token = BearerToken::parse(token.as_bytes()).unwrap();
        keys.verify(&UnverifiedClaims::parse(&token).unwrap())
    };
    for (name, expected) in [
        ("s", Rejection::UnknownKey),
        ("a", Rejection::Header("`alg` is not the key's")),
    ] {
        let header = json!({ "alg": "HS256", "kid": name });
        assert_eq!(
            judge(&hmac_token(&[7; 32], &header, &claims())),
            Err(expected)
        );
    }
    let header = json!({ "alg": "ES256", "kid": "a" });
    let good = jwk::tests::sign_claims(&pair, &header, &claims());
    assert_eq!(judge(&good), Ok(()));
}
