//! An issuer that publishes its key, and the tokens that it signs.

use std::net::Ipv4Addr;

use axum::{Router, routing::get};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    Result,
    program::{AUDIENCE, Caller, ROLE},
};

pub(crate) struct Issuer {
    /// Its name, and where its key set is.
    pub(crate) url: String,
    pair: EcdsaKeyPair,
    _server: JoinSet<std::io::Result<()>>,
}

impl Issuer {
    pub(crate) async fn start() -> Result<Self> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| "no key")?;
        let pair =
            EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random).map_err(|_| "no key")?;
        let point = pair.public_key().as_ref();
        let set = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "bench",
            "x": encode(&point[1..33]), "y": encode(&point[33..]),
        }] });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new().route("/keys", get(|| async move { set.to_string() }));
        let mut server = JoinSet::new();
        server.spawn(async { axum::serve(listener, router).await });
        Ok(Self {
            url,
            pair,
            _server: server,
        })
    }

    /// Callers whose tokens it signed, each with a role, valid for an hour.
    pub(crate) fn callers(&self, count: usize) -> Result<Vec<Caller>> {
        #[expect(
            clippy::disallowed_methods,
            reason = "tokens are stamped with the time"
        )]
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)?
            .as_secs();
        (1..=count)
            .map(|number| {
                let name = format!("caller-{number}");
                let claims = json!({
                    "iss": self.url, "aud": AUDIENCE, "sub": name, "iat": now, "exp": now + 3_600,
                    "role_arn": ROLE, "roles": [ROLE],
                });
                let token = self.sign(
                    &json!({ "alg": "ES256", "kid": "bench", "typ": "JWT" }),
                    &claims,
                )?;
                Ok(Caller { name, token })
            })
            .collect()
    }

    fn sign(&self, header: &Value, claims: &Value) -> Result<String> {
        let signed = [header, claims]
            .map(|part| encode(part.to_string().as_bytes()))
            .join(".");
        let signature = self
            .pair
            .sign(&SystemRandom::new(), signed.as_bytes())
            .map_err(|_| "no signature")?;
        Ok(format!("{signed}.{}", encode(signature.as_ref())))
    }
}

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
