//! The floor: axum, a parsed body, a canned answer. No checks, no protocol, no log.

use std::{error::Error, net::Ipv4Addr};

use axum::{Json, Router, routing::post, serve::ListenerExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Deserialize)]
struct Request {
    id: Value,
    method: String,
    #[serde(default)]
    params: Value,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    eprintln!("listening on http://{}/mcp", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, Router::new().route("/mcp", post(answer))).await?;
    Ok(())
}

async fn answer(Json(request): Json<Request>) -> Json<Value> {
    let mut result = match request.method.as_str() {
        "tools/list" => json!({ "tools": [{
            "name": "echo",
            "description": "Says what you say.",
            "inputSchema": { "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] },
        }] }),
        "tools/call" => {
            json!({ "content": [{ "type": "text", "text": request.params["arguments"]["text"] }] })
        }
        _ => {
            return Json(
                json!({ "jsonrpc": "2.0", "id": request.id, "error": { "code": -32601, "message": "Method not found" } }),
            );
        }
    };
    if request.params["_meta"]["io.modelcontextprotocol/protocolVersion"].is_string() {
        result["resultType"] = "complete".into();
    }
    Json(json!({ "jsonrpc": "2.0", "id": request.id, "result": result }))
}
