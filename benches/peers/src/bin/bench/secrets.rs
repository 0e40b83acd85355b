//! A Secrets Manager as the wire shows it: one secret, its current version, signed requests only. It counts who
//! connects, so that a start can be shown to be quiet.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
    serve::ListenerExt,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{Result, program::SIGNING_SECRET};

pub(crate) const ARN: &str =
    "arn:aws:secretsmanager:us-east-1:111122223333:secret:bench-signing-AbCdEf";

pub(crate) struct SecretsManager {
    pub(crate) url: String,
    connections: Arc<AtomicUsize>,
    _server: JoinSet<std::io::Result<()>>,
}

impl SecretsManager {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let listener = listener.tap_io(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let mut server = JoinSet::new();
        server.spawn(async { axum::serve(listener, Router::new().route("/", post(answer))).await });
        Ok(Self {
            url,
            connections,
            _server: server,
        })
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn answer(headers: HeaderMap, body: String) -> Response {
    let header = |name| {
        let value = headers.get(name).map(|value| value.to_str());
        value.and_then(std::result::Result::ok).unwrap_or_default()
    };
    if !header("authorization").starts_with("AWS4-HMAC-SHA256 Credential=test/") {
        return refuse("UnrecognizedClientException");
    }
    if header("x-amz-target") != "secretsmanager.GetSecretValue" {
        return refuse("InvalidRequestException");
    }
    let asked: Value = serde_json::from_str(&body).unwrap_or_default();
    if asked["SecretId"] != ARN || asked["VersionStage"] != "AWSCURRENT" {
        return refuse("ResourceNotFoundException");
    }
    let secret = json!({
        "ARN": ARN,
        "Name": "bench-signing",
        "SecretString": SIGNING_SECRET,
        "VersionStages": ["AWSCURRENT"],
    });
    respond(StatusCode::OK, &secret)
}

fn refuse(kind: &str) -> Response {
    respond(
        StatusCode::BAD_REQUEST,
        &json!({ "__type": kind, "message": "refused" }),
    )
}

fn respond(status: StatusCode, body: &Value) -> Response {
    let kind = [("content-type", "application/x-amz-json-1.1")];
    (status, kind, body.to_string()).into_response()
}
