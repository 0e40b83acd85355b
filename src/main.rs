//! The command line: reads it, reads the configuration, and hands over to a door.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, Parser, Subcommand, builder::NonEmptyStringValueParser};
use rolecall::{
    app::{App, Authentication, StartError, secret_loader, tool_definitions},
    auth::{Hs256Key, mint},
    aws::Sdk,
    clock::Clock,
    config::{Config, HeaderMode, Process, Reach, SecretSetting, arn::RoleArn},
    telemetry::{self, Output},
};

/// An MCP endpoint on AWS Lambda where every call runs as its caller.
#[derive(Parser)]
#[command(name = "rolecall", version, about)]
struct CommandLine {
    /// The configuration file. Without it, `ROLECALL_CONFIG` is the path of one, or the JSON itself.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve HTTP on a TCP port.
    Serve(Serve),
    /// Answer AWS Lambda's events. Implied where `AWS_LAMBDA_RUNTIME_API` is set.
    Lambda,
    /// Serve a client on this machine over standard input and output, with this process's own AWS credentials.
    Stdio,
    /// Check the configuration: every mistake at once, or the configuration in effect.
    Check(Check),
    /// Print the configuration's JSON schema.
    Schema,
    /// Print the definitions of the tools, as clients see them: one JSON object a line.
    Tools,
    /// Mint a development token, signed with the configured HS256 secret.
    Token(Token),
}

#[derive(Args)]
struct Serve {
    /// Where to listen. Port 0 takes any free port.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Let anyone on this machine call, without a token and without AWS. Loopback addresses only, and never inside a
    /// Lambda function.
    #[arg(long)]
    no_auth: bool,
}

#[derive(Args)]
struct Check {
    /// As where others can reach the server. What starts nowhere there is a mistake. What starts as `lambda` and not
    /// with `serve`, such as a server without a name, is a note: which of them it is for, the configuration does not say.
    #[arg(long)]
    production: bool,
}

#[derive(Args)]
struct Token {
    /// The `sub` claim.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    subject: String,
    /// A role's ARN. Given more than once, the first is the token's own and the others can be selected.
    #[arg(long, value_name = "ARN")]
    role: Vec<RoleArn>,
    /// The issuer, where more than one is configured.
    #[arg(long)]
    issuer: Option<String>,
    /// How long the token lasts, in seconds.
    #[arg(long, default_value_t = 3_600, value_name = "SECONDS")]
    ttl: u64,
}

impl Command {
    /// Who can reach the server that this starts or asks about.
    fn reach(&self, process: &Process) -> Reach {
        match self {
            Self::Lambda | Self::Check(Check { production: true }) => Reach::Others,
            // Inside a function, whatever listens is there for what stands before the function.
            Self::Serve(_) if process.lambda.is_some() => Reach::Others,
            Self::Serve(serve) => Reach::of(serve.listen),
            Self::Check(_) | Self::Stdio | Self::Schema | Self::Tools | Self::Token(_) => {
                Reach::ThisMachine
            }
        }
    }
}

/// A command that did not do what it was asked to.
enum Failure {
    /// The command line or the configuration is wrong: exit 2.
    Usage(String),
    /// Anything else: exit 1.
    Other(String),
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Listen(..) => Self::Other(error.to_string()),
            _ => Self::Usage(error.to_string()),
        }
    }
}

fn main() -> ExitCode {
    let (code, message) = match run(CommandLine::parse()) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => (2, message),
        Err(Failure::Other(message)) => (1, message),
    };
    // Nobody may be reading.
    let _ = writeln!(io::stderr(), "{message}");
    ExitCode::from(code)
}

fn run(line: CommandLine) -> Result<(), Failure> {
    let process = Process::from_env();
    let command = match line.command {
        Some(command) => command,
        None if process.lambda.is_some() => Command::Lambda,
        None => {
            return Err(Failure::Usage(
                "what shall it be? `rolecall --help` lists the commands".to_owned(),
            ));
        }
    };
    if matches!(command, Command::Schema) {
        return print(&Config::json_schema());
    }
    let reach = command.reach(&process);
    let config = Config::load(line.config.as_deref(), &process, reach).map_err(|mistakes| {
        Failure::Usage(format!("the configuration has mistakes:\n{mistakes}"))
    })?;
    match command {
        Command::Schema => Ok(()),
        Command::Tools => print(&tool_definitions(&config, &process)),
        Command::Check(_) => check(&config, &process, reach),
        Command::Token(token) => block_on(Threads::One, mint_token(&config, token))?,
        Command::Serve(serve) => {
            block_on(Threads::Many, serve_http(&config, &process, serve, reach))?
        }
        Command::Lambda => {
            let function = process.function().map_err(|missing| {
                Failure::Usage(format!("not inside AWS Lambda: {missing} is not set"))
            })?;
            telemetry::install(&config.telemetry, Output::Stdout);
            let app = App::new(&config, &process, Authentication::Required)?;
            block_on(Threads::of_function(&process), async {
                app.serve_lambda(process.invoke_mode, function, terminated())
                    .await
                    .map_err(|error| Failure::Other(error.to_string()))
            })?
        }
        Command::Stdio => {
            telemetry::install(&config.telemetry, Output::Stderr);
            let app = App::new(&config.for_stdio(), &process, Authentication::Off)?;
            block_on(Threads::Many, async {
                app.serve_stdio()
                    .await
                    .map_err(|error| Failure::Other(error.to_string()))
            })?
        }
    }
}

/// Prints the configuration in effect, with notes on what it will not do.
fn check(config: &Config, process: &Process, reach: Reach) -> Result<(), Failure> {
    let authentication = match reach {
        Reach::ThisMachine => Authentication::Off,
        Reach::Others => Authentication::Required,
    };
    // What only the whole can tell, such as a setting for a tool that is none.
    App::new(config, process, authentication)?;
    let note = |text: &str| {
        let _ = writeln!(io::stderr(), "note: {text}");
    };
    if config.auth.issuers.is_empty() {
        note(if config.roles.header == HeaderMode::Iam {
            "no issuer is configured: `serve` will not start; `lambda` will"
        } else {
            "no issuer is configured: `serve` and `lambda` will not start"
        });
    }
    let server = &config.server;
    if reach == Reach::Others && server.public_url.is_none() && server.allowed_hosts.is_empty() {
        note(
            "neither server.publicUrl nor server.allowedHosts is set: `serve` will not start where others can reach it; `lambda` will",
        );
    }
    // For whom others can reach there are none left.
    let in_production = config.mistakes_in_production();
    if !in_production.is_empty() {
        note(&format!(
            "where others can reach it, the server will not start:\n{in_production}"
        ));
    }
    print(&format!("{}\n", config.effective()))
}

/// How many threads answer requests.
#[derive(Clone, Copy)]
enum Threads {
    /// Lambda gives an instance one request at a time.
    One,
    /// As many as there are processors.
    Many,
}

impl Threads {
    /// A Lambda Managed Instance is given many requests at once, and the processors for them.
    fn of_function(process: &Process) -> Self {
        match &process.lambda {
            Some(lambda) if lambda.max_concurrency.get() > 1 => Self::Many,
            _ => Self::One,
        }
    }
}

fn block_on<T>(threads: Threads, work: impl Future<Output = T>) -> Result<T, Failure> {
    let mut builder = match threads {
        Threads::One => tokio::runtime::Builder::new_current_thread(),
        Threads::Many => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(error.to_string()))?;
    let done = runtime.block_on(work);
    // A thread may still wait for standard input; nothing is lost by leaving it.
    runtime.shutdown_background();
    Ok(done)
}

async fn serve_http(
    config: &Config,
    process: &Process,
    serve: Serve,
    reach: Reach,
) -> Result<(), Failure> {
    telemetry::install(&config.telemetry, Output::Stderr);
    let authentication = if serve.no_auth {
        Authentication::Off
    } else {
        Authentication::Required
    };
    let app = App::new(config, process, authentication)?;
    if serve.no_auth {
        tracing::warn!(
            "AUTHENTICATION IS OFF: anyone on this machine may call this server. No call reaches AWS."
        );
    }
    let listening =
        |address: SocketAddr| tracing::info!(%address, "listening on http://{address}/mcp");
    app.serve(serve.listen, reach, listening, terminated())
        .await?;
    Ok(())
}

/// Ends with SIGINT or SIGTERM. They are listened to from now on, not only once this is waited for: whoever reads that a
/// server listens may end it at once.
fn terminated() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    let came = |heard: std::io::Result<tokio::signal::unix::Signal>| async {
        match heard {
            Ok(mut signal) => drop(signal.recv().await),
            // Then the system ends the process, as it does without us.
            Err(_) => std::future::pending().await,
        }
    };
    async move {
        tokio::select! { () = came(interrupt) => {}, () = came(terminate) => {} }
    }
}

async fn mint_token(config: &Config, token: Token) -> Result<(), Failure> {
    let issuers = &config.auth.issuers;
    let issuer = match (&token.issuer, issuers.as_slice()) {
        (None, [only]) => only,
        (None, []) => {
            return Err(Failure::Usage(
                "no issuer is configured: set auth.issuers".to_owned(),
            ));
        }
        (None, _) => {
            return Err(Failure::Usage(
                "more than one issuer is configured: name one with --issuer".to_owned(),
            ));
        }
        (Some(name), all) => all
            .iter()
            .find(|issuer| issuer.issuer == *name)
            .ok_or_else(|| Failure::Usage("--issuer names no configured issuer".to_owned()))?,
    };
    let longest = issuer.max_lifetime_seconds.get();
    if token.ttl > longest {
        return Err(Failure::Usage(format!(
            "--ttl is longer than this issuer's tokens may last: {longest} s (maxLifetimeSeconds)"
        )));
    }
    let secret = match &issuer.hs256 {
        Some(SecretSetting::Plain(secret)) => secret.clone(),
        Some(SecretSetting::Stored(stored)) => {
            let load = secret_loader(&Arc::new(Sdk::new(&config.aws)));
            load(stored.clone())
                .await
                .map_err(|error| Failure::Other(error.to_string()))?
                .current
        }
        None => {
            return Err(Failure::Usage(
                "only issuers with an HS256 secret can have development tokens".to_owned(),
            ));
        }
    };
    let key = Hs256Key::new(&secret)
        .ok_or_else(|| Failure::Usage("the issuer's secret is shorter than 32 bytes".to_owned()))?;
    let now = Clock::system().unix();
    let mut claims = serde_json::json!({
        "iss": issuer.issuer,
        "aud": issuer.audience(&config.server),
        "sub": token.subject,
        "iat": now,
        "exp": now + token.ttl,
    });
    if let Some(own) = token.role.first() {
        claims["role_arn"] = own.as_str().into();
        claims["roles"] = token.role.iter().map(RoleArn::as_str).collect();
    }
    print(&format!("{}\n", mint(&claims, &key)))
}

fn print(text: &str) -> Result<(), Failure> {
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::Other(error.to_string()))
}
