//! Issuers of tokens, as they are on the wire: one that publishes keys, one that is asked about tokens, a Quilt registry,
//! and the key server of a load balancer. All behave: they know what they issued, refuse what they did not, and can be
//! counted and put in trouble.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{self, Path},
    http::{HeaderMap, Response},
    routing::{get, post},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD},
};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{fault::Faults, runtime_api::serve, token::Claims};

/// What an issuer's server does instead of answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing but 503.
    Down,
    /// Takes requests and never answers.
    Hang,
    /// Answers 200 with something else.
    Html,
    /// Answers 200 with more than anybody should read.
    Huge,
    /// Answers with a redirect to itself.
    Redirect,
}

/// A client that may ask about tokens, and its secret.
pub const CLIENT: (&str, &str) = ("rolecall", "a client's secret: with %, + and ü");

/// The issuer. Its server ends with the test's runtime.
#[derive(Clone)]
pub struct Issuer {
    /// Its name, which is its URL.
    pub url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    url: String,
    key: SigningKey,
    trouble: Option<Trouble>,
    seen: Vec<String>,
    /// What is known of each token: the answer to introspection.
    active: HashMap<String, Value>,
    /// Credentials of the registry, by token; `None` for a token that may not have any.
    credentials: HashMap<String, Option<Value>>,
    /// Instead of the metadata that it should publish.
    metadata: Option<Value>,
    /// Instead of the key set that it should publish.
    set: Option<Value>,
    /// The bearer tokens that came.
    presented: Vec<String>,
}

struct SigningKey {
    id: String,
    pair: Arc<EcdsaKeyPair>,
}

impl SigningKey {
    fn new(id: String) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random).unwrap();
        Self {
            id,
            pair: Arc::new(pair),
        }
    }

    fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let encode = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id,
                "x": encode(&point[1..33]), "y": encode(&point[33..]) })
    }

    fn pem(&self) -> String {
        const PREFIX: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
        let prefix = (0..PREFIX.len()).step_by(2);
        let mut der: Vec<u8> = prefix
            .map(|at| u8::from_str_radix(&PREFIX[at..at + 2], 16).unwrap())
            .collect();
        der.extend_from_slice(self.pair.public_key().as_ref());
        let body = BASE64_STANDARD.encode(der);
        let (first, rest) = body.split_at(64);
        format!("-----BEGIN PUBLIC KEY-----\n{first}\n{rest}\n-----END PUBLIC KEY-----\n")
    }

    fn sign(&self, signed: &str) -> Vec<u8> {
        self.pair
            .sign(&SystemRandom::new(), signed.as_bytes())
            .unwrap()
            .as_ref()
            .to_vec()
    }
}

impl Issuer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self::on(listener, url)
    }

    /// One that is reached through a proxy, whose address is its URL.
    pub async fn behind_faults() -> (Self, Faults) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let faults = Faults::before(&listener.local_addr().unwrap().to_string()).await;
        (Self::on(listener, faults.endpoint()), faults)
    }

    fn on(listener: TcpListener, url: String) -> Self {
        let state = Arc::new(Mutex::new(State {
            url: url.clone(),
            key: SigningKey::new("key-1".to_owned()),
            trouble: None,
            seen: Vec::new(),
            active: HashMap::new(),
            credentials: HashMap::new(),
            metadata: None,
            set: None,
            presented: Vec::new(),
        }));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route(
                "/.well-known/oauth-authorization-server",
                get(oauth_metadata),
            )
            .route("/keys", get(keys))
            .route("/introspect", post(introspect))
            .route("/api/auth/get_credentials", get(credentials))
            .route("/alb/{kid}", get(alb_key))
            .with_state(Arc::clone(&state));
        serve(listener, router);
        Self { url, state }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What it writes for a subject, for an audience: valid for an hour.
    pub fn claims(&self, subject: &str, audience: &str) -> Claims {
        super::claims(subject)
            .with("iss", self.url.as_str())
            .with("aud", audience)
    }

    /// The token of these claims, signed with its key. `alg` and `kid` are set unless the header says otherwise.
    pub fn sign(&self, claims: &Claims) -> String {
        let state = self.state();
        let key = &state.key;
        let mut header = json!({ "alg": "ES256", "kid": key.id, "typ": "JWT" });
        for (member, value) in claims.header.as_object().unwrap() {
            if member != "alg" && member != "typ" {
                header[member] = value.clone();
            }
        }
        let signed = [header.to_string(), claims.payload.to_string()]
            .map(|part| BASE64_URL_SAFE_NO_PAD.encode(part))
            .join(".");
        format!(
            "{signed}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(key.sign(&signed))
        )
    }

    /// A user as a load balancer signs it: padded, with the issuer and the client in the header.
    pub fn sign_alb(&self, header: &Value, payload: &Value) -> String {
        let state = self.state();
        let key = &state.key;
        let mut whole = json!({ "typ": "JWT", "kid": key.id, "alg": "ES256", "iss": state.url });
        for (member, value) in header.as_object().unwrap() {
            whole[member] = value.clone();
        }
        let signed = [whole.to_string(), payload.to_string()]
            .map(|part| BASE64_URL_SAFE.encode(part))
            .join(".");
        format!("{signed}.{}", BASE64_URL_SAFE.encode(key.sign(&signed)))
    }

    /// Publishes other metadata than its own.
    pub fn publish_metadata(&self, metadata: Value) {
        self.state().metadata = Some(metadata);
    }

    /// Publishes another key set than its own.
    pub fn publish_keys(&self, set: Value) {
        self.state().set = Some(set);
    }

    /// Falls into trouble, or recovers.
    pub fn trouble(&self, trouble: Option<Trouble>) {
        self.state().trouble = trouble;
    }

    /// How many requests came for a path.
    pub fn count(&self, path: &str) -> usize {
        self.state()
            .seen
            .iter()
            .filter(|seen| *seen == path)
            .count()
    }

    /// The bearer tokens that were presented to it.
    pub fn presented(&self) -> Vec<String> {
        self.state().presented.clone()
    }

    /// Makes a token known: this is what introspection says of it.
    pub fn activate(&self, token: &str, answer: Value) {
        self.state().active.insert(token.to_owned(), answer);
    }

    /// Revokes a token.
    pub fn revoke(&self, token: &str) {
        let mut state = self.state();
        state.active.remove(token);
        state.credentials.remove(token);
    }

    /// Lets the registry give these credentials for a token; without any, it forbids.
    pub fn give(&self, token: &str, credentials: Option<Value>) {
        self.state()
            .credentials
            .insert(token.to_owned(), credentials);
    }
}

type Shared = extract::State<Arc<Mutex<State>>>;

fn respond(status: u16, content_type: &str, body: impl Into<Body>) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .body(body.into())
        .unwrap()
}

fn json_answer(status: u16, body: &Value) -> Response<Body> {
    respond(status, "application/json", body.to_string())
}

/// Notes a request. What its trouble makes of it, if there is any.
async fn arrive(state: &Arc<Mutex<State>>, path: &str) -> Option<Response<Body>> {
    let trouble = {
        let mut state = state.lock().unwrap();
        state.seen.push(path.to_owned());
        state.trouble
    };
    match trouble? {
        Trouble::Down => Some(respond(503, "text/plain", "down")),
        Trouble::Hang => std::future::pending().await,
        Trouble::Html => Some(respond(
            200,
            "text/html",
            "<html><body>Sign in</body></html>",
        )),
        Trouble::Huge => Some(respond(200, "application/json", vec![b' '; 8_000_000])),
        Trouble::Redirect => {
            let answer = Response::builder().status(302).header("location", "/keys");
            Some(answer.body(Body::empty()).unwrap())
        }
    }
}

async fn metadata(extract::State(state): Shared) -> Response<Body> {
    if let Some(answer) = arrive(&state, "/.well-known/openid-configuration").await {
        return answer;
    }
    let state = state.lock().unwrap();
    let own = json!({ "issuer": state.url, "jwks_uri": format!("{}/keys", state.url) });
    match &state.metadata {
        // As an authorization server that knows nothing of OpenID.
        Some(Value::Null) => respond(404, "text/plain", "nothing here"),
        Some(other) => json_answer(200, other),
        None => json_answer(200, &own),
    }
}

async fn oauth_metadata(extract::State(state): Shared) -> Response<Body> {
    if let Some(answer) = arrive(&state, "/.well-known/oauth-authorization-server").await {
        return answer;
    }
    let state = state.lock().unwrap();
    json_answer(
        200,
        &json!({ "issuer": state.url, "jwks_uri": format!("{}/keys", state.url) }),
    )
}

async fn keys(extract::State(state): Shared) -> Response<Body> {
    if let Some(answer) = arrive(&state, "/keys").await {
        return answer;
    }
    let state = state.lock().unwrap();
    let own = json!({ "keys": [state.key.jwk()] });
    json_answer(200, state.set.as_ref().unwrap_or(&own))
}

async fn introspect(
    extract::State(state): Shared,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    if let Some(answer) = arrive(&state, "/introspect").await {
        return answer;
    }
    let encode =
        |part: &str| url::form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>();
    let client = BASE64_STANDARD.encode(format!("{}:{}", encode(CLIENT.0), encode(CLIENT.1)));
    if headers
        .get("authorization")
        .is_none_or(|value| *value != *format!("Basic {client}"))
    {
        return json_answer(401, &json!({ "error": "invalid_client" }));
    }
    let form: HashMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    let state = state.lock().unwrap();
    let known = form.get("token").and_then(|token| state.active.get(token));
    json_answer(200, known.unwrap_or(&json!({ "active": false })))
}

async fn credentials(extract::State(state): Shared, headers: HeaderMap) -> Response<Body> {
    if let Some(answer) = arrive(&state, "/api/auth/get_credentials").await {
        return answer;
    }
    let mut state = state.lock().unwrap();
    let token = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .unwrap_or_default()
        .to_owned();
    state.presented.push(token.clone());
    // As the server in front of it, which reads 8 KB of a header.
    if token.len() > 8_000 {
        return respond(400, "text/html", "Request Header Or Cookie Too Large");
    }
    match state.credentials.get(&token) {
        None => json_answer(401, &json!({ "message": "Unauthorized" })),
        Some(None) => json_answer(403, &json!({ "message": "Forbidden" })),
        Some(Some(credentials)) => json_answer(200, credentials),
    }
}

async fn alb_key(extract::State(state): Shared, Path(kid): Path<String>) -> Response<Body> {
    if let Some(answer) = arrive(&state, "/alb").await {
        return answer;
    }
    let state = state.lock().unwrap();
    if state.key.id == kid {
        respond(200, "text/plain", state.key.pem())
    } else {
        respond(404, "text/plain", "nothing here")
    }
}
