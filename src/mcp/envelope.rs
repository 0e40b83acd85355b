//! Which protocol revision a message speaks, and whether its headers say what its body says.
//!
//! Owns the revisions we speak, [`Era`], and the checks of the modern envelope (`params._meta`) against the headers
//! that mirror it. In come a method, its parameters and the [`Wire`]; out goes an era, or the error the specification
//! asks for. Source: revision 2026-07-28, "Base Protocol" and "Streamable HTTP"; SEP-2243, SEP-2575.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{Id, Registry, RpcError};
use crate::json;

/// The stateless revision.
pub const MODERN_VERSION: &str = "2026-07-28";
/// The revisions with a handshake, the newest first.
pub const LEGACY_VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// The one revision that has batches, which is also meant when no header names one.
const BATCH_VERSION: &str = "2025-03-26";

const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";

/// The two eras of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// 2024-11-05 to 2025-11-25: a handshake first.
    Legacy,
    /// 2026-07-28: each request stands for itself.
    Modern,
}

/// How a message came, as far as the protocol cares.
#[derive(Debug, Clone, Copy)]
pub enum Wire<'a> {
    /// Over HTTP, with these headers.
    Http(&'a HeaderMap),
    /// As an element of a batch over HTTP or stdio: no header speaks of it.
    Batch,
    /// On a line: there are no headers.
    Stdio,
}

impl Wire<'_> {
    pub(super) fn allows_batches(self) -> bool {
        match self {
            Self::Http(headers) => headers
                .get("mcp-protocol-version")
                .is_none_or(|version| version.as_bytes() == BATCH_VERSION.as_bytes()),
            Self::Stdio => true,
            Self::Batch => false,
        }
    }
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    uri: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<&'a RawValue>,
    #[serde(borrow, rename = "io.modelcontextprotocol/clientCapabilities")]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow, rename = "io.modelcontextprotocol/clientInfo")]
    client: Option<&'a RawValue>,
    #[serde(borrow, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
}

/// The envelope of a request's parameters.
struct Envelope<'a> {
    params: Option<Params<'a>>,
    meta: Meta<'a>,
}

impl<'a> Envelope<'a> {
    fn read(params: Option<&'a Bytes>) -> Result<Self, RpcError> {
        let Some(bytes) = params else {
            return Ok(Self {
                params: None,
                meta: Meta::default(),
            });
        };
        let params: Params<'a> = serde_json::from_slice(bytes)
            .map_err(|_| RpcError::invalid_request("`params` must be an object."))?;
        let meta = match params.meta {
            None => Meta::default(),
            Some(meta) => Some(meta.get())
                .filter(|meta| json::is_object(meta.as_bytes()))
                .and_then(|meta| serde_json::from_str(meta).ok())
                .ok_or_else(|| RpcError::envelope("`params._meta` must be an object."))?,
        };
        Ok(Self {
            params: Some(params),
            meta,
        })
    }

    /// Whether the sender means the modern protocol, however incompletely.
    fn is_modern(&self) -> bool {
        self.meta.version.is_some()
            || self.meta.capabilities.is_some()
            || self.meta.client.is_some()
    }
}

/// The era of a request, if its envelope and its headers are in order.
pub(super) fn era(
    wire: Wire<'_>,
    method: &str,
    params: Option<&Bytes>,
    registry: &Registry,
) -> Result<Era, RpcError> {
    let envelope = Envelope::read(params)?;
    if envelope.is_modern() {
        modern(wire, method, &envelope, params, registry)?;
        return Ok(Era::Modern);
    }
    if method == "initialize" {
        return Ok(Era::Legacy);
    }
    match wire {
        Wire::Http(headers) => match header(headers, "mcp-protocol-version")? {
            None => {}
            Some(version) if LEGACY_VERSIONS.contains(&version) => {}
            Some(MODERN_VERSION) => return Err(missing(&envelope.meta)),
            Some(unknown) => return Err(RpcError::unsupported_version(unknown)),
        },
        Wire::Batch | Wire::Stdio => {}
    }
    // The one method that only the modern protocol has says what its sender speaks.
    if method == "server/discover" {
        Err(missing(&envelope.meta))
    } else {
        Ok(Era::Legacy)
    }
}

/// The era of a notification, of which nothing else is asked.
pub(super) fn era_of_notification(params: Option<&Bytes>) -> Era {
    match Envelope::read(params) {
        Ok(envelope) if envelope.is_modern() => Era::Modern,
        _ => Era::Legacy,
    }
}

fn missing(meta: &Meta<'_>) -> RpcError {
    let keys = [
        (VERSION_KEY, meta.version.is_none()),
        (CAPABILITIES_KEY, meta.capabilities.is_none()),
    ];
    let missing: Vec<&str> = keys
        .into_iter()
        .filter_map(|(key, missing)| missing.then_some(key))
        .collect();
    RpcError::envelope(format!(
        "`params._meta` must hold {}.",
        missing.join(" and ")
    ))
}

fn modern(
    wire: Wire<'_>,
    method: &str,
    envelope: &Envelope<'_>,
    params: Option<&Bytes>,
    registry: &Registry,
) -> Result<(), RpcError> {
    let meta = &envelope.meta;
    let (Some(version), Some(capabilities)) = (meta.version, meta.capabilities) else {
        return Err(missing(meta));
    };
    let version: Cow<'_, str> = text(version).ok_or_else(|| {
        RpcError::envelope(format!(
            "`params._meta[\"{VERSION_KEY}\"]` must be a string."
        ))
    })?;
    if !capabilities.get().starts_with('{') {
        return Err(RpcError::envelope(format!(
            "`params._meta[\"{CAPABILITIES_KEY}\"]` must be an object."
        )));
    }
    if let Wire::Http(headers) = wire {
        agree(headers, "mcp-protocol-version", Some(&version))?;
        agree(headers, "mcp-method", Some(method))?;
        let member = envelope.params.as_ref().and_then(|params| match method {
            "tools/call" | "prompts/get" => params.name,
            "resources/read" => params.uri,
            _ => None,
        });
        let name = member.and_then(text);
        // A name that is missing or no string is the method's own concern.
        if name.is_some() {
            agree(headers, "mcp-name", name.as_deref())?;
        }
        if version == MODERN_VERSION && method == "tools/call" {
            registry.check_param_headers(headers, name.as_deref().unwrap_or_default(), params)?;
        }
    }
    if version == MODERN_VERSION {
        Ok(())
    } else {
        Err(RpcError::unsupported_version(&version))
    }
}

/// A string's value.
fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let json = raw.get();
    match json
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(plain) if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
        Some(_) => serde_json::from_str(json).ok().map(Cow::Owned),
        None => None,
    }
}

/// The one value of a header, trimmed.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, RpcError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (value.to_str(), values.next()) {
        (Ok(value), None) => Ok(Some(value.trim())),
        _ => Err(RpcError::header_mismatch(format!(
            "The header {name} must come once, in ASCII."
        ))),
    }
}

/// Checks that a header says what the body says, or that both say nothing.
pub(super) fn agree(headers: &HeaderMap, name: &str, body: Option<&str>) -> Result<(), RpcError> {
    let value = header(headers, name)?.map(decoded).transpose();
    match (value, body) {
        (Ok(None), None) => Ok(()),
        (Ok(Some(value)), Some(body)) if value == body => Ok(()),
        (Ok(None), Some(_)) => Err(RpcError::header_mismatch(format!(
            "The header {name} is missing."
        ))),
        _ => Err(RpcError::header_mismatch(format!(
            "The header {name} does not say what the body says."
        ))),
    }
}

/// A header's value, `=?base64?…?=` decoded (SEP-2243).
fn decoded(value: &str) -> Result<Cow<'_, str>, ()> {
    match value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="))
    {
        None => Ok(Cow::Borrowed(value)),
        Some(encoded) => {
            let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| ())?;
            String::from_utf8(bytes).map(Cow::Owned).map_err(|_| ())
        }
    }
}

/// The revision that a handshake settles on: the one asked for, if we speak it, else our newest of that era.
pub(super) fn negotiate(params: Option<&Bytes>) -> Result<&'static str, RpcError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Handshake<'a> {
        #[serde(borrow)]
        protocol_version: Cow<'a, str>,
    }
    let params = params.map_or(&b"{}"[..], |params| params);
    let asked: Handshake<'_> = serde_json::from_slice(params)
        .map_err(|_| RpcError::invalid_params("`params.protocolVersion` must be a string."))?;
    let known = LEGACY_VERSIONS
        .into_iter()
        .find(|known| *known == asked.protocol_version);
    Ok(known.unwrap_or(LEGACY_VERSIONS[0]))
}

/// The progress token of a request's parameters: a string or a whole number, as it came.
pub(super) fn progress_token(params: &Bytes) -> Option<Id> {
    let envelope = Envelope::read(Some(params)).ok()?;
    let token = envelope.meta.progress_token?;
    Id::read(params, token)
}

/// Whether a request's envelope declares these client capabilities, and what is in them.
pub(super) fn declares(params: &Bytes, required: &Value) -> bool {
    fn covers(declared: &Value, required: &Value) -> bool {
        let Some(required) = required.as_object() else {
            return declared == required;
        };
        required.iter().all(|(name, required)| {
            declared
                .get(name)
                .is_some_and(|declared| covers(declared, required))
        })
    }
    let envelope = Envelope::read(Some(params)).ok();
    let declared = envelope.and_then(|envelope| envelope.meta.capabilities);
    let declared = declared.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
    declared.is_some_and(|declared| covers(&declared, required))
}
