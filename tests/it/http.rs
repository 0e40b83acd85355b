//! The TCP door: limits, slowness, hosts, origins, and what a hostile client sends.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::support::{
    Setup, limited,
    server::{Server, answer},
};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// What the server takes at most to end what is too slow: the 5 s that are promised, and ten for a busy machine.
const SLOW: Duration = Duration::from_secs(15);

/// Sends bytes on a connection of their own and reads until the server closes it.
async fn raw(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is no loss.
    let _ = tokio::time::timeout(SLOW, stream.read_to_end(&mut answer))
        .await
        .unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(head: &str, body: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n{head}\r\n{body}"
    )
}

#[test]
fn health_needs_no_credentials() {
    limited(async {
        let server = Server::start();
        let health = answer(server.client.get(server.url("/healthz"))).await;
        assert_eq!(
            (health.status, health.header("cache-control")),
            (200, Some("no-cache"))
        );
        let body = health.json();
        assert_eq!(
            (&body["status"], &body["route"]),
            (&json!("ok"), &json!("/healthz"))
        );
        assert_eq!(
            body["server"],
            json!({ "name": "rolecall", "version": env!("CARGO_PKG_VERSION"), "transport": "http" })
        );
        assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
        // A load balancer asks by address.
        let by_address = raw(
            &server,
            b"GET /healthz HTTP/1.1\r\nhost: 10.1.2.3\r\nconnection: close\r\n\r\n",
        )
        .await;
        assert!(by_address.starts_with("HTTP/1.1 200"), "{by_address}");
    });
}

#[test]
fn only_expected_headers_leave() {
    limited(async {
        let server = Setup::no_auth().start();
        let answered = server.anonymous().post(PING).await;
        let mut names: Vec<&str> = answered.headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "access-control-expose-headers",
                "content-length",
                "content-type",
                "date",
                "vary",
                "x-request-id"
            ]
        );
    });
}

#[test]
fn http_2_without_tls_is_served() {
    limited(async {
        let server = Setup::no_auth().start();
        let client = reqwest::Client::builder()
            .no_proxy()
            .http2_prior_knowledge()
            .build()
            .unwrap();
        let calls = (0..20).map(|_| {
            answer(
                client
                    .post(server.url("/mcp"))
                    .header("content-type", "application/json")
                    .body(PING),
            )
        });
        for answered in futures_util::future::join_all(calls).await {
            assert_eq!(answered.json()["result"], json!({}));
        }
        // A connection may be silent for longer than a head may take.
        tokio::time::sleep(Duration::from_secs(6)).await;
        let again = answer(
            client
                .post(server.url("/mcp"))
                .header("content-type", "application/json")
                .body(PING),
        )
        .await;
        assert_eq!(again.status, 200);
    });
}

#[test]
fn bodies_have_a_limit() {
    limited(async {
        let server = Setup::no_auth().with("/server/maxBodyBytes", 2_048).start();
        let caller = server.anonymous();
        let padded = |bytes: usize| {
            let empty = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":""}}"#;
            empty.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - empty.len())))
        };
        assert_eq!(caller.post(padded(2_048)).await.status, 200);
        assert_eq!(caller.post(padded(2_049)).await.status, 413);
        // As much as is too much, and no more: a server that closes on what it has not read resets the connection, and the
        // answer may be lost.
        let chunk = format!("801\r\n{}\r\n", "x".repeat(2_049));
        let chunked = request("transfer-encoding: chunked\r\n", &chunk);
        let chunked = raw(&server, chunked.as_bytes()).await;
        assert!(chunked.starts_with("HTTP/1.1 413"), "{chunked}");
        let announced = raw(
            &server,
            request("content-length: 99999999\r\n", "").as_bytes(),
        )
        .await;
        assert!(announced.starts_with("HTTP/1.1 413"), "{announced}");
        // On a connection of its own: those of the client above may be about to close.
        let head = format!("content-length: {}\r\n", PING.len());
        let next = raw(&server, request(&head, PING).as_bytes()).await;
        assert!(next.starts_with("HTTP/1.1 200"), "{next}");
    });
}

/// Writes to a connection that is kept, and reads one answer: its head, and its body after it.
async fn ask(connection: &mut TcpStream, bytes: &[u8]) -> (String, String) {
    connection.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let (_, length) = head.split_once("\r\ncontent-length: ").unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() >= length {
                return (head.to_owned(), body.to_owned());
            }
        }
        let mut part = [0; 4_096];
        let read = connection.read(&mut part).await.unwrap();
        assert_ne!(read, 0, "closed in the middle of {text:?}");
        answer.extend_from_slice(&part[..read]);
    }
}

#[test]
fn who_keeps_connections_is_told_when_one_ends() {
    limited(async {
        let server = Setup::new().with("/server/maxBodyBytes", 2_048).start();
        let head = |more: &str| {
            format!(
                "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{more}\r\n"
            )
        };
        let token = format!(
            "authorization: Bearer {}\r\n",
            server.user("alice").token.unwrap()
        );
        let good = head(&format!("{token}content-length: {}\r\n", PING.len())) + PING;
        let is_closing = |head: &str| head.contains("\r\nconnection: close");
        // Answered before the body came: too large by its announcement, from nobody, from nobody's page, elsewhere.
        let unread = [
            ("413", head(&format!("{token}content-length: 2049\r\n"))),
            (
                "413",
                head(&format!("{token}transfer-encoding: chunked\r\n"))
                    + &format!("801\r\n{}\r\n", "x".repeat(2_049)),
            ),
            ("401", head("content-length: 100\r\n")),
            (
                "403",
                head("origin: https://evil.example\r\ncontent-length: 100\r\n"),
            ),
            (
                "415",
                head(&format!(
                    "{token}content-encoding: gzip\r\ncontent-length: 100\r\n"
                )),
            ),
            (
                "404",
                head("content-length: 100\r\n").replacen("/mcp", "/nothing", 1),
            ),
        ];
        for (status, request) in unread {
            let mut connection = TcpStream::connect(server.address).await.unwrap();
            // What was read whole leaves the connection open, whatever the answer is.
            for kept in [
                good.clone(),
                "GET /mcp HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
                head(&format!("{token}content-length: 1\r\n")) + "{",
                good.clone(),
            ] {
                let (head, _) = ask(&mut connection, kept.as_bytes()).await;
                assert!(!is_closing(&head), "{head}");
            }
            let (head, _) = ask(&mut connection, request.as_bytes()).await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
            assert!(is_closing(&head), "{head}");
            // And so it does.
            let mut rest = Vec::new();
            let ended = connection.read_to_end(&mut rest).await;
            assert!(ended.is_err() || rest.is_empty(), "{rest:?}");
        }
        // HTTP/2 ends the stream alone.
        let client = reqwest::Client::builder()
            .no_proxy()
            .http2_prior_knowledge()
            .build()
            .unwrap();
        let post = |body: String| {
            let request = client.post(server.url("/mcp"));
            let request = request.header("content-type", "application/json");
            answer(
                request
                    .bearer_auth(server.user("alice").token.unwrap())
                    .body(body),
            )
        };
        let refused = post("x".repeat(2_049)).await;
        assert_eq!((refused.status, refused.header("connection")), (413, None));
        assert_eq!(post(PING.to_owned()).await.status, 200);
    });
}

#[test]
fn slow_requests_are_ended_within_five_seconds_and_hold_nobody_up() {
    limited(async {
        let server = Setup::no_auth().start();
        let began = Instant::now();
        let head = raw(&server, b"POST /mcp HTTP/1.1\r\nhost: loc");
        let body = request("content-length: 100\r\n", "{\"jsonrpc\"");
        let body = raw(&server, body.as_bytes());
        let silent = raw(&server, b"");
        let preface = raw(&server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n");
        let http2 = raw(&server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let caller = server.anonymous();
        let others = async {
            for _ in 0..50 {
                assert_eq!(caller.post(PING).await.status, 200);
            }
            Instant::now()
        };
        let slow = async {
            let ended = tokio::join!(head, body, silent, preface, http2);
            (ended, Instant::now())
        };
        let (((head, body, silent, preface, http2), ended), others) = tokio::join!(slow, others);
        assert!(others < ended, "others wait for the slow ones");
        assert!(head.starts_with("HTTP/1.1 408"), "{head}");
        assert!(
            head.ends_with(r#"{"error":"The request's head did not arrive within 5 seconds."}"#),
            "{head}"
        );
        assert!(body.starts_with("HTTP/1.1 408"), "{body}");
        assert_eq!(silent, "");
        assert!(preface.starts_with("HTTP/1.1 408"), "{preface}");
        assert!(!http2.contains("HTTP/1.1"), "it speaks HTTP/2: {http2:?}");
        assert!(ended - began < SLOW, "{:?}", ended - began);
    });
}

#[test]
fn a_connection_may_rest_between_requests() {
    limited(async {
        let server = Setup::no_auth().start();
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let one = format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{PING}",
            PING.len()
        );
        for rest in [0, 6, 0] {
            tokio::time::sleep(Duration::from_secs(rest)).await;
            stream.write_all(one.as_bytes()).await.unwrap();
            // The answer may come in pieces; its body is the last of them.
            let mut text = String::new();
            while !text.ends_with("}}") {
                let mut buffer = vec![0; 4_096];
                let read = stream.read(&mut buffer).await.unwrap();
                assert!(read > 0, "after {rest} s: {text:?}");
                text.push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
            assert!(text.starts_with("HTTP/1.1 200"), "after {rest} s: {text:?}");
        }
    });
}

#[test]
fn malformed_http_gets_a_4xx_and_the_next_request_is_served() {
    limited(async {
        let server = Setup::no_auth().start();
        for bytes in [
            &b"\r\n\r\n\r\n\x00"[..],
            b"GARBAGE\r\n\r\n",
            b"POST /mcp HTTP/9.9\r\n\r\n",
            b"POST /mcp HTTP/1.1\r\nhost: localhost\r\nbad header\r\n\r\n",
            b"POST /mcp HTTP/1.1\r\nhost: localhost\r\nx\x00y: 1\r\n\r\n",
            b"POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n",
            b"POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            b"POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        ] {
            let text = raw(&server, bytes).await;
            assert!(text.starts_with("HTTP/1.1 4"), "{}: {text:?}", String::from_utf8_lossy(bytes));
        }
        let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
        let text = raw(&server, request(&many, "").as_bytes()).await;
        assert!(text.starts_with("HTTP/1.1 431"), "{text}");
        let long = format!("x: {}\r\n", "y".repeat(1_000_000));
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let _ = stream.write_all(request(&long, "").as_bytes()).await;
        assert_eq!(server.anonymous().post(PING).await.status, 200);
    });
}

#[test]
fn hosts_and_origins_of_others_are_refused() {
    limited(async {
        let server = Setup::no_auth().start();
        let caller = server.anonymous();
        for (header, value, status) in [
            ("host", "evil.example.com", 421),
            ("host", "localhost.evil.example.com", 421),
            ("host", "localhost", 200),
            ("host", "[::1]:1", 200),
            ("origin", "https://evil.example.com", 403),
            ("origin", "null", 403),
            ("origin", "http://localhost.evil.example.com", 403),
            ("origin", "http://localhost:6274", 200),
            ("origin", "http://127.0.0.1:1", 200),
        ] {
            let answered = caller.clone().header(header, value).post(PING).await;
            assert_eq!(answered.status, status, "{header}: {value}");
        }
        let none = raw(
            &server,
            b"POST /mcp HTTP/1.1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        )
        .await;
        assert!(none.starts_with("HTTP/1.1 421"), "{none}");
        // Two that would both do, and a good body: it is the second name that is refused.
        let head = format!("host: localhost\r\ncontent-length: {}\r\n", PING.len());
        let two = raw(&server, request(&head, PING).as_bytes()).await;
        assert!(two.starts_with("HTTP/1.1 421"), "{two}");
        let two = caller
            .clone()
            .header("origin", "http://localhost")
            .header("origin", "https://evil.example.com");
        assert_eq!(two.post(PING).await.status, 403);
    });
}

#[test]
fn browsers_may_ask_first_without_a_token() {
    limited(async {
        let server = Setup::new()
            .with("/server/allowedOrigins", json!(["https://app.example.com"]))
            .start();
        let preflight = async |origin: &str| {
            let request = server
                .client
                .request(reqwest::Method::OPTIONS, server.url("/mcp"))
                .header("origin", origin)
                .header("access-control-request-method", "POST")
                .header(
                    "access-control-request-headers",
                    "authorization,content-type,mcp-param-x",
                );
            answer(request).await
        };
        let allowed = preflight("https://app.example.com").await;
        assert_eq!(allowed.status, 200);
        assert_eq!(
            allowed.header("access-control-allow-origin"),
            Some("https://app.example.com")
        );
        assert_eq!(
            allowed.header("access-control-allow-headers"),
            Some("authorization,content-type,mcp-param-x")
        );
        assert!(
            allowed
                .header("access-control-allow-methods")
                .unwrap()
                .contains("POST")
        );
        assert_eq!(allowed.header("access-control-allow-credentials"), None);
        assert_eq!(preflight("https://evil.example.com").await.status, 403);
        let refused = server
            .anonymous()
            .header("origin", "https://app.example.com")
            .post(PING)
            .await;
        assert_eq!(refused.status, 401);
        assert_eq!(
            refused.header("access-control-allow-origin"),
            Some("https://app.example.com")
        );
        let exposed = refused.header("access-control-expose-headers").unwrap();
        for name in ["mcp-session-id", "www-authenticate", "mcp-protocol-version"] {
            assert!(exposed.contains(name), "{exposed}");
        }
    });
}

#[test]
fn a_server_without_an_issuer_or_a_name_does_not_start() {
    let fails = |setup: Setup, expected: &str| {
        let output = setup.command().output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(expected), "{text}");
    };
    fails(
        Setup::new().with("/auth", json!({})),
        "no issuer is configured",
    );
    let listen = |setup: Setup, address: &str| {
        let mut setup = setup;
        setup.arguments[2] = address.to_owned();
        setup
    };
    fails(
        listen(Setup::no_auth(), "0.0.0.0:0"),
        "--no-auth serves loopback addresses only",
    );
    fails(listen(Setup::new(), "0.0.0.0:0"), "server.allowedHosts");
}

#[test]
fn a_public_url_names_the_server() {
    limited(async {
        let mut setup = Setup::new()
            .with("/server/publicUrl", "https://mcp.example.com/prod")
            .with("/auth/issuers/1", json!({ "issuer": "https://idp.example.com", "audience": "https://mcp.example.com/prod/mcp", "jwks": "discover" }));
        setup.arguments[2] = "0.0.0.0:0".to_owned();
        let server = setup.start();
        let url = format!("http://127.0.0.1:{}", server.address.port());
        let get = async |path: &str, host: &str| {
            answer(
                server
                    .client
                    .get(format!("{url}{path}"))
                    .header("host", host),
            )
            .await
        };
        for path in [
            "/.well-known/oauth-protected-resource",
            "/.well-known/oauth-protected-resource/mcp",
            "/prod/.well-known/oauth-protected-resource",
            "/prod/.well-known/oauth-protected-resource/mcp",
            // Where a client looks that was told nothing, if the front door lets it through.
            "/.well-known/oauth-protected-resource/prod/mcp",
        ] {
            let document = get(path, "mcp.example.com").await;
            assert_eq!(document.status, 200, "{path}");
            assert_eq!(
                document.json()["resource"],
                "https://mcp.example.com/prod/mcp"
            );
            assert_eq!(
                document.json()["authorization_servers"],
                json!(["https://idp.example.com"])
            );
        }
        assert_eq!(
            get("/mcp", "127.0.0.1").await.status,
            421,
            "a public server has no other names"
        );
        let refused = get("/prod/mcp", "mcp.example.com").await;
        assert_eq!(refused.status, 401);
        assert_eq!(
            refused.header("www-authenticate"),
            Some(
                r#"Bearer resource_metadata="https://mcp.example.com/prod/.well-known/oauth-protected-resource/mcp""#
            )
        );
        for path in ["/healthz", "/prod/healthz"] {
            assert_eq!(get(path, "10.0.0.1").await.status, 200, "{path}");
        }
    });
}

#[test]
fn a_request_in_progress_outlives_the_order_to_end() {
    limited(async {
        let server = Server::start();
        let alice = server.user("alice");
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "auth_status" } });
        let call = tokio::spawn(async move { alice.post(body.to_string()).await });
        // The call is on its way when its role is being assumed.
        while !server.output.text().contains("role assumed") && !call.is_finished() {
            tokio::task::yield_now().await;
        }
        let ended = tokio::task::spawn_blocking(move || server.terminate());
        assert_eq!(
            call.await.unwrap().content()["caller"]["subject"],
            Value::from("alice")
        );
        ended.await.unwrap();
    });
}
