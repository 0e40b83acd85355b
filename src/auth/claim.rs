//! The types of single claims, each of which reads itself and refuses what it cannot be.
//!
//! Owns names, times, audiences and session tags. In comes JSON; out go values that need no further check of their form.
//! Source: RFC 7519, section 4.1; STS API reference, "Tag".

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

use crate::clock::UnixSeconds;

/// A tag of an STS session: STS API reference, "Tag".
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionTag {
    /// 1 to 128 characters.
    pub key: String,
    /// 0 to 256 characters.
    pub value: String,
}

/// `[\p{L}\p{Z}\p{N}_.:/=+\-@]`
pub(super) fn is_tag_character(character: char) -> bool {
    character.is_alphanumeric() || character == ' ' || "_.:/=+-@".contains(character)
}

/// Whether a text can be the name of somebody or something: 1 to 256 printable characters.
pub(super) fn is_name(text: &str) -> bool {
    (1..=256).contains(&text.chars().take(257).count()) && text.chars().all(is_printable)
}

/// Shown in logs and to models, so: no controls, nothing invisible, nothing that turns the text around.
fn is_printable(character: char) -> bool {
    let invisible = matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}');
    !character.is_control() && !invisible && (character == ' ' || !character.is_whitespace())
}

/// Seconds since the epoch, in range: finite, 0 <= t < 2^40. RFC 7519, section 2.
#[derive(Clone, Copy)]
pub(super) struct NumericDate(pub(super) f64);

impl NumericDate {
    /// `None` if it is out of range.
    pub(super) fn new(seconds: f64) -> Option<Self> {
        const END: f64 = 1_099_511_627_776.0;
        (0.0..END).contains(&seconds).then_some(Self(seconds))
    }

    #[expect(clippy::cast_precision_loss, reason = "a time of ours, far below 2^52")]
    pub(super) fn of(seconds: UnixSeconds) -> Self {
        Self(seconds as f64)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 <= t < 2^40"
    )]
    pub(super) fn floor(self) -> UnixSeconds {
        self.0.floor() as UnixSeconds
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 <= t < 2^40"
    )]
    pub(super) fn ceil(self) -> UnixSeconds {
        self.0.ceil() as UnixSeconds
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(f64::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("out of range"))
    }
}

/// `aud`: a string, or an array of strings only.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    pub(super) fn holds(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

/// `session_tags`: `{"k":"v"}` or `[{"Key":"k","Value":"v"}]`.
pub(super) struct Tags(pub(super) Vec<SessionTag>);

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TagsVisitor;
        impl<'de> Visitor<'de> for TagsVisitor {
            type Value = Tags;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("tags")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tags, A::Error> {
                let mut tags = Vec::new();
                while let Some((key, value)) = map.next_entry()? {
                    tags.push(SessionTag { key, value });
                }
                Ok(Tags(tags))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tags, A::Error> {
                let mut tags = Vec::new();
                // A struct would also be read from a list: `["k","v"]`.
                while let Some(mut tag) = seq.next_element::<BTreeMap<String, String>>()? {
                    let mut take =
                        |name: &str, or: &str| tag.remove(name).or_else(|| tag.remove(or));
                    match (take("Key", "key"), take("Value", "value")) {
                        (Some(key), Some(value)) if tag.is_empty() => {
                            tags.push(SessionTag { key, value });
                        }
                        _ => return Err(A::Error::custom("a tag is a Key and a Value")),
                    }
                }
                Ok(Tags(tags))
            }
        }
        deserializer.deserialize_any(TagsVisitor)
    }
}

/// A time in range, in whole seconds; `None` if it is out of range.
pub(super) fn unix_seconds(seconds: f64) -> Option<UnixSeconds> {
    NumericDate::new(seconds).map(NumericDate::floor)
}
