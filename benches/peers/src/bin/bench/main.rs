//! `make bench`: Rolecall beside the official SDK's echo server and a bare axum server, in turn, several rounds.
//!
//! Each program is started anew for each measurement, with an environment of nothing but its own settings. Rolecall
//! verifies a token, but for the one that shows what that costs. What this program itself uses of the processor is not counted, but it shares the machine:
//! calls per second and the high percentiles say how the programs compare, not what they could do alone. The processor
//! time of a call is the figure to trust.

mod client;
mod issuer;
mod process;
mod program;
mod report;
mod secrets;

use std::{
    error::Error,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Parser;
use client::{Connection, Request};
use issuer::Issuer;
use process::Meter;
use program::{Caller, Log, Program, Running};
use report::{Era, Figure, Metric, Report, Subject};
use secrets::SecretsManager;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How often each program is started in a round to time its first answer.
const STARTS: usize = 10;
/// Calls before memory is read.
const MEMORY_CALLS: usize = 1_000;
/// Connections, and calls on each of them in a burst.
const LOADS: [(usize, usize); 2] = [(1, 1_000), (32, 200)];
/// How often the programs take turns at each load in a round. What a call costs depends on what else the machine does,
/// and on which of its processors caller and server happen to run: short turns let all have the same luck.
const BURSTS: usize = 5;
/// Calls on each connection that are not measured.
const WARM_UP: usize = 20;
/// As many people call.
pub(crate) const CALLERS: usize = 8;
/// Different tokens of the soak: more than any cache of ours holds.
const SOAK_TOKENS: usize = 10_000;
/// Its calls.
const SOAK_CALLS: usize = 100_000;

/// Compares Rolecall with its peers.
#[derive(Parser)]
struct Arguments {
    /// The release build of Rolecall.
    #[arg(long, default_value = "target/release/rolecall")]
    rolecall: PathBuf,
    /// Where the peers were built.
    #[arg(long, default_value = "target/release")]
    peers: PathBuf,
    /// The package as it is uploaded: the binary, zipped.
    #[arg(long)]
    zip: PathBuf,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Print tables for `docs/PERFORMANCE.md`.
    #[arg(long)]
    markdown: bool,
}

// One thread: the servers are to have as much of the machine as can be.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let secrets = SecretsManager::start().await?;
    let issuer = Issuer::start().await?;
    let by_env = Program::rolecall(&arguments.rolecall, None).await?;
    let mut by_secret = Program::rolecall(&arguments.rolecall, Some(&secrets)).await?;
    by_secret.callers.clone_from(&by_env.callers);
    let by_keys = Program::rolecall_jwks(&arguments.rolecall, &issuer, issuer.callers(CALLERS)?);
    let programs = [
        (Subject::RolecallEnv, by_env),
        (Subject::RolecallSecret, by_secret),
        (Subject::RolecallJwks, by_keys),
        (
            Subject::RolecallOpen,
            Program::rolecall_open(&arguments.rolecall),
        ),
        (
            Subject::Rmcp,
            Program::peer(arguments.peers.join("rmcp-echo")),
        ),
        (
            Subject::Axum,
            Program::peer(arguments.peers.join("axum-bare")),
        ),
    ];
    let mut report = Report::new(&arguments.rolecall, &arguments.zip)?;
    report.quiet_start = quiet_start(&programs[1].1, &secrets).await?;
    refuses_strangers(&programs[0].1).await?;
    for round in 1..=arguments.rounds {
        progress(&format!("round {round} of {}", arguments.rounds));
        for _ in 0..STARTS {
            for (subject, program) in &programs {
                first_answer(&mut report, *subject, program).await?;
            }
        }
        loads(&mut report, &programs).await?;
    }
    report.soak = Some(soak(&arguments.rolecall, &issuer).await?);
    report.end();
    std::io::stdout().write_all(report.render(arguments.markdown).as_bytes())?;
    Ok(())
}

/// From the start of the process to the whole answer of `tools/list`.
async fn first_answer(report: &mut Report, subject: Subject, program: &Program) -> Result<()> {
    let request = program.list_request(Era::Legacy, &program.callers[0]);
    let (running, started) = program.start(Log::Pipe).await?;
    let mut connection = Connection::open(running.address).await?;
    connection.call(&request).await?;
    let answered = started.elapsed();
    let cpu = Meter::new(running.id).settled().await?;
    report.add(subject, Metric::FirstAnswer, answered.as_secs_f64() * 1e3);
    report.add(subject, Metric::FirstAnswerCpu, cpu.as_secs_f64() * 1e3);
    running.stop().await
}

/// A program under load, and what is asked of it.
struct Loaded {
    subject: Subject,
    running: Running,
    meter: Meter,
    legacy: Vec<Request>,
    modern: Vec<Request>,
}

/// Memory after the first calls; then bursts of calls at each load in both eras, in turn.
async fn loads(report: &mut Report, programs: &[(Subject, Program)]) -> Result<()> {
    let mut all = Vec::new();
    for (subject, program) in programs {
        let loaded = start_loaded(report, *subject, program).await?;
        // How the secret came makes no difference to the calls after it, so one of the two is enough.
        if *subject == Subject::RolecallEnv {
            loaded.running.stop().await?;
        } else {
            all.push(loaded);
        }
    }
    for (connections, calls) in LOADS {
        for era in [Era::Legacy, Era::Modern] {
            for _ in 0..BURSTS {
                for loaded in &mut all {
                    for (figure, value) in measure(loaded, era, connections, calls).await? {
                        report.add(
                            loaded.subject,
                            Metric::Load(connections, era, figure),
                            value,
                        );
                    }
                }
            }
        }
    }
    for loaded in all {
        let memory = loaded.running.memory()?;
        report.add(loaded.subject, Metric::MemoryLoaded, memory.resident);
        loaded.running.stop().await?;
    }
    Ok(())
}

async fn start_loaded(report: &mut Report, subject: Subject, program: &Program) -> Result<Loaded> {
    let (running, _) = program.start(Log::File).await?;
    let calls = |era| {
        let request = |caller: &Caller| program.call_request(era, caller);
        program.callers.iter().map(request).collect::<Vec<_>>()
    };
    let (legacy, modern) = (calls(Era::Legacy), calls(Era::Modern));
    let mut connection = Connection::open(running.address).await?;
    let mixed: Vec<&Request> = legacy.iter().chain(&modern).collect();
    for request in mixed.iter().cycle().take(MEMORY_CALLS) {
        connection.call(request).await?;
    }
    let memory = running.memory()?;
    report.add(subject, Metric::Memory, memory.resident);
    report.add(subject, Metric::MemoryOwn, memory.anonymous);
    report.add(subject, Metric::MemoryPeak, memory.peak);
    Ok(Loaded {
        subject,
        meter: Meter::new(running.id),
        running,
        legacy,
        modern,
    })
}

async fn measure(
    loaded: &mut Loaded,
    era: Era,
    connections: usize,
    calls: usize,
) -> Result<[(Figure, f64); 4]> {
    let requests = match era {
        Era::Legacy => &loaded.legacy,
        Era::Modern => &loaded.modern,
    };
    let mut open = Vec::new();
    for index in 0..connections {
        let mut connection = Connection::open(loaded.running.address).await?;
        for request in requests.iter().cycle().skip(index).take(WARM_UP) {
            connection.call(request).await?;
        }
        open.push(connection);
    }
    let before = loaded.meter.settled().await?;
    let (elapsed, mut latencies) = client::run(open, requests, calls).await?;
    let cpu = loaded.meter.settled().await?.saturating_sub(before);
    latencies.sort_unstable();
    let at = |share: usize| micros(latencies[(latencies.len() - 1) * share / 100]);
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let total = latencies.len() as f64;
    Ok([
        (Figure::Median, at(50)),
        (Figure::Percentile99, at(99)),
        (Figure::Rate, total / elapsed.as_secs_f64()),
        (Figure::Cpu, micros(cpu) / total),
    ])
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Shows that a server with its secret in Secrets Manager touches no network before its first request. Once it listens
/// and does nothing more, it holds one socket, the listener, and nobody has connected to Secrets Manager; the first
/// request then does.
async fn quiet_start(program: &Program, secrets: &SecretsManager) -> Result<String> {
    let (running, _) = program.start(Log::Pipe).await?;
    let mut meter = Meter::new(running.id);
    meter.settled().await?;
    let (connections, sockets) = (
        secrets.connections(),
        process::internet_sockets(running.id)?,
    );
    let mut connection = Connection::open(running.address).await?;
    connection
        .call(&program.call_request(Era::Legacy, &program.callers[0]))
        .await?;
    let after = secrets.connections();
    running.stop().await?;
    if (connections, sockets) != (0, 1) || after == 0 {
        return Err(format!(
            "not quiet before the first request: {connections} connections to Secrets Manager and {sockets} sockets (1 is the listener); after it {after} connections"
        )
        .into());
    }
    Ok(format!(
        "before the first request 0 connections to Secrets Manager and no socket but the listener; after it {after} connections"
    ))
}

/// Memory, in megabytes, after each of many tokens came once, and after many more calls with them: what is remembered of
/// callers is bounded.
async fn soak(rolecall: &Path, issuer: &Issuer) -> Result<(f64, f64)> {
    progress("soak");
    let program = Program::rolecall_jwks(rolecall, issuer, issuer.callers(SOAK_TOKENS)?);
    let (running, _) = program.start(Log::File).await?;
    let mut connection = Connection::open(running.address).await?;
    let mut after_each = 0.0;
    for number in 0..SOAK_CALLS {
        let caller = &program.callers[number % SOAK_TOKENS];
        connection
            .call(&program.call_request(Era::Legacy, caller))
            .await?;
        if number + 1 == SOAK_TOKENS {
            after_each = running.memory()?.resident;
        }
    }
    let after_all = running.memory()?.resident;
    running.stop().await?;
    Ok((after_each, after_all))
}

/// Shows that authentication is on in what is measured.
async fn refuses_strangers(program: &Program) -> Result<()> {
    let (running, _) = program.start(Log::Pipe).await?;
    let mut connection = Connection::open(running.address).await?;
    let stranger = Caller {
        name: "stranger".to_owned(),
        token: "e30.e30.e30".to_owned(),
    };
    let answer = connection
        .call(&program.call_request(Era::Legacy, &stranger))
        .await;
    running.stop().await?;
    match answer {
        Err(error) if error.to_string().contains("HTTP/1.1 401") => Ok(()),
        Err(error) => Err(error),
        Ok(()) => Err("Rolecall answered a call with a bad token".into()),
    }
}

fn progress(text: &str) {
    // For whoever waits; the result goes to standard output.
    let _ = writeln!(std::io::stderr(), "{text}");
}
