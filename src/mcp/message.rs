//! From a body to messages: JSON-RPC 2.0, classified by protocol era.
//!
//! Owns [`Incoming`], [`Message`] and [`Id`]. In come bytes and the headers that mirror them; out go messages whose
//! parameters are still the caller's bytes, or the first thing that is wrong. The body decides, headers must agree.

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{
    Refusal, Registry, RpcError,
    envelope::{self, Era, Wire},
};
use crate::json::{self, Fault};

/// The most messages of a batch.
const MAX_BATCH: usize = 64;
/// The longest id, in bytes: every answer repeats it, an error that says that an answer is too large as well.
const MAX_ID_BYTES: usize = 1_024;

/// What a body holds.
#[derive(Debug)]
pub enum Incoming {
    /// One message.
    One(Message),
    /// A batch, as revision 2025-03-26 had them; each message is good or bad by itself.
    Batch(Vec<Result<Message, Refusal>>),
}

/// One message and the era it speaks.
#[derive(Debug)]
pub struct Message {
    pub(super) era: Era,
    pub(super) kind: Kind,
}

/// JSON-RPC's kinds of message.
#[derive(Debug)]
pub(super) enum Kind {
    /// Wants an answer.
    Request {
        /// Which the answer repeats.
        id: Id,
        method: String,
        /// An object.
        params: Option<Bytes>,
    },
    /// Wants none.
    Notification {
        method: String,
        params: Option<Bytes>,
    },
    /// An answer to something that we never ask: accepted and dropped.
    Response,
}

/// A request's id as it came: a string or a whole number of any size.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Id(Bytes);

impl Id {
    /// The id's JSON.
    pub fn as_str(&self) -> &str {
        // Made from a `RawValue`, which is text.
        std::str::from_utf8(&self.0).unwrap_or("null")
    }

    /// The id of a message on the wire, if this can be one.
    pub(super) fn read(body: &Bytes, raw: &RawValue) -> Option<Self> {
        let text = raw.get();
        let is_string = text.starts_with('"');
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        (text.len() <= MAX_ID_BYTES && (is_string || is_integer)).then(|| Self(slice(body, text)))
    }
}

impl Message {
    /// The id of a request.
    pub(super) fn id(&self) -> Option<&Id> {
        match &self.kind {
            Kind::Request { id, .. } => Some(id),
            _ => None,
        }
    }

    /// The token of a request that asks for progress, as it came.
    pub fn progress_token(&self) -> Option<Id> {
        match &self.kind {
            Kind::Request {
                method,
                params: Some(params),
                ..
            } if method == "tools/call" => envelope::progress_token(params),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// Tells `null` from an absent member.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a body.
pub(super) fn receive(
    wire: Wire<'_>,
    body: &Bytes,
    registry: &Registry,
) -> Result<Incoming, Refusal> {
    json::check(body).map_err(|fault| {
        let message = format!("The body is {}.", describe(&fault));
        Refusal::nameless(match fault {
            Fault::Syntax { .. } => RpcError::parse(message),
            Fault::TooDeep | Fault::Duplicate { .. } => RpcError::invalid_request(message),
        })
    })?;
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => one(wire, body, body, registry).map(Incoming::One),
        Some(b'[') => batch(wire, body, registry).map(Incoming::Batch),
        _ => Err(Refusal::nameless(RpcError::invalid_request(
            "The body is not a JSON-RPC message.",
        ))),
    }
}

fn describe(fault: &Fault) -> String {
    match fault {
        Fault::Duplicate { .. } => format!("ambiguous: {fault}"),
        Fault::Syntax { .. } | Fault::TooDeep => fault.to_string(),
    }
}

fn batch(
    wire: Wire<'_>,
    body: &Bytes,
    registry: &Registry,
) -> Result<Vec<Result<Message, Refusal>>, Refusal> {
    let refuse = |message: &'static str| Err(Refusal::nameless(RpcError::invalid_request(message)));
    if !wire.allows_batches() {
        return refuse("Batches exist in protocol revision 2025-03-26 only.");
    }
    let Ok(elements) = serde_json::from_slice::<Vec<&RawValue>>(body) else {
        return refuse("The body is not a JSON-RPC batch.");
    };
    if elements.is_empty() {
        return refuse("The batch is empty.");
    }
    if elements.len() > MAX_BATCH {
        return refuse("The batch holds more than 64 messages.");
    }
    // Judged by what their senders mean, before any of them is found faulty.
    if elements.iter().any(|element| means_modern(body, element)) {
        return refuse("A batch cannot hold messages of protocol revision 2026-07-28.");
    }
    let messages: Vec<_> = elements
        .into_iter()
        .map(|element| one(Wire::Batch, body, element.get().as_bytes(), registry))
        .collect();
    if messages.iter().flatten().any(
        |message| matches!(&message.kind, Kind::Request { method, .. } if method == "initialize"),
    ) {
        return refuse("`initialize` cannot be part of a batch.");
    }
    Ok(messages)
}

/// Whether a message carries a modern envelope, however faulty.
fn means_modern(body: &Bytes, element: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Parameters<'a> {
        #[serde(borrow)]
        params: Option<&'a RawValue>,
    }
    let Ok(Parameters {
        params: Some(params),
    }) = serde_json::from_str(element.get())
    else {
        return false;
    };
    envelope::era_of_notification(Some(&slice(body, params.get()))) == Era::Modern
}

/// Reads one message, whose text is all of `body` or a part of it.
fn one(wire: Wire<'_>, body: &Bytes, text: &[u8], registry: &Registry) -> Result<Message, Refusal> {
    let nameless = |message: &'static str| Refusal::nameless(RpcError::invalid_request(message));
    let members: Members<'_> = Some(text)
        .filter(|text| json::is_object(text))
        .and_then(|text| serde_json::from_slice(text).ok())
        .ok_or_else(|| nameless("A JSON-RPC message is an object."))?;
    let id = match members.id {
        None => None,
        Some(raw) => Some(Id::read(body, raw).ok_or_else(|| {
            nameless(
                "`id` must be a string or a whole number of at most 1,024 bytes (and absent in a notification).",
            )
        })?),
    };
    let refuse = |error: RpcError| Refusal {
        id: id.clone(),
        error,
    };
    if members.jsonrpc.map(RawValue::get) != Some(r#""2.0""#) {
        return Err(refuse(RpcError::invalid_request(
            "`jsonrpc` must be \"2.0\".",
        )));
    }
    let Some(method) = members.method else {
        let is_response =
            members.id.is_some() && (members.result.is_some() != members.error.is_some());
        return if is_response {
            Ok(Message {
                era: Era::Legacy,
                kind: Kind::Response,
            })
        } else {
            Err(refuse(RpcError::invalid_request("`method` is missing.")))
        };
    };
    let method: String = serde_json::from_str(method.get())
        .map_err(|_| refuse(RpcError::invalid_request("`method` must be a string.")))?;
    let params = match members.params.map(RawValue::get) {
        None | Some("null") => None,
        Some(object) if object.starts_with('{') => Some(slice(body, object)),
        Some(_) => {
            return Err(refuse(RpcError::invalid_request(
                "`params` must be an object.",
            )));
        }
    };
    match id {
        None => {
            let era = envelope::era_of_notification(params.as_ref());
            Ok(Message {
                era,
                kind: Kind::Notification { method, params },
            })
        }
        Some(id) => match envelope::era(wire, &method, params.as_ref(), registry) {
            Ok(era) => Ok(Message {
                era,
                kind: Kind::Request { id, method, params },
            }),
            Err(error) => Err(Refusal {
                id: Some(id),
                error,
            }),
        },
    }
}

/// The part of `body` that `text`, which lies in it, covers.
fn slice(body: &Bytes, text: &str) -> Bytes {
    body.slice_ref(text.as_bytes())
}
