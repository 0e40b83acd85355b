//! The official clients, all driven alike.
//!
//! Each client is a program of its own (npm, Python), or a thread with a runtime of its own (rmcp). It is given a plan,
//! and says once, at its end, what it saw. A plan, as JSON:
//! - `mode`: how it finds out what the server speaks.
//! - `url` and `token`; or `command`, `args` and `env`: where the server is.
//! - `steps`: each is `{"list": true}`, or `{"call": tool, "arguments": {…}}` with `"progress": true` to ask for reports,
//!   `"cancel": true` to give the call up at a word, once it has reported; or `"wait": true` to begin it only at a word.
//!
//! A word is a further line of standard input. The last line of the output is `{"seen": Seen}`, or `{"refused": Failure}`
//! where there was no connection.

use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use super::{super::support::aws, rust};

/// The longest that a client may take.
const LIMIT: Duration = Duration::from_secs(40);

/// A client in one of its modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    Npm(&'static str),
    Python(&'static str),
    Rust(&'static str),
}

/// Where a client finds the server.
#[derive(Debug, Clone)]
pub enum Reach {
    Http {
        url: String,
        token: String,
    },
    Stdio {
        command: String,
        environment: Vec<(String, String)>,
    },
}

/// What a client saw.
#[derive(Debug, Deserialize)]
pub struct Seen {
    /// The revision that it settled on.
    pub version: String,
    /// What the server calls itself; not every client in every mode asks.
    pub server: Option<Value>,
    pub steps: Vec<Step>,
    /// What it wrote beside that; the log of a server that it started aside.
    #[serde(skip)]
    pub warnings: String,
}

/// What came of one step.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Step {
    pub tools: Option<Vec<Value>>,
    /// What the client's own validator finds wrong with the tools' schemas.
    #[serde(default)]
    pub faults: Vec<String>,
    pub result: Option<Value>,
    pub error: Option<Failure>,
    #[serde(default)]
    pub progress: Vec<Value>,
}

/// An error as the client shows it to its user.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Failure {
    /// The name of its type.
    pub kind: String,
    /// The JSON-RPC code, or one of the client's own.
    pub code: Value,
    pub message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    Seen(Seen),
    Refused(Failure),
}

/// A client at work. It ends with this value.
pub struct Conversation {
    words: Words,
    said: oneshot::Receiver<(String, String)>,
    child: Option<Child>,
}

enum Words {
    Lines(ChildStdin),
    Channel(mpsc::UnboundedSender<()>),
}

impl Client {
    /// Starts the client on its steps.
    #[track_caller]
    pub fn start(self, reach: &Reach, steps: Value) -> Conversation {
        let (say, said) = oneshot::channel();
        let (command, mode) = match (self, reach) {
            (Self::Rust(mode), Reach::Http { url, token }) => {
                let (sender, words) = mpsc::unbounded_channel();
                let (url, token) = (url.clone(), token.clone());
                std::thread::spawn(move || {
                    let said = rust::converse(mode, &url, &token, &steps, words);
                    let _ = say.send((said.to_string(), String::new()));
                });
                return Conversation {
                    words: Words::Channel(sender),
                    said,
                    child: None,
                };
            }
            (Self::Rust(_), Reach::Stdio { .. }) => panic!("rmcp is driven over HTTP only"),
            (Self::Npm(mode), _) => {
                let mut command = Command::new(aws::tool("tests/interop/node_modules/.bin/node"));
                command.arg(aws::root().join("tests/interop/client.mjs"));
                (command, mode)
            }
            (Self::Python(mode), _) => {
                // What `make interop` leaves: without the client's package its program ends before it says anything.
                aws::tool(".venv/.test");
                let mut command = Command::new(aws::tool(".venv/bin/python"));
                command.arg(aws::root().join("tests/interop/client.py"));
                (command, mode)
            }
        };
        program(command, &plan(mode, reach, steps))
    }

    /// Lets the client do its steps. Gives what it saw, or why it was not let in.
    pub async fn converse(self, reach: &Reach, steps: Value) -> Result<Seen, Failure> {
        self.start(reach, steps).end().await
    }
}

fn plan(mode: &str, reach: &Reach, steps: Value) -> Value {
    let mut plan = match reach {
        Reach::Http { url, token } => json!({ "url": url, "token": token }),
        Reach::Stdio {
            command,
            environment,
        } => {
            let environment: Map<String, Value> = environment
                .iter()
                .map(|(name, value)| (name.clone(), json!(value)))
                .collect();
            json!({ "command": command, "args": ["stdio"], "env": environment })
        }
    };
    plan["mode"] = json!(mode);
    plan["steps"] = steps;
    plan
}

#[track_caller]
fn program(mut command: Command, plan: &Value) -> Conversation {
    let mut child = command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{plan}").unwrap();
    let (mut output, mut errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (say, said) = oneshot::channel();
    let warnings = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = errors.read_to_string(&mut text);
        let is_log = |line: &&str| serde_json::from_str::<Map<String, Value>>(line).is_ok();
        text.lines()
            .filter(|line| !is_log(line))
            .collect::<Vec<_>>()
            .join("\n")
    });
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = output.read_to_string(&mut text);
        let _ = say.send((text, warnings.join().unwrap()));
    });
    Conversation {
        words: Words::Lines(input),
        said,
        child: Some(child),
    }
}

impl Conversation {
    /// Gives the client the word that a step waits for.
    pub fn word(&mut self) {
        match &mut self.words {
            Words::Lines(input) => writeln!(input, "now").unwrap(),
            Words::Channel(sender) => sender.send(()).unwrap(),
        }
    }

    /// Waits for the client to end.
    pub async fn end(mut self) -> Result<Seen, Failure> {
        let (said, warnings) = tokio::time::timeout(LIMIT, &mut self.said)
            .await
            .expect("the client took longer than 40 s")
            .expect("the client says what it saw");
        let said: Said = serde_json::from_str(&said)
            .unwrap_or_else(|error| panic!("{error}: {said:?} {warnings}"));
        match said {
            Said::Seen(seen) => Ok(Seen { warnings, ..seen }),
            Said::Refused(failure) => Err(failure),
        }
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
