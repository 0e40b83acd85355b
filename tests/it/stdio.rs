//! The stdio door: lines in, lines out, with the process's own credentials.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Stdio},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use serde_json::{Value, json};

use super::support::Setup;

pub struct Client {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Client {
    #[track_caller]
    pub fn start(config: Value) -> Self {
        let mut setup = Setup::new();
        setup.arguments = vec!["stdio".to_owned()];
        setup.config = config;
        let mut child = setup
            .command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let input = child.stdin.take();
        Self {
            child,
            input,
            lines,
        }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(bytes).unwrap();
        input.write_all(b"\n").unwrap();
        input.flush().unwrap();
    }

    #[track_caller]
    pub fn receive(&self) -> Value {
        let line = self
            .lines
            .recv_timeout(Duration::from_secs(15))
            .expect("an answer");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    #[track_caller]
    pub fn ask(&mut self, message: Value) -> Value {
        self.send(message.to_string().as_bytes());
        self.receive()
    }

    /// Ends the input; gives what still came.
    pub fn end(mut self) -> Vec<String> {
        drop(self.input.take());
        let rest = self.lines.iter().collect();
        assert!(self.child.wait().unwrap().success());
        rest
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

pub fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id.into(), "method": method, "params": params })
}

fn envelope() -> Value {
    json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} })
}

#[test]
fn both_eras_are_served_on_one_pair_of_pipes() {
    let mut server = Client::start(json!({}));
    let params = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    assert_eq!(
        server.ask(request(0, "initialize", params))["result"]["protocolVersion"],
        "2025-06-18"
    );
    server.send(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    assert_eq!(
        server.ask(request(1, "ping", json!({}))),
        json!({ "jsonrpc": "2.0", "id": 1, "result": {} })
    );
    let who = server.ask(request(2, "tools/call", json!({ "name": "whoami" })));
    let content = &who["result"]["structuredContent"];
    assert_eq!(
        (
            &content["environment"],
            &content["subject"],
            &content["scheme"]
        ),
        (&json!("desktop-stdio"), &Value::Null, &Value::Null)
    );
    let discovered = server.ask(request(
        "d",
        "server/discover",
        json!({ "_meta": envelope() }),
    ));
    assert_eq!(
        discovered["result"]["supportedVersions"],
        json!(["2026-07-28"])
    );
    let call = server.ask(request(
        3,
        "tools/call",
        json!({ "name": "auth_status", "_meta": envelope() }),
    ));
    assert_eq!(call["result"]["resultType"], "complete");
    // The process's own credentials: moto's default account.
    assert_eq!(
        call["result"]["structuredContent"]["aws"]["account"], "123456789012",
        "{call}"
    );
    assert_eq!(
        call["result"]["structuredContent"]["aws"]["role_session"],
        Value::Null
    );
    assert!(server.end().is_empty());
}

#[test]
fn the_tools_about_tokens_say_that_there_is_none() {
    let mut server = Client::start(json!({}));
    let mut call = |tool: &str, arguments: Value| {
        let params = json!({ "name": tool, "arguments": arguments });
        server.ask(request(1, "tools/call", params))["result"].clone()
    };
    let query = json!({ "bucket_name": "alice-genomics", "operation": "write" });
    for (tool, arguments) in [
        ("get_user_info", json!({})),
        ("get_user_permissions", json!({})),
        (
            "validate_tool_access",
            json!({ "tool_name": "bucket_objects_list" }),
        ),
        ("validate_bucket_access", query),
    ] {
        let result = call(tool, arguments);
        let note = result["structuredContent"]["note"].as_str().unwrap();
        assert!(note.contains("without a token"), "{tool}: {note}");
    }
    let judged = call("validate_bearer_token", json!({ "access_token": "a.b.c" }));
    assert_eq!(judged["isError"], true);
    let text = judged["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("You call over stdio"), "{text}");
}

#[test]
fn bad_lines_get_an_error_and_the_next_is_served() {
    let mut server = Client::start(json!({ "server": { "maxBodyBytes": 1_024 } }));
    for (line, code) in [
        (&b"{"[..], -32700),
        (b"\xff\xfe", -32700),
        (b"7", -32600),
        (br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (br#"{"jsonrpc":"2.0","id":1,"method":"nothing"}"#, -32601),
        (&[b'x'; 2_000], -32600),
        (&[b'y'; 200_000], -32600),
    ] {
        server.send(line);
        assert_eq!(
            server.receive()["error"]["code"],
            code,
            "{}",
            String::from_utf8_lossy(&line[..line.len().min(80)])
        );
    }
    server.send(b"");
    server.send(b"   \r");
    assert_eq!(server.ask(request(1, "ping", json!({})))["id"], 1);
}

#[test]
fn what_is_being_answered_when_the_input_ends_is_answered() {
    let mut server = Client::start(json!({}));
    for id in 0..20 {
        server.send(
            request(id, "tools/call", json!({ "name": "auth_status" }))
                .to_string()
                .as_bytes(),
        );
    }
    let answers = server.end();
    assert_eq!(answers.len(), 20);
    assert!(
        answers.iter().all(|line| line.contains("123456789012")),
        "{answers:?}"
    );
}

#[test]
fn a_batch_is_answered_as_one() {
    let mut server = Client::start(json!({}));
    let answers = server.ask(json!([
        request(1, "ping", json!({})),
        request(2, "ping", json!({}))
    ]));
    assert_eq!(answers.as_array().map(Vec::len), Some(2));
}
