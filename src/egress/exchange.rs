//! One request and its answer, over a connection of their own.
//!
//! Owns the HTTP/1.1 side: the request's head, and the bounds on what comes back. In come a stream and a [`Fetch`]; out
//! goes a [`Fetched`]. Redirects are answers. An encoding is not undone: none is accepted.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, header};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{EgressError, Fetch, Fetched};

/// The largest head of an answer, in bytes; trailers have as much.
const MAX_HEAD: usize = 32 * 1_024;
/// The most headers of an answer.
const MAX_HEADERS: usize = 100;
const USER_AGENT: &str = concat!("rolecall/", env!("CARGO_PKG_VERSION"));

/// Sends the request and reads the answer.
pub(super) async fn exchange<S>(stream: S, request: &Fetch) -> Result<Fetched, EgressError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_header_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    let message = message(request)?;
    let mut connection = pin!(connection);
    let mut answer = pin!(async {
        let answer = sender.send_request(message).await;
        read(answer.map_err(|error| broken(&error))?, request.max_bytes).await
    });
    // The connection lives in this future, and ends with it.
    tokio::select! {
        read = &mut answer => read,
        // It has handed over all it had, or why there is nothing.
        _ = &mut connection => answer.await,
    }
}

fn message(fetch: &Fetch) -> Result<Request<Full<Bytes>>, EgressError> {
    let url = fetch.url.url();
    let mut target = url.path().to_owned();
    if let Some(query) = url.query() {
        target.push('?');
        target.push_str(query);
    }
    let host = match (url.host_str().unwrap_or_default(), url.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    };
    let (method, body) = match &fetch.form {
        Some(form) => (
            Method::POST,
            Bytes::copy_from_slice(form.expose_secret().as_bytes()),
        ),
        None => (Method::GET, Bytes::new()),
    };
    let mut message = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "application/json")
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::CONNECTION, "close")
        .body(Full::new(body))
        .map_err(|_| EgressError::Forbidden("HTTP cannot carry such a URL"))?;
    let headers = message.headers_mut();
    if fetch.form.is_some() {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form);
    }
    if let Some(authorization) = &fetch.authorization {
        headers.insert(header::AUTHORIZATION, secret_value(authorization)?);
    }
    Ok(message)
}

fn secret_value(secret: &SecretString) -> Result<HeaderValue, EgressError> {
    let mut value = HeaderValue::from_str(secret.expose_secret())
        .map_err(|_| EgressError::Forbidden("HTTP cannot carry such an authorization"))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn read(
    answer: http::Response<hyper::body::Incoming>,
    max_bytes: usize,
) -> Result<Fetched, EgressError> {
    let (head, mut body) = answer.into_parts();
    let announced = body.size_hint().lower();
    if usize::try_from(announced).map_or(true, |announced| announced > max_bytes) {
        return Err(EgressError::TooLarge);
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if data.len() > max_bytes - whole.len() {
            return Err(EgressError::TooLarge);
        }
        whole.extend_from_slice(&data);
    }
    Ok(Fetched {
        status: head.status,
        body: whole.freeze(),
    })
}

fn broken(error: &hyper::Error) -> EgressError {
    if error.is_parse_too_large() {
        EgressError::TooLarge
    } else {
        EgressError::Broken
    }
}
