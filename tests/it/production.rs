//! In production, where others can reach the server, the configuration holds no secret: every way to start one.

use std::{
    io::{ErrorKind, Read},
    net::TcpListener,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::support::{Function, Setup, claims, limited, server::answer, world};

const PLAIN: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";
const REFUSED: &str = r#"in production a secret must be in Secrets Manager: {"$secret":"<ARN>"}"#;
const UNNAMED: &str = "note: neither server.publicUrl nor server.allowedHosts is set: `serve` will not start where others can reach it; `lambda` will";
const SECRETS: [&str; 2] = [
    "auth.issuers[0].hs256",
    "auth.issuers[1].introspection.clientSecret",
];
/// Longer than any of them takes to end, and shorter than a test may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Everything that a server needs to start, with two secrets in variables.
fn with_plain_secrets(arguments: &[&str]) -> Setup {
    let mut setup = Setup::new()
        .with("/server/publicUrl", json!({ "$env": "ROLECALL_PUBLIC_URL" }))
        .with("/roles/externalId", json!({ "$env": "ROLECALL_EXTERNAL_ID" }))
        .with("/auth/issuers/0/hs256", json!({ "$env": "SIGNING_SECRET" }))
        .with(
            "/auth/issuers/1",
            json!({ "issuer": "https://idp.example.com", "introspection": {
                "url": "https://idp.example.com/introspect", "clientId": "rolecall", "clientSecret": PLAIN } }),
        );
    setup.arguments = arguments.iter().map(ToString::to_string).collect();
    for (name, value) in [
        ("ROLECALL_PUBLIC_URL", "https://mcp.example.com"),
        ("ROLECALL_EXTERNAL_ID", "rolecall"),
        ("SIGNING_SECRET", PLAIN),
    ] {
        setup.environment.push((name.to_owned(), value.to_owned()));
    }
    setup
}

/// A process that ended.
struct Ended {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

/// Runs a command that ends by itself. One that goes on is ended, and the test with it.
#[track_caller]
fn ended(mut command: Command) -> Ended {
    /// A child that ends with this value.
    struct Running(Child);
    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut running = Running(child.unwrap());
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = running.0.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "{command:?} goes on");
        std::thread::sleep(Duration::from_millis(5));
    };
    let (mut stdout, mut stderr) = (String::new(), String::new());
    let child = &mut running.0;
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut stdout)
        .unwrap();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    Ended {
        status,
        stdout,
        stderr,
    }
}

/// An address of this machine that nobody is to call.
struct Uncalled(TcpListener);

impl Uncalled {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    #[track_caller]
    fn assert_uncalled(&self, by: &str) {
        let called = self.0.accept().map(|(_, address)| address);
        assert_eq!(
            called.unwrap_err().kind(),
            ErrorKind::WouldBlock,
            "{by} called"
        );
    }
}

/// The variables of a function whose Runtime API is at `api`.
fn inside_a_function(api: &str) -> [(String, String); 4] {
    [
        ("AWS_LAMBDA_RUNTIME_API", api),
        ("AWS_LAMBDA_FUNCTION_NAME", "rolecall-test"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
}

#[track_caller]
fn assert_refused(arguments: &[&str], is_function: bool) {
    let (aws, api) = (Uncalled::new(), Uncalled::new());
    let mut setup = with_plain_secrets(arguments);
    setup
        .environment
        .retain(|(name, _)| name != "AWS_ENDPOINT_URL");
    let endpoint = format!("http://{}", aws.address());
    setup
        .environment
        .push(("AWS_ENDPOINT_URL".to_owned(), endpoint));
    if is_function {
        setup.environment.extend(inside_a_function(&api.address()));
    }
    let ended = ended(setup.command());
    let expected: String = SECRETS
        .iter()
        .map(|path| format!("{path}: {REFUSED}\n"))
        .collect();
    assert_eq!(
        (ended.status.code(), ended.stdout, ended.stderr),
        (
            Some(2),
            String::new(),
            format!("the configuration has mistakes:\n{expected}")
        ),
        "{arguments:?}"
    );
    aws.assert_uncalled(&format!("AWS was by {arguments:?}:"));
    api.assert_uncalled(&format!("the Runtime API was by {arguments:?}:"));
}

#[test]
fn on_lambda_a_plain_secret_is_refused() {
    assert_refused(&["lambda"], true);
    // As Lambda starts it.
    assert_refused(&[], true);
    // Behind an adapter that forwards to it: whoever reaches the function reaches it.
    assert_refused(&["serve", "--listen", "127.0.0.1:0"], true);
}

#[test]
fn on_an_address_that_others_can_reach_a_plain_secret_is_refused() {
    for address in [
        "0.0.0.0:0",
        "[::]:0",
        // None of these is this machine's: it is refused before anything listens.
        "10.1.2.3:0",
        "192.168.1.2:0",
        "[fd00::1:2]:0",
        "[fe80::1]:0",
        "[::ffff:10.1.2.3]:0",
        "[::ffff:0.0.0.0]:0",
    ] {
        assert_refused(&["serve", "--listen", address], false);
    }
}

#[test]
fn without_authentication_too_a_plain_secret_is_refused_where_others_can_reach_it() {
    assert_refused(&["serve", "--no-auth", "--listen", "0.0.0.0:0"], false);
}

/// Inside a function others can reach a loopback address too: something there forwards to it.
#[test]
fn inside_a_function_no_address_is_of_this_machine() {
    let refused = |mut setup: Setup, expected: &str| {
        let api = Uncalled::new();
        setup.environment.extend(inside_a_function(&api.address()));
        let ended = ended(setup.command());
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        let last = ended.stderr.lines().last().unwrap();
        assert!(last.starts_with(expected), "{last}");
    };
    let named = || Setup::new().with("/server/publicUrl", "https://mcp.example.com");
    let mut open = named();
    open.arguments.push("--no-auth".to_owned());
    refused(
        open,
        "--no-auth serves loopback addresses only, and none inside a function",
    );
    refused(
        Setup::new(),
        "to listen on 127.0.0.1:0, where others can reach it",
    );
    limited(async {
        let api = Uncalled::new();
        let mut setup = named();
        setup.environment.extend(inside_a_function(&api.address()));
        let server = setup.start();
        for (host, status) in [("mcp.example.com", 401), ("localhost", 421)] {
            let request = server.anonymous().header("host", host);
            assert_eq!(
                request.rpc("ping", json!({})).await.status,
                status,
                "{host}"
            );
        }
        let page = server.anonymous().header("host", "mcp.example.com");
        let page = page.header("origin", "http://localhost:6274");
        assert_eq!(page.rpc("ping", json!({})).await.status, 403);
    });
}

#[test]
fn on_a_loopback_address_a_plain_secret_serves() {
    limited(async {
        for (listen, host) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("127.0.0.2:0", "127.0.0.2"),
            ("[::1]:0", "[::1]"),
            ("[::ffff:127.0.0.1]:0", "127.0.0.1"),
        ] {
            let server = with_plain_secrets(&["serve", "--listen", listen]).start();
            let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "whoami" } });
            let url = format!("http://{host}:{}/mcp", server.address.port());
            let request = server
                .client
                .post(url)
                .bearer_auth(claims("alice").sign(PLAIN))
                .header("content-type", "application/json")
                .header("accept", "application/json, text/event-stream")
                .body(call.to_string());
            let content = answer(request).await.content();
            assert_eq!(content["subject"], "alice", "{listen}");
        }
    });
}

#[test]
fn over_standard_input_a_plain_secret_is_no_mistake() {
    let ended = ended(with_plain_secrets(&["stdio"]).command());
    assert!(ended.status.success(), "{}", ended.stderr);
}

#[test]
fn in_production_a_server_whose_secrets_are_stored_starts() {
    limited(async {
        let stored = world().stored(PLAIN).await;
        let setup = || {
            with_plain_secrets(&["serve", "--listen", "0.0.0.0:0"])
                .with("/auth/issuers/0/hs256", stored.clone())
                .with("/auth/issuers/1/introspection/clientSecret", stored.clone())
        };
        setup().start();
        Function::start(setup()).await;
    });
}

#[test]
fn check_says_what_production_would_refuse() {
    let expected: String = SECRETS
        .iter()
        .map(|path| format!("{path}: {REFUSED}\n"))
        .collect();
    let usual = ended(with_plain_secrets(&["check"]).command());
    assert_eq!(usual.status.code(), Some(0), "{}", usual.stderr);
    let note = "note: where others can reach it, the server will not start:\n";
    assert_eq!(usual.stderr, format!("{note}{expected}"));
    let shown: Value = serde_json::from_str(&usual.stdout).unwrap();
    assert_eq!(shown["auth"]["issuers"][0]["hs256"], "***");
    assert!(!usual.stdout.contains("hunter2"), "{}", usual.stdout);
    assert_refused(&["check", "--production"], false);
}

#[test]
fn check_for_production_refuses_what_would_not_start_there() {
    let check = |setup: Setup| {
        let mut setup = setup;
        setup.arguments = vec!["check".to_owned(), "--production".to_owned()];
        ended(setup.command())
    };
    let nobody = check(Setup::new().with("/auth", json!({})));
    assert_eq!(nobody.status.code(), Some(2));
    assert!(
        nobody.stderr.starts_with("no issuer is configured"),
        "{}",
        nobody.stderr
    );
    assert_eq!(nobody.stdout, "");

    let front_door = json!({ "kind": "function-url", "apiId": "a", "domainName": "a.lambda-url.us-east-1.on.aws" });
    let caller = json!({ "caller": "arn:aws:sts::111122223333:assumed-role/Ci/*", "roles": ["arn:aws:iam::111122223333:role/R"] });
    let signed = Setup::new().with("/auth", json!({})).with(
        "/roles",
        json!({
        "header": "iam", "iam": { "frontDoors": [front_door], "callers": [caller] } }),
    );
    let signed = check(signed);
    assert_eq!(signed.status.code(), Some(0), "{}", signed.stderr);
    let notes: Vec<&str> = signed.stderr.lines().collect();
    assert_eq!(
        notes,
        [
            "note: no issuer is configured: `serve` will not start; `lambda` will",
            UNNAMED
        ]
    );

    let unnamed = check(Setup::new());
    assert_eq!(unnamed.status.code(), Some(0), "{}", unnamed.stderr);
    assert_eq!(unnamed.stderr.trim_end(), UNNAMED);
    let mut help = Setup::new();
    help.arguments = vec!["check".to_owned(), "--help".to_owned()];
    let help = ended(help.command()).stdout;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        help.contains("What starts as `lambda` and not with `serve`"),
        "{help}"
    );
    let named = check(Setup::new().with("/server/publicUrl", "https://mcp.example.com"));
    assert_eq!((named.status.code(), &*named.stderr), (Some(0), ""));
}
