//! A tool as clients see it: name, words, schemas, annotations.
//!
//! Owns the making of definitions from types, and the definitions as they were last made: `definitions.jsonl`, one a
//! line, written by `make schema` and held to the types by a test. Reading them takes nothing, where making them took
//! a third of a start, and would take more with every tool.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Value, json};

use super::Effect;

/// The definitions of our own tools.
const KEPT: &str = include_str!("definitions.jsonl");

/// What a definition is made of.
pub(super) struct Declaration {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    effect: Effect,
    input: fn() -> Value,
    output: fn() -> Value,
}

impl Declaration {
    /// The declaration of a function from `In` to `Out`.
    pub(super) fn of<In: JsonSchema, Out: JsonSchema>(
        name: &'static str,
        title: &'static str,
        description: &'static str,
        effect: Effect,
    ) -> Self {
        Self {
            name,
            title,
            description,
            effect,
            input: schema::<In>,
            output: schema::<Out>,
        }
    }

    /// The definition: as it is kept, else made.
    pub(super) fn definition(&self) -> Cow<'static, str> {
        let begins = |line: &&str| {
            let name = line
                .strip_prefix(r#"{"name":""#)
                .and_then(|rest| rest.strip_prefix(self.name));
            name.is_some_and(|rest| rest.starts_with('"'))
        };
        KEPT.lines()
            .find(begins)
            .map_or_else(|| self.fresh().into(), Cow::Borrowed)
    }

    /// The definition, made from the types.
    pub(super) fn fresh(&self) -> String {
        let mut definition = json!({
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": null,
            "outputSchema": null,
            "annotations": {
                "title": self.title,
                "readOnlyHint": matches!(self.effect, Effect::ReadLocal | Effect::Read),
                "destructiveHint": self.effect == Effect::Write,
                "idempotentHint": self.effect != Effect::Write,
                "openWorldHint": self.effect != Effect::ReadLocal,
            },
        });
        // Moved in: `json!` would copy them member by member.
        definition["inputSchema"] = (self.input)();
        definition["outputSchema"] = (self.output)();
        definition.to_string()
    }
}

fn schema<T: JsonSchema>() -> Value {
    // Inlined: some clients do not follow references.
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .with_transform(RecursiveTransform(without_format_of_number));
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    if let Some(object) = schema.as_object_mut() {
        object.remove("title");
        // A type without fields has no properties; clients want the member all the same.
        object.entry("properties").or_insert_with(|| json!({}));
    }
    schema
}

/// Takes out `"format": "uint"` and the like: names of Rust's types, which no validator knows.
fn without_format_of_number(schema: &mut Schema) {
    let names = |kind: &Value| matches!(kind.as_str(), Some("integer" | "number"));
    let is_number = schema.get("type").is_some_and(|kind| match kind {
        Value::Array(kinds) => kinds.iter().any(names),
        kind => names(kind),
    });
    if is_number {
        schema.remove("format");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Process};

    #[test]
    fn what_is_kept_is_what_the_types_say() {
        let fresh = crate::app::tool_definitions(&Config::default(), &Process::default());
        assert!(
            KEPT == fresh,
            "src/tools/definitions.jsonl is not current: run `make schema`"
        );
    }
}
