//! From JSON text to typed sections, with every mistake found and none of the values repeated.
//!
//! Owns [`Mistakes`]. In come a document and the environment; out goes a typed value, or all that is wrong with the
//! document: a mistake found is noted, the offending member is taken out, and reading goes on without it.

use std::fmt::{self, Write};

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::json;

/// Everything wrong with a configuration. `Display` gives a line for each.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

/// One mistake: where, and what. The offending value is never part of it: it could be a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Such as `auth.issuers[0].hs256`; empty for the document as a whole.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Mistakes {
    /// Notes a mistake at `path`, unless one is already known there or above: the first is the cause of the rest.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        let path = path.into();
        if !self.cover(&path) {
            self.0.push(Mistake {
                path,
                message: message.into(),
            });
        }
    }

    /// Whether a mistake is known at `path` or above.
    pub(super) fn cover(&self, path: &str) -> bool {
        self.0.iter().any(|known| {
            path.strip_prefix(&known.path)
                .is_some_and(|below| below.is_empty() || below.starts_with(['.', '[']))
        })
    }

    /// Takes those of `others` too.
    pub(super) fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    /// One mistake about the document as a whole.
    pub fn whole(message: impl Into<String>) -> Self {
        Self(vec![Mistake {
            path: String::new(),
            message: message.into(),
        }])
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them, in the order found.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            let path = if mistake.path.is_empty() {
                "configuration"
            } else {
                &mistake.path
            };
            write!(formatter, "{separator}{path}: {}", mistake.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Looks a variable of the process up: `None` if it is unset or not UTF-8.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads `text` into `T`, which must be readable from `{}`. What could not be read is noted and left at its default.
pub(super) fn read<T: DeserializeOwned>(
    text: &str,
    lookup: Lookup<'_>,
    mistakes: &mut Mistakes,
) -> Option<T> {
    if let Err(fault) = json::check(text.as_bytes()) {
        mistakes.add("", fault.to_string());
        return None;
    }
    let mut document: Value = serde_json::from_str(text).ok()?;
    if !document.is_object() {
        mistakes.add("", "expected a JSON object");
        return None;
    }
    resolve_variables(&mut document, "", lookup, mistakes);
    loop {
        match serde_path_to_error::deserialize(&document) {
            Ok(value) => return Some(value),
            Err(error) => {
                let mut segments: Vec<Segment> = error.path().iter().cloned().collect();
                let message = error.inner().to_string();
                if let Some(name) = message
                    .strip_prefix("unknown field `")
                    .and_then(|rest| rest.split('`').next())
                {
                    let named =
                        matches!(segments.last(), Some(Segment::Map { key }) if key == name);
                    if !named {
                        segments.push(Segment::Map {
                            key: name.to_owned(),
                        });
                    }
                }
                mistakes.add(path_of(&segments), without_value(&message));
                // Each round takes something out, so the loop ends; at the root there is nothing left to take.
                if !take_out(&mut document, &segments) {
                    return None;
                }
            }
        }
    }
}

/// Replaces each `{"$env":"NAME"}` by the value of the variable, and takes out what cannot be used.
fn resolve_variables(value: &mut Value, path: &str, lookup: Lookup<'_>, mistakes: &mut Mistakes) {
    let is_root = path.is_empty();
    match value {
        Value::Object(object) => {
            let names: Vec<String> = object.keys().cloned().collect();
            for name in names {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                let Some(member) = object.get_mut(&name) else {
                    continue;
                };
                // serde would read a section from a list, by the order of its fields.
                if is_root && member.is_array() {
                    mistakes.add(&path, "expected an object");
                    object.remove(&name);
                    continue;
                }
                if !usable(member, &path, lookup, mistakes) {
                    object.remove(&name);
                }
            }
        }
        Value::Array(items) => {
            // A list keeps its length, so that later mistakes name the right item; `items` passes over the gaps.
            for (index, item) in items.iter_mut().enumerate() {
                let path = format!("{path}[{index}]");
                if item.is_array() {
                    mistakes.add(path, "expected no list within a list");
                    *item = Value::Null;
                } else if !usable(item, &path, lookup, mistakes) {
                    *item = Value::Null;
                }
            }
        }
        _ => {}
    }
}

/// Resolves `value` if it is a variable, and what is inside it otherwise. `false` if it cannot be used.
fn usable(value: &mut Value, path: &str, lookup: Lookup<'_>, mistakes: &mut Mistakes) -> bool {
    if value.is_null() {
        mistakes.add(path, "must not be null: leave it out instead");
        return false;
    }
    let Some(reference) = value.get("$env") else {
        resolve_variables(value, path, lookup, mistakes);
        return true;
    };
    let resolved = match (reference, value.as_object().map(serde_json::Map::len)) {
        (Value::String(name), Some(1)) => variable(name, lookup),
        _ => Err(r#"expected {"$env":"NAME"} and nothing else beside it"#.to_owned()),
    };
    match resolved {
        Ok(text) => {
            *value = Value::String(text);
            true
        }
        Err(message) => {
            mistakes.add(path, message);
            false
        }
    }
}

fn variable(name: &str, lookup: Lookup<'_>) -> Result<String, String> {
    let well_formed = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !well_formed {
        return Err("`$env` names no variable: letters, digits and `_` only".to_owned());
    }
    if name.starts_with("AWS_") {
        return Err(format!(
            "the variable {name} belongs to AWS and cannot be used here"
        ));
    }
    match lookup(name) {
        None => Err(format!("the variable {name} is not set")),
        Some(value) if value.is_empty() => Err(format!("the variable {name} is empty")),
        Some(value) => Ok(value),
    }
}

/// Reads a list of sections, where defaults stand for those that [`read`] has taken out: later mistakes name the right one.
pub(super) fn sections<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Vec::<Option<T>>::deserialize(deserializer)?
        .into_iter()
        .map(Option::unwrap_or_default)
        .collect())
}

/// Reads a list whose unusable items [`read`] has taken out.
pub(super) fn items<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Vec::<Option<T>>::deserialize(deserializer)?
        .into_iter()
        .flatten()
        .collect())
}

fn path_of(segments: &[Segment]) -> String {
    let mut path = String::new();
    for segment in segments {
        match segment {
            Segment::Seq { index } => {
                let _ = write!(path, "[{index}]");
            }
            Segment::Map { key } => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    path
}

/// serde's messages repeat the offending value in a few known forms; keep what was expected, drop what was found.
fn without_value(message: &str) -> String {
    let repeats = [
        "invalid type: ",
        "invalid value: ",
        "invalid length ",
        "unknown variant ",
    ];
    if !repeats.iter().any(|form| message.starts_with(form)) {
        return message.to_owned();
    }
    match message.rsplit_once(", expected ") {
        // serde names Rust's types, which mean nothing to whoever wrote the document.
        Some((_, expected)) if expected.starts_with("struct ") => "expected an object".to_owned(),
        Some((_, "a sequence")) => "expected a list".to_owned(),
        Some((_, expected)) => format!("expected {expected}"),
        None => "not of the expected type".to_owned(),
    }
}

fn take_out(document: &mut Value, segments: &[Segment]) -> bool {
    let mut place = document;
    let steps: Vec<&Segment> = segments
        .iter()
        .filter(|segment| matches!(segment, Segment::Seq { .. } | Segment::Map { .. }))
        .collect();
    let Some((last, parents)) = steps.split_last() else {
        return false;
    };
    for step in parents {
        let next = match step {
            Segment::Seq { index } => place.get_mut(*index),
            Segment::Map { key } => place.get_mut(key.as_str()),
            _ => None,
        };
        match next {
            Some(next) => place = next,
            None => return false,
        }
    }
    match (last, place) {
        (Segment::Map { key }, Value::Object(object)) => object.remove(key).is_some(),
        (Segment::Seq { index }, Value::Array(items)) => match items.get_mut(*index) {
            Some(item) if !item.is_null() => {
                *item = Value::Null;
                true
            }
            _ => false,
        },
        _ => false,
    }
}
