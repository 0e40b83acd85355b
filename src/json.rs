//! Strict JSON: what every document from outside passes before anything reads it.
//!
//! Owns one rule for requests, token parts and the configuration alike: well-formed UTF-8 JSON (RFC 8259), nested at
//! most [`MAX_DEPTH`] deep, no object with the same member twice. Two readers of one document can then never
//! disagree on what it says, which is what smuggling lives on.
//! In come bytes; out goes `Ok` or the first [`Fault`]. Nothing is kept.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The deepest nesting accepted, in arrays and objects: `[[1]]` is 2 deep.
pub const MAX_DEPTH: usize = 128;

/// Below this many members a linear search over an object's names is faster than hashing them.
const LINEAR_SEARCH: usize = 12;

/// Why a document is refused. None of the messages repeats the document: it may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not JSON, or not UTF-8: RFC 8259.
    #[error("not valid JSON (line {line}, column {column})")]
    Syntax {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault in bytes, from 1.
        column: usize,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// An object names a member twice (RFC 8259, section 4 leaves the meaning open).
    #[error("an object has the same member twice (line {line}, column {column})")]
    Duplicate {
        /// Line just after the second name, from 1.
        line: usize,
        /// Column just after the second name in bytes, from 1.
        column: usize,
    },
}

/// Checks a whole document. One pass for the depth, one for syntax and member names.
pub fn check(document: &[u8]) -> Result<(), Fault> {
    if depth(document) > MAX_DEPTH {
        return Err(Fault::TooDeep);
    }
    let mut duplicate = false;
    let mut reader = serde_json::Deserializer::from_slice(document);
    // The depth is already known to be bounded; serde_json's own limit is one level tighter than ours.
    reader.disable_recursion_limit();
    let read = Unique(&mut duplicate)
        .deserialize(&mut reader)
        .and_then(|()| reader.end());
    read.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        if duplicate {
            Fault::Duplicate { line, column }
        } else {
            Fault::Syntax { line, column }
        }
    })
}

/// Whether a document, or a part of one, is an object as far as its first byte shows. A struct that serde derives reads
/// an array as well, member by member in the order of its fields: whoever means an object asks this first.
pub fn is_object(document: &[u8]) -> bool {
    document.trim_ascii_start().starts_with(b"{")
}

/// Checks a document, which must be an object, and reads it into a type: for small ones whose every member we own.
pub fn read<'de, T: Deserialize<'de>>(document: &'de [u8]) -> Result<T, ReadError> {
    check(document)?;
    if !is_object(document) {
        return Err(ReadError::NotAnObject);
    }
    serde_json::from_slice(document).map_err(ReadError::Shape)
}

/// Why [`read`] failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The document breaks the rules of this module.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// It is JSON, and no object.
    #[error("not an object")]
    NotAnObject,
    /// It is JSON, but not of the expected shape. The inner message may repeat values: never show it.
    #[error("not of the expected shape")]
    Shape(#[source] serde_json::Error),
}

/// The deepest nesting, by counting brackets outside strings. Right for valid JSON, a lower bound for the rest.
fn depth(document: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let mut bytes = document.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' => {
                            bytes.next();
                        }
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Walks any value and fails on a repeated member name, which it notes.
struct Unique<'a>(&'a mut bool);

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Unique(&mut *self.0))?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut few: Vec<Name<'de>> = Vec::new();
        let mut many: HashSet<Cow<'de, str>> = HashSet::new();
        while let Some(name) = map.next_key::<Name<'de>>()? {
            let repeated = if many.is_empty() {
                few.contains(&name)
            } else {
                !many.insert(name.0.clone())
            };
            if repeated {
                *self.0 = true;
                return Err(serde::de::Error::custom("repeated member"));
            }
            if many.is_empty() {
                few.push(name);
                if few.len() > LINEAR_SEARCH {
                    many.extend(few.drain(..).map(|name| name.0));
                }
            }
            map.next_value_seed(Unique(&mut *self.0))?;
        }
        Ok(())
    }
}

/// A member's name, borrowed from the document unless it holds an escape.
#[derive(PartialEq)]
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a member name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }
            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_rfc_8259_allows() {
        for document in [
            "{}",
            " [1, 2.5e3, -0, null, true, \"\\u00e9\"] ",
            "\"x\"",
            "{\"a\":{\"b\":1},\"b\":1}",
        ] {
            assert_eq!(check(document.as_bytes()), Ok(()), "{document}");
        }
    }

    #[test]
    fn refuses_what_is_not_json() {
        for document in [
            "",
            "{",
            "{}x",
            "[1,]",
            "{'a':1}",
            "nul",
            "\"\u{1}\"",
            "[1]]",
            "01",
            "{\"a\":1,}",
        ] {
            assert!(
                matches!(check(document.as_bytes()), Err(Fault::Syntax { .. })),
                "{document}"
            );
        }
        for bytes in [
            &b"\"\xff\""[..],
            b"{\"\xc3\x28\":1}",
            b"\xef\xbb\xbf{}",
            b"\"\\ud800\"",
        ] {
            assert!(
                matches!(check(bytes), Err(Fault::Syntax { .. })),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn refuses_repeated_names_at_any_depth_and_however_they_are_written() {
        for document in [
            r#"{"a":1,"a":2}"#,
            r#"[{"x":{"a":1,"\u0061":2}}]"#,
            r#"{"é":1,"\u00e9":1}"#,
        ] {
            assert!(
                matches!(check(document.as_bytes()), Err(Fault::Duplicate { .. })),
                "{document}"
            );
        }
        let many = |last: &str| {
            let names: Vec<String> = (0..40).map(|n| format!("\"n{n}\":0")).collect();
            format!("{{{},\"{last}\":0}}", names.join(","))
        };
        assert_eq!(check(many("n40").as_bytes()), Ok(()));
        for repeated in ["n0", "n12", "n13", "n39"] {
            assert!(
                matches!(
                    check(many(repeated).as_bytes()),
                    Err(Fault::Duplicate { .. })
                ),
                "{repeated}"
            );
        }
    }

    #[test]
    fn bounds_the_depth_exactly() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(check(nested(MAX_DEPTH).as_bytes()), Ok(()));
        assert_eq!(check(nested(MAX_DEPTH + 1).as_bytes()), Err(Fault::TooDeep));
        assert_eq!(check("[".repeat(1_000_000).as_bytes()), Err(Fault::TooDeep));
        assert_eq!(check(br#"["[[[\"{{{"]"#), Ok(()));
    }
}
