//! The programs under measurement: how each is started, and what is asked of it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStderr, Command},
    time::timeout,
};

use crate::{
    CALLERS, Result,
    client::Request,
    issuer::Issuer,
    process::{self, Memory},
    report::Era,
    secrets::{self, SecretsManager},
};

/// How long a program may take to listen.
const START: Duration = Duration::from_secs(20);
/// How often a log file is looked into until it names the port. Nothing is being timed then.
const LOOK: Duration = Duration::from_millis(5);
/// At least 32 bytes. It protects nothing.
pub(crate) const SIGNING_SECRET: &str = "a signing secret of the benchmark, and of nothing else";
pub(crate) const ROLE: &str = "arn:aws:iam::111122223333:role/QuiltReader";

pub(crate) const AUDIENCE: &str = "rolecall";

pub(crate) struct Program {
    path: PathBuf,
    arguments: &'static [&'static str],
    environment: Vec<(&'static str, String)>,
    call: Call,
    pub(crate) callers: Vec<Caller>,
}

/// What is called, and with what.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    /// `whoami`, with a token.
    Verified,
    /// `whoami`, without one.
    Open,
    /// The peers' `echo`.
    Echo,
}

/// Somebody who calls.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) token: String,
}

/// Where a program's log goes. Rolecall writes a line for each call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    /// To us, so that the port is known the moment it is written. For a few calls: the pipe is not emptied.
    Pipe,
    /// To a file, so that we have no work with it.
    File,
}

impl Program {
    /// Rolecall, with its secret in the environment or in `secrets`. On a loopback address it takes either.
    pub(crate) async fn rolecall(path: &Path, secrets: Option<&SecretsManager>) -> Result<Self> {
        let secret = match secrets {
            None => json!({ "$env": "SIGNING_SECRET" }),
            Some(_) => json!({ "$secret": secrets::ARN }),
        };
        let configuration = json!({
            "auth": { "issuers": [{ "issuer": "bench", "audience": AUDIENCE, "hs256": secret }] },
            "roles": { "allow": ["arn:aws:iam::111122223333:role/Quilt*"] },
        });
        let mut environment = vec![("ROLECALL_CONFIG", configuration.to_string())];
        match secrets {
            None => environment.push(("SIGNING_SECRET", SIGNING_SECRET.to_owned())),
            Some(secrets) => environment.extend([
                ("AWS_ENDPOINT_URL", secrets.url.clone()),
                ("AWS_REGION", "us-east-1".to_owned()),
                ("AWS_ACCESS_KEY_ID", "test".to_owned()),
                ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
                ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ]),
        }
        let mut program = Self {
            path: path.to_owned(),
            arguments: &["serve", "--listen", "127.0.0.1:0"],
            environment,
            call: Call::Verified,
            callers: Vec::new(),
        };
        // Minted with the secret that both have.
        if secrets.is_none() {
            program.callers = program.minted(CALLERS).await?;
        }
        Ok(program)
    }

    /// Rolecall with an issuer that publishes its keys.
    pub(crate) fn rolecall_jwks(path: &Path, issuer: &Issuer, callers: Vec<Caller>) -> Self {
        let configuration = json!({
            "auth": { "issuers": [{
                "issuer": issuer.url, "audience": AUDIENCE, "jwks": format!("{}/keys", issuer.url),
            }] },
            "roles": { "allow": ["arn:aws:iam::111122223333:role/Quilt*"] },
        });
        Self {
            path: path.to_owned(),
            arguments: &["serve", "--listen", "127.0.0.1:0"],
            environment: vec![("ROLECALL_CONFIG", configuration.to_string())],
            call: Call::Verified,
            callers,
        }
    }

    /// Rolecall without authentication.
    pub(crate) fn rolecall_open(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            arguments: &["serve", "--listen", "127.0.0.1:0", "--no-auth"],
            environment: Vec::new(),
            call: Call::Open,
            callers: nobody(),
        }
    }

    /// A program that listens on a free port and says on which.
    pub(crate) fn peer(path: PathBuf) -> Self {
        Self {
            path,
            arguments: &[],
            environment: Vec::new(),
            call: Call::Echo,
            callers: nobody(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Callers whose tokens carry a role.
    async fn minted(&self, count: usize) -> Result<Vec<Caller>> {
        let mut callers = Vec::new();
        for number in 1..=count {
            let name = format!("caller-{number}");
            let minted = self
                .command()
                .args(["token", "--subject", &name, "--role", ROLE])
                .stdout(Stdio::piped())
                .output()
                .await?;
            if !minted.status.success() {
                return Err(String::from_utf8_lossy(&minted.stderr).into());
            }
            let token = String::from_utf8(minted.stdout)?.trim().to_owned();
            callers.push(Caller { name, token });
        }
        Ok(callers)
    }

    /// Starts it and waits until it listens. Waiting is reading, so it costs nothing while the program starts.
    pub(crate) async fn start(&self, log: Log) -> Result<(Running, Instant)> {
        let mut command = self.command();
        command.args(self.arguments);
        let file = match log {
            Log::Pipe => {
                command.stderr(Stdio::piped());
                None
            }
            Log::File => {
                let path = log_path();
                command.stderr(fs::File::create(&path)?);
                Some(LogFile(path))
            }
        };
        let started = Instant::now();
        let mut child = command
            .spawn()
            .map_err(|error| format!("{}: {error}", self.path.display()))?;
        let id = child.id().ok_or("a program ended at once")?;
        let mut pipe = child.stderr.take().map(BufReader::new);
        let address = timeout(START, async {
            match (&mut pipe, &file) {
                (Some(pipe), _) => address_in_pipe(pipe).await,
                (None, Some(file)) => address_in_file(&file.0).await,
                (None, None) => Err("a program without a log".into()),
            }
        });
        let running = Running {
            address: address.await??,
            id,
            child,
            _pipe: pipe,
            _file: file,
        };
        Ok((running, started))
    }

    pub(crate) fn list_request(&self, era: Era, caller: &Caller) -> Request {
        Request {
            bytes: self.request(era, "tools/list", None, caller),
            expected: r#""inputSchema""#.to_owned(),
        }
    }

    /// A call whose answer shows that it is this caller's: the subject of its token, or the text that it sent.
    pub(crate) fn call_request(&self, era: Era, caller: &Caller) -> Request {
        let name = &caller.name;
        let (tool, arguments, expected) = match self.call {
            Call::Verified => ("whoami", json!({}), format!(r#""subject":"{name}""#)),
            Call::Open => ("whoami", json!({}), r#""subject":null"#.to_owned()),
            Call::Echo => (
                "echo",
                json!({ "text": name }),
                format!(r#""text":"{name}""#),
            ),
        };
        Request {
            bytes: self.request(era, "tools/call", Some((tool, arguments)), caller),
            expected,
        }
    }

    fn request(
        &self,
        era: Era,
        method: &str,
        call: Option<(&str, serde_json::Value)>,
        caller: &Caller,
    ) -> Vec<u8> {
        let mut headers = Vec::new();
        let mut params = json!({});
        let version = match era {
            Era::Legacy => "2025-11-25",
            Era::Modern => {
                headers.push(format!("mcp-method: {method}\r\n"));
                params["_meta"] = json!({
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientInfo": { "name": "bench", "version": "1" },
                    "io.modelcontextprotocol/clientCapabilities": {},
                });
                "2026-07-28"
            }
        };
        if let Some((name, arguments)) = call {
            params["name"] = name.into();
            params["arguments"] = arguments;
            if era == Era::Modern {
                headers.push(format!("mcp-name: {name}\r\n"));
            }
        }
        if self.call == Call::Verified {
            headers.push(format!("authorization: Bearer {}\r\n", caller.token));
        }
        let body =
            json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\nmcp-protocol-version: {version}\r\n\
             {}content-length: {}\r\n\r\n{body}",
            headers.concat(),
            body.len()
        )
        .into_bytes()
    }
}

/// Callers for whom nobody asks who they are.
fn nobody() -> Vec<Caller> {
    let caller = |number| Caller {
        name: format!("caller-{number}"),
        token: String::new(),
    };
    (1..=CALLERS).map(caller).collect()
}

/// A program that listens. It ends with this value.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) id: u32,
    child: Child,
    _pipe: Option<BufReader<ChildStderr>>,
    _file: Option<LogFile>,
}

impl Running {
    pub(crate) fn memory(&self) -> Result<Memory> {
        process::memory(self.id)
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// A name of its own for each, as several programs run at once.
fn log_path() -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("rolecall-bench-{}-{number}.log", std::process::id());
    std::env::temp_dir().join(name)
}

struct LogFile(PathBuf);

impl Drop for LogFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

async fn address_in_pipe(pipe: &mut BufReader<ChildStderr>) -> Result<SocketAddr> {
    let mut text = String::new();
    while pipe.read_line(&mut text).await? > 0 {
        if let Some(address) = address_in(&text) {
            return Ok(address);
        }
    }
    Err(format!("a program ended before it listened: {text}").into())
}

async fn address_in_file(path: &Path) -> Result<SocketAddr> {
    loop {
        if let Some(address) = address_in(&fs::read_to_string(path)?) {
            return Ok(address);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// All of them say `listening on http://ADDRESS/mcp`.
fn address_in(text: &str) -> Option<SocketAddr> {
    let (_, rest) = text.split_once("listening on http://")?;
    let (address, _) = rest.split_once("/mcp")?;
    address.parse().ok()
}
