//! Strict JSON: `json::check` accepts what `serde_json` accepts, less what is too deep or names a member twice.
#![no_main]

use std::fmt;

use libfuzzer_sys::fuzz_target;
use rolecall::json::{self, Fault, MAX_DEPTH};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

fuzz_target!(|document: &[u8]| {
    let value: Option<Value> = lenient(document);
    let members: Option<Members> = lenient(document);
    match json::check(document) {
        Ok(()) => {
            let value = value.expect("what is accepted is JSON");
            assert!(depth(&value) <= MAX_DEPTH);
            assert_eq!(members.expect("JSON").0, count(&value), "a member twice");
            let again = serde_json::to_vec(&value).expect("a value can be written");
            assert_eq!(json::check(&again), Ok(()), "written again, it is accepted");
        }
        Err(Fault::Syntax { .. }) => assert!(value.is_none(), "refused, and JSON"),
        Err(Fault::Duplicate { .. }) => {
            // Where the rest is JSON as well, a member was lost by reading it.
            if let (Some(value), Some(members)) = (value, members) {
                assert!(members.0 > count(&value), "refused, and no member twice");
            }
        }
        Err(Fault::TooDeep) => {
            if let Some(value) = value {
                assert!(members.expect("JSON").0 > count(&value) || depth(&value) > MAX_DEPTH);
            }
        }
    }
});

fn lenient<'de, T: Deserialize<'de>>(document: &'de [u8]) -> Option<T> {
    // Deeper than this, the comparison itself would overflow the stack.
    if document.iter().filter(|byte| b"[{".contains(byte)).count() > 2_000 {
        return None;
    }
    let mut reader = serde_json::Deserializer::from_slice(document);
    reader.disable_recursion_limit();
    let value = T::deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(value)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.len() + members.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// How many members there are in all objects of a document, repeated ones counted each time.
struct Members(usize);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Counter)
    }
}

struct Counter;

impl<'de> Visitor<'de> for Counter {
    type Value = Members;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Members, E> {
        Ok(Members(0))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Members, E> {
        Ok(Members(0))
    }
    fn visit_u64<E>(self, _: u64) -> Result<Members, E> {
        Ok(Members(0))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Members, E> {
        Ok(Members(0))
    }
    fn visit_str<E>(self, _: &str) -> Result<Members, E> {
        Ok(Members(0))
    }
    fn visit_unit<E>(self) -> Result<Members, E> {
        Ok(Members(0))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Members, A::Error> {
        let mut all = 0;
        while let Some(Members(below)) = seq.next_element()? {
            all += below;
        }
        Ok(Members(all))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut all = 0;
        while let Some((_, Members(below))) = map.next_entry::<String, Members>()? {
            all += 1 + below;
        }
        Ok(Members(all))
    }
}
