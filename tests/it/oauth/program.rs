//! The programs of these tests (an authorization server, a client, a browser), and the address by which they know us.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::super::support::{Setup, aws, server::Server, world};

/// The longest that a program may take for one answer.
const LIMIT: Duration = Duration::from_secs(50);
/// What an authorization server and its resource share, where tokens are signed with HS256.
const SECRET: &str = "a secret between the two of them";

/// A script of tests/interop: JSON in, JSON out, line by line. It ends with this value.
pub struct Program {
    child: Child,
    input: ChildStdin,
    said: mpsc::UnboundedReceiver<String>,
}

impl Program {
    #[track_caller]
    pub fn start(script: &str) -> Self {
        let mut child = Command::new(aws::tool("tests/interop/node_modules/.bin/node"))
            .arg(aws::root().join("tests/interop").join(script))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What it writes there stands beside a failing test.
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (say, said) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| say.send(line))
        });
        Self { child, input, said }
    }

    /// Says something, and gives the answer.
    pub async fn ask(&mut self, words: &Value) -> Value {
        writeln!(self.input, "{words}").unwrap();
        self.input.flush().unwrap();
        let line = tokio::time::timeout(LIMIT, self.said.recv())
            .await
            .expect("a program took longer than 50 s")
            .expect("a program ended without an answer");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authorization server.
pub struct Authorization {
    program: Program,
    /// Where its secret is, if it signs with one.
    secret: Option<Value>,
    pub issuer: String,
}

impl Authorization {
    /// One that signs so.
    pub async fn start(algorithm: &str) -> Self {
        let mut program = Program::start("authorization.mjs");
        let mut plan = json!({ "alg": algorithm });
        let mut secret = None;
        if algorithm == "HS256" {
            plan["secret"] = json!(SECRET);
            secret = Some(world().stored(SECRET).await);
        }
        let said = program.ask(&plan).await;
        let issuer = said["issuer"].as_str().unwrap().to_owned();
        Self {
            program,
            secret,
            issuer,
        }
    }

    /// How a server is told to believe it.
    pub fn section(&self, audience: &str) -> Value {
        match &self.secret {
            Some(secret) => json!({ "issuer": self.issuer, "audience": audience, "hs256": secret }),
            // The audience is this resource's name, by default.
            None => json!({ "issuer": self.issuer, "jwks": "discover" }),
        }
    }

    /// A token with these claims, signed with the server's `own` key, or with a `foreign` one of the same name.
    pub async fn sign(&mut self, claims: &Value, key: &str) -> String {
        let words = json!({ "claims": claims, "key": key });
        let said = self.program.ask(&words).await;
        said["token"].as_str().unwrap().to_owned()
    }
}

/// The public address of a server, known before the server listens: its configuration needs it. It ends with this value.
pub struct Front {
    pub url: String,
    target: watch::Sender<Option<SocketAddr>>,
    accepting: JoinHandle<()>,
}

impl Front {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (target, known) = watch::channel(None);
        let accepting = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut known = known.clone();
                tokio::spawn(async move {
                    let Ok(address) = known.wait_for(Option::is_some).await.map(|known| *known)
                    else {
                        return;
                    };
                    if let Ok(mut server) = TcpStream::connect(address.unwrap()).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Self {
            url,
            target,
            accepting,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Starts the server that is known by this address, and that believes this authorization server. It does not listen
    /// on a loopback address, where any page of this machine might call.
    #[track_caller]
    pub fn lead_to(&self, authorization: &Authorization, setup: Setup) -> Server {
        let mut setup = setup.with("/server/publicUrl", &*self.url).with(
            "/auth/issuers",
            json!([authorization.section(&self.url("/mcp"))]),
        );
        setup.arguments[2] = "0.0.0.0:0".to_owned();
        let server = setup.start();
        let address = SocketAddr::from(([127, 0, 0, 1], server.address.port()));
        self.target.send(Some(address)).unwrap();
        server
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
