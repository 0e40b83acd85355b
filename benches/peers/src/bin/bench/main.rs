//! `make bench`: Rolecall beside the official SDK's echo server and a bare axum server, in turn, several rounds.
//!
//! Each program is started anew for each measurement, with an environment of nothing but its own settings. Rolecall
//! always verifies a token. What this program itself uses of the processor is not counted, but it shares the machine:
//! calls per second and the high percentiles say how the programs compare, not what they could do alone. The processor
//! time of a call is the figure to trust.

mod client;
mod process;
mod program;
mod report;
mod secrets;

use std::{error::Error, io::Write, path::PathBuf, time::Duration};

use clap::Parser;
use client::{Connection, Request};
use process::Meter;
use program::{Caller, Log, Program, Running};
use report::{Era, Figure, Metric, Report, Subject};
use secrets::SecretsManager;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How often each program is started in a round to time its first answer.
const STARTS: usize = 10;
/// Calls before memory is read.
const MEMORY_CALLS: usize = 1_000;
/// Connections, and calls on each of them.
const LOADS: [(usize, usize); 2] = [(1, 5_000), (32, 1_000)];
/// Calls on each connection that are not measured.
const WARM_UP: usize = 50;
/// As many people call.
const CALLERS: usize = 8;

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
    let programs = [
        (
            Subject::RolecallEnv,
            Program::rolecall(&arguments.rolecall, None),
        ),
        (
            Subject::RolecallSecret,
            Program::rolecall(&arguments.rolecall, Some(&secrets)),
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
    let callers = programs[0].1.callers(CALLERS).await?;
    let mut report = Report::new(&arguments.rolecall, &arguments.zip)?;
    report.quiet_start = quiet_start(&programs[1].1, &secrets, &callers).await?;
    refuses_strangers(&programs[0].1).await?;
    for round in 1..=arguments.rounds {
        progress(&format!("round {round} of {}", arguments.rounds));
        for _ in 0..STARTS {
            for (subject, program) in &programs {
                first_answer(&mut report, *subject, program, &callers).await?;
            }
        }
        for (subject, program) in &programs {
            load(&mut report, *subject, program, &callers).await?;
        }
    }
    report.end();
    std::io::stdout().write_all(report.render(arguments.markdown).as_bytes())?;
    Ok(())
}

/// From the start of the process to the whole answer of `tools/list`.
async fn first_answer(
    report: &mut Report,
    subject: Subject,
    program: &Program,
    callers: &[Caller],
) -> Result<()> {
    let request = program.list_request(Era::Legacy, &callers[0]);
    let (running, started) = program.start(Log::Pipe).await?;
    let mut connection = Connection::open(running.address).await?;
    connection.call(&request).await?;
    let answered = started.elapsed();
    let cpu = Meter::new(running.id).settled().await?;
    report.add(subject, Metric::FirstAnswer, answered.as_secs_f64() * 1e3);
    report.add(subject, Metric::FirstAnswerCpu, cpu.as_secs_f64() * 1e3);
    running.stop().await
}

/// Memory after the first calls, then calls at each load in both eras.
async fn load(
    report: &mut Report,
    subject: Subject,
    program: &Program,
    callers: &[Caller],
) -> Result<()> {
    let (running, _) = program.start(Log::File).await?;
    let calls = |era| {
        let request = |caller: &Caller| program.call_request(era, caller);
        callers.iter().map(request).collect::<Vec<_>>()
    };
    let (legacy, modern) = (calls(Era::Legacy), calls(Era::Modern));
    let mut connection = Connection::open(running.address).await?;
    let mixed: Vec<&Request> = legacy.iter().chain(&modern).collect();
    for request in mixed.iter().cycle().take(MEMORY_CALLS) {
        connection.call(request).await?;
    }
    drop(connection);
    let memory = running.memory()?;
    report.add(subject, Metric::Memory, memory.resident);
    report.add(subject, Metric::MemoryOwn, memory.anonymous);
    report.add(subject, Metric::MemoryPeak, memory.peak);
    // How the secret came makes no difference to the calls after it, so one of the two is enough.
    if subject != Subject::RolecallEnv {
        let mut meter = Meter::new(running.id);
        for (connections, calls) in LOADS {
            for (era, requests) in [(Era::Legacy, &legacy), (Era::Modern, &modern)] {
                let figure = |figure| Metric::Load(connections, era, figure);
                let measured = measure(&running, &mut meter, requests, connections, calls).await?;
                for (kind, value) in measured {
                    report.add(subject, figure(kind), value);
                }
            }
        }
        report.add(subject, Metric::MemoryLoaded, running.memory()?.resident);
    }
    running.stop().await
}

async fn measure(
    running: &Running,
    meter: &mut Meter,
    requests: &[Request],
    connections: usize,
    calls: usize,
) -> Result<[(Figure, f64); 4]> {
    let mut open = Vec::new();
    for index in 0..connections {
        let mut connection = Connection::open(running.address).await?;
        for request in requests.iter().cycle().skip(index).take(WARM_UP) {
            connection.call(request).await?;
        }
        open.push(connection);
    }
    let before = meter.settled().await?;
    let (elapsed, mut latencies) = client::run(open, requests, calls).await?;
    let cpu = meter.settled().await?.saturating_sub(before);
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
async fn quiet_start(
    program: &Program,
    secrets: &SecretsManager,
    callers: &[Caller],
) -> Result<String> {
    let (running, _) = program.start(Log::Pipe).await?;
    let mut meter = Meter::new(running.id);
    meter.settled().await?;
    let (connections, sockets) = (
        secrets.connections(),
        process::internet_sockets(running.id)?,
    );
    let mut connection = Connection::open(running.address).await?;
    connection
        .call(&program.call_request(Era::Legacy, &callers[0]))
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
