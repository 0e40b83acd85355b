//! The real binary, serving on a port of its own, and callers of it.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use serde_json::{Value, json};

use super::{World, claims, world};

/// How a server is started.
pub struct Setup {
    pub config: Value,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
}

impl Setup {
    /// For the seeded world: its issuer, its roles.
    pub fn new() -> Self {
        let world = world();
        Self {
            config: configuration(world),
            arguments: ["serve", "--listen", "127.0.0.1:0"]
                .map(str::to_owned)
                .to_vec(),
            environment: world.environment(&world.endpoint),
        }
    }

    /// Without authentication.
    pub fn no_auth() -> Self {
        let mut setup = Self::new();
        setup.arguments.push("--no-auth".to_owned());
        setup
    }

    /// Changes a member of the configuration: `("/roles/header", "off")`.
    pub fn with(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        set(&mut self.config, pointer, value.into());
        self
    }

    /// Lets the server find its AWS elsewhere.
    pub fn endpoint(mut self, endpoint: &str) -> Self {
        self.environment = world().environment(endpoint);
        self
    }

    /// Lets the server run with these credentials, in the form in which a registry gives them.
    pub fn running_with(mut self, credentials: &Value) -> Self {
        for (variable, member) in [
            ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
            ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
            ("AWS_SESSION_TOKEN", "SessionToken"),
        ] {
            let value = credentials[member].as_str().unwrap();
            self.environment.retain(|(name, _)| name != variable);
            self.environment
                .push((variable.to_owned(), value.to_owned()));
        }
        self
    }

    /// A process of the real binary with this configuration and environment, and nothing of ours.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolecall"));
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("ROLECALL_CONFIG", self.config.to_string())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(coverage());
        command
    }

    /// Starts the server and waits until it listens.
    #[track_caller]
    pub fn start(self) -> Server {
        let mut child = self
            .command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Output::collect(&mut child);
        let address = output.listening().unwrap_or_else(|| {
            let _ = child.kill();
            panic!("the server did not start: {}", output.text())
        });
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap();
        Server {
            child,
            address,
            client,
            output,
        }
    }
}

fn configuration(world: &World) -> Value {
    let allow: Vec<String> = world
        .people
        .iter()
        .map(|person| format!("arn:aws:iam::{}:role/*", person.account))
        .collect();
    json!({
        "auth": { "issuers": [{
            "issuer": "quilt-frontend",
            "audience": "quilt-mcp-server",
            "hs256": { "$secret": world.jwt_secret },
        }] },
        "roles": { "allow": allow },
    })
}

/// Sets what a JSON pointer names, making objects on the way.
fn set(config: &mut Value, pointer: &str, value: Value) {
    let mut place = config;
    for part in pointer.split('/').skip(1) {
        place = match (part.parse::<usize>(), place.is_array()) {
            (Ok(index), true) => {
                let items = place.as_array_mut().unwrap();
                items.resize(items.len().max(index + 1), Value::Null);
                &mut items[index]
            }
            _ => &mut place[part],
        };
    }
    *place = value;
}

/// Where a process writes which of its lines ran, under `make coverage`.
pub fn coverage() -> Option<(&'static str, OsString)> {
    const FILE: &str = "LLVM_PROFILE_FILE";
    std::env::var_os(FILE).map(|file| (FILE, file))
}

/// What a process writes, as it comes.
#[derive(Clone)]
pub struct Output {
    text: Arc<Mutex<String>>,
    listening: Arc<Mutex<mpsc::Receiver<SocketAddr>>>,
    readers: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Output {
    pub fn collect(child: &mut Child) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let (found, listening) = mpsc::channel();
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stderr.take().unwrap()),
            Box::new(child.stdout.take().unwrap()),
        ];
        let mut readers = Vec::new();
        for stream in streams {
            let (text, found) = (Arc::clone(&text), found.clone());
            readers.push(std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if let Some(address) =
                        serde_json::from_str::<Value>(&line).ok().and_then(|line| {
                            line["message"]
                                .as_str()?
                                .starts_with("listening")
                                .then(|| line["address"].as_str()?.parse().ok())?
                        })
                    {
                        let _ = found.send(address);
                    }
                    let mut text = text.lock().unwrap();
                    text.push_str(&line);
                    text.push('\n');
                }
            }));
        }
        Self {
            text,
            listening: Arc::new(Mutex::new(listening)),
            readers: Arc::new(Mutex::new(readers)),
        }
    }

    fn listening(&self) -> Option<SocketAddr> {
        self.listening
            .lock()
            .unwrap()
            .recv_timeout(Duration::from_secs(20))
            .ok()
    }

    /// All that was written until now.
    pub fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// All that was ever written, by a process that has ended.
    pub fn complete(&self) -> String {
        for reader in self.readers.lock().unwrap().drain(..) {
            reader.join().unwrap();
        }
        self.text()
    }

    /// The log lines until now.
    pub fn lines(&self) -> Vec<Value> {
        self.text()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}

/// A running server. It ends with this value.
pub struct Server {
    pub child: Child,
    pub address: SocketAddr,
    pub client: reqwest::Client,
    pub output: Output,
}

impl Server {
    /// A server for the seeded world.
    #[track_caller]
    pub fn start() -> Self {
        Setup::new().start()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A caller without a token.
    pub fn anonymous(&self) -> Caller {
        Caller {
            client: self.client.clone(),
            url: self.url("/mcp"),
            token: None,
            headers: Vec::new(),
        }
    }

    /// A caller with this token.
    pub fn with_token(&self, token: impl Into<String>) -> Caller {
        Caller {
            token: Some(token.into()),
            ..self.anonymous()
        }
    }

    /// A person of the seeded world, with a valid token that lists their roles.
    #[track_caller]
    pub fn user(&self, name: &str) -> Caller {
        let world = world();
        self.with_token(
            claims(name)
                .roles(&world.person(name).roles)
                .sign(&world.secret),
        )
    }

    /// Asks a server to end, as a service manager does, and waits until it has. Gives all that it wrote.
    pub fn terminate(self) -> String {
        self.ended().text()
    }

    /// The same, for what is read line by line. What a running server wrote is no evidence: a line may be written after
    /// the answer that it is about, and is read later still.
    pub fn ended(mut self) -> Output {
        self.signal("-TERM");
        let status = self.child.wait().unwrap();
        assert!(
            status.success(),
            "ended with {status}: {}",
            self.output.text()
        );
        self.output.complete();
        self.output.clone()
    }

    /// Stops the process at once, as Lambda freezes an instance between calls: everything but the time stands still.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets a stopped process go on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Ends a server in the middle of what it does. Gives all that it had written.
    pub fn kill(mut self) -> Output {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.output.complete();
        self.output.clone()
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody who calls.
#[derive(Clone)]
pub struct Caller {
    client: reqwest::Client,
    url: String,
    pub token: Option<String>,
    headers: Vec<(String, String)>,
}

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error}: {} {:?}", self.status, self.text))
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The JSON-RPC error's code.
    #[track_caller]
    pub fn code(&self) -> i64 {
        self.json()["error"]["code"]
            .as_i64()
            .unwrap_or_else(|| panic!("no error in {}", self.text))
    }

    /// The structured content of a tool's result that is no error.
    #[track_caller]
    pub fn content(&self) -> Value {
        let json = self.json();
        assert_eq!(self.status, 200, "{}", self.text);
        assert!(json["result"]["isError"].is_null(), "{}", self.text);
        json["result"]["structuredContent"].clone()
    }

    /// The text of a tool's result that is an error.
    #[track_caller]
    pub fn tool_error(&self) -> String {
        let json = self.json();
        assert_eq!(json["result"]["isError"], true, "{}", self.text);
        json["result"]["content"][0]["text"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

impl Caller {
    /// The same caller with one more header on each request.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A request to `/mcp`, not sent yet.
    pub fn request(&self, method: reqwest::Method) -> reqwest::RequestBuilder {
        let mut request = self.client.request(method, &self.url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
    }

    /// Posts a body as JSON.
    pub async fn post(&self, body: impl Into<reqwest::Body>) -> Answer {
        let request = self
            .request(reqwest::Method::POST)
            .header("content-type", "application/json")
            .body(body);
        answer(request).await
    }

    /// Posts a legacy request.
    pub async fn rpc(&self, method: &str, params: Value) -> Answer {
        self.post(
            json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string(),
        )
        .await
    }

    /// Calls a tool, the legacy way.
    pub async fn call(&self, tool: &str, arguments: Value) -> Answer {
        self.rpc(
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        )
        .await
    }
}

/// Sends a request and reads the answer.
pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer {
        status,
        headers,
        text: response.text().await.unwrap(),
    }
}
