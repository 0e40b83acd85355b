//! The server that the official conformance suite judges: our edge and our TCP door, with the tools that the suite calls.
//!
//! The suite sends no token, so authentication is off; on a loopback address. Prints its URL on one line, and serves
//! until its standard input ends: whoever started it holds the other end. A fixture is here only if it makes our edge do
//! something; what the suite asks for and we lack is listed, with the reason, in `baseline.json`.

use std::{
    error::Error,
    io::Write,
    net::{Ipv4Addr, SocketAddr},
};

use rolecall::{
    app::{App, Authentication},
    config::{Config, Process, Reach},
    tools::{Progress, Tool},
};
use serde_json::{Value, json, value::to_raw_value};
use tokio::io::AsyncReadExt;

/// A PNG of one pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
/// A WAV without a sample.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = Config::parse("{}", &|_| None).map_err(|mistakes| mistakes.to_string())?;
    let app = App::with_tools(
        &config,
        &Process::default(),
        Authentication::Off,
        fixtures(),
    )?;
    let listening = |address: SocketAddr| {
        // Whoever started this and does not read the line ends it.
        let _ = writeln!(std::io::stdout(), "http://{address}/mcp");
    };
    let ended = async {
        let mut rest = Vec::new();
        let _ = tokio::io::stdin().read_to_end(&mut rest).await;
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    app.serve(address, Reach::of(address), listening, ended)
        .await?;
    Ok(())
}

fn fixtures() -> Vec<Tool> {
    let text = json!({ "type": "text", "text": "A text." });
    let image = json!({ "type": "image", "data": PNG, "mimeType": "image/png" });
    let audio = json!({ "type": "audio", "data": WAV, "mimeType": "audio/wav" });
    let resource = json!({
        "type": "resource",
        "resource": { "uri": "test://embedded", "mimeType": "text/plain", "text": "A resource." },
    });
    let any = json!({ "type": "object" });
    let content = |name, blocks: &[&Value]| fixed(name, &any, json!({ "content": blocks }));
    vec![
        content("test_simple_text", &[&text]),
        content("test_image_content", &[&image]),
        content("test_audio_content", &[&audio]),
        content("test_embedded_resource", &[&resource]),
        content("test_multiple_content_types", &[&text, &image, &resource]),
        fixed(
            "test_error_handling",
            &any,
            json!({ "content": [text], "isError": true }),
        ),
        progress(),
        content("test_missing_capability", &[&text]).requiring(json!({ "sampling": {} })),
        fixed(
            "test_header",
            &json!({ "type": "object", "properties": { "region": { "type": "string", "x-mcp-header": "Region" } } }),
            json!({ "content": [text] }),
        ),
        fixed(
            "json_schema_2020_12_tool",
            &json_schema_2020_12(),
            json!({ "content": [text] }),
        ),
    ]
}

fn definition(name: &str, input: &Value) -> Value {
    json!({ "name": name, "description": "A fixture of the conformance suite.", "inputSchema": input })
}

/// A tool that always answers the same.
fn fixed(name: &str, input: &Value, result: Value) -> Tool {
    Tool::raw(name, &definition(name, input), move |_, _| {
        let result = to_raw_value(&result);
        async { Ok(result.unwrap_or_default()) }
    })
}

/// A tool that reports at once and then answers: no report may be lost to the answer.
fn progress() -> Tool {
    let name = "test_tool_with_progress";
    let definition = definition(name, &json!({ "type": "object" }));
    Tool::raw(name, &definition, |_, progress: Progress| async move {
        for done in [0.0, 50.0, 100.0] {
            progress.report(done, Some(100.0), format!("{done} of 100"));
        }
        let result = to_raw_value(&json!({ "content": [{ "type": "text", "text": "Done." }] }));
        Ok(result.unwrap_or_default())
    })
}

/// The input schema that the suite looks for, word for word (SEP-1613, SEP-2106).
fn json_schema_2020_12() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
            },
        },
        "properties": {
            "name": { "type": "string" },
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": { "type": "string" },
            "email": { "type": "string" },
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    })
}
