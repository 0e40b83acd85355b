//! The figures: medians of all rounds, ratios, and the targets.

use std::{collections::HashMap, fmt::Write, fs, path::Path};

use crate::{
    LOADS, MEMORY_CALLS, Result, SOAK_CALLS, SOAK_TOKENS,
    process::{load_average, processor},
};

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// Rolecall with its signing secret in the environment.
    RolecallEnv,
    /// Rolecall with its signing secret in Secrets Manager, as on Lambda.
    RolecallSecret,
    /// Rolecall with an issuer that publishes its keys.
    RolecallJwks,
    /// Rolecall without authentication.
    RolecallOpen,
    /// The official SDK's echo server.
    Rmcp,
    /// The floor.
    Axum,
}

const SUBJECTS: [(Subject, &str); 6] = [
    (Subject::RolecallEnv, "Rolecall, $env"),
    (Subject::RolecallSecret, "Rolecall, $secret"),
    (Subject::RolecallJwks, "JWKS"),
    (Subject::RolecallOpen, "no auth"),
    (Subject::Rmcp, "rmcp echo"),
    (Subject::Axum, "bare axum"),
];

/// The two eras of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Era {
    Legacy,
    Modern,
}

/// What is measured of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Metric {
    /// Milliseconds from the start of the process to the answer of `tools/list`.
    FirstAnswer,
    /// Milliseconds of processor time until then, and what is done after it.
    FirstAnswerCpu,
    /// Megabytes after the first calls.
    Memory,
    /// Of these, what is not a file's.
    MemoryOwn,
    /// The most until then.
    MemoryPeak,
    /// Megabytes after all loads.
    MemoryLoaded,
    /// With so many connections.
    Load(usize, Era, Figure),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Figure {
    /// Microseconds.
    Median,
    /// Microseconds.
    Percentile99,
    /// Calls per second.
    Rate,
    /// Microseconds of processor time for a call.
    Cpu,
}

impl Metric {
    fn all() -> Vec<(String, Self)> {
        let mut all = vec![
            ("first answer, ms".to_owned(), Self::FirstAnswer),
            ("CPU to it, ms".to_owned(), Self::FirstAnswerCpu),
            (
                format!("memory after {MEMORY_CALLS} calls, MB"),
                Self::Memory,
            ),
            ("of it heap and stacks, MB".to_owned(), Self::MemoryOwn),
            ("peak until then, MB".to_owned(), Self::MemoryPeak),
            ("memory after all loads, MB".to_owned(), Self::MemoryLoaded),
        ];
        for (connections, _) in LOADS {
            for (era, name) in [(Era::Legacy, "legacy"), (Era::Modern, "modern")] {
                for (figure, unit) in [
                    (Figure::Cpu, "CPU per call, µs"),
                    (Figure::Median, "p50, µs"),
                    (Figure::Percentile99, "p99, µs"),
                    (Figure::Rate, "calls/s"),
                ] {
                    all.push((
                        format!("{name}, {connections} conn.: {unit}"),
                        Self::Load(connections, era, figure),
                    ));
                }
            }
        }
        all
    }
}

pub(crate) struct Report {
    samples: HashMap<(Subject, Metric), Vec<f64>>,
    /// What was seen of the network before the first request.
    pub(crate) quiet_start: String,
    /// Megabytes after each token came once, and after all calls of the soak.
    pub(crate) soak: Option<(f64, f64)>,
    binary_bytes: u64,
    zip_bytes: u64,
    load_at_start: String,
    load_at_end: String,
}

impl Report {
    pub(crate) fn new(binary: &Path, zip: &Path) -> Result<Self> {
        let size = |path: &Path| {
            let data = fs::metadata(path);
            data.map_err(|error| format!("{}: {error}", path.display()))
        };
        Ok(Self {
            samples: HashMap::new(),
            quiet_start: String::new(),
            soak: None,
            binary_bytes: size(binary)?.len(),
            zip_bytes: size(zip)?.len(),
            load_at_start: load_average(),
            load_at_end: String::new(),
        })
    }

    pub(crate) fn add(&mut self, subject: Subject, metric: Metric, value: f64) {
        self.samples
            .entry((subject, metric))
            .or_default()
            .push(value);
    }

    pub(crate) fn end(&mut self) {
        self.load_at_end = load_average();
    }

    fn median(&self, subject: Subject, metric: Metric) -> Option<f64> {
        let mut values = self.samples.get(&(subject, metric))?.clone();
        values.sort_unstable_by(f64::total_cmp);
        let middle = values.len() / 2;
        Some(if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        })
    }

    /// How many times the peer's figure ours is.
    fn ratio(&self, ours: Subject, peer: Subject, metric: Metric) -> Option<f64> {
        Some(self.median(ours, metric)? / self.median(peer, metric)?)
    }

    pub(crate) fn render(&self, markdown: bool) -> String {
        let rounds = self
            .samples
            .get(&(Subject::RolecallEnv, Metric::Memory))
            .map_or(0, Vec::len);
        let mut text = format!(
            "{}. Load average {} at the start, {} at the end. Medians of {rounds} rounds.\n\n",
            processor(),
            self.load_at_start,
            self.load_at_end
        );
        text.push_str(&table(markdown, &self.figures()));
        text.push('\n');
        text.push_str(&table(markdown, &self.targets()));
        let _ = write!(
            text,
            "\nNo network before the first request: {}.\n",
            self.quiet_start
        );
        text
    }

    fn figures(&self) -> Vec<Vec<String>> {
        let mut head = vec![String::new()];
        head.extend(SUBJECTS.map(|(_, name)| name.to_owned()));
        head.extend(["× rmcp".to_owned(), "× axum".to_owned()]);
        let mut rows = vec![head];
        for (name, metric) in Metric::all() {
            let mut row = vec![name];
            row.extend(SUBJECTS.map(|(subject, _)| shown(self.median(subject, metric))));
            // The figure that the ratio is of: what the targets speak of, where both were measured. Of the first answer, the
            // one for which nobody else is asked, as by the peers; in production there is no such (docs/decisions/0007).
            let ours = match metric {
                Metric::FirstAnswer | Metric::FirstAnswerCpu => Subject::RolecallEnv,
                _ => Subject::RolecallSecret,
            };
            for peer in [Subject::Rmcp, Subject::Axum] {
                row.push(shown(self.ratio(ours, peer, metric)));
            }
            rows.push(row);
        }
        rows
    }

    fn targets(&self) -> Vec<Vec<String>> {
        let rolecalls = [
            ("$env", Subject::RolecallEnv),
            ("$secret", Subject::RolecallSecret),
            ("JWKS", Subject::RolecallJwks),
        ];
        let mut rows = vec![
            ["target", "measured", "verdict"]
                .map(str::to_owned)
                .to_vec(),
        ];
        let mut judge = |name: String, value: Option<f64>, most: f64, unit: &str| {
            let judged = match value {
                Some(value) if value <= most => "met",
                Some(_) => "MISSED",
                None => "not measured",
            };
            rows.push(vec![
                format!("{name} <= {most}{unit}"),
                format!("{}{unit}", shown(value)),
                judged.to_owned(),
            ]);
        };
        for (name, ours) in rolecalls {
            judge(
                format!("first answer ({name}) / bare axum's"),
                self.ratio(ours, Subject::Axum, Metric::FirstAnswer),
                1.5,
                " ×",
            );
        }
        for (era, name) in [(Era::Legacy, "legacy"), (Era::Modern, "modern")] {
            for (connections, _) in LOADS {
                let metric = Metric::Load(connections, era, Figure::Cpu);
                judge(
                    format!("CPU of a verified whoami, {name}, {connections} conn. / rmcp's echo"),
                    self.ratio(Subject::RolecallSecret, Subject::Rmcp, metric),
                    1.5,
                    " ×",
                );
            }
        }
        for (era, name) in [(Era::Legacy, "legacy"), (Era::Modern, "modern")] {
            for (connections, _) in LOADS {
                let metric = Metric::Load(connections, era, Figure::Cpu);
                let cost = |subject| self.median(subject, metric);
                let more = cost(Subject::RolecallJwks).zip(cost(Subject::RolecallOpen));
                judge(
                    format!(
                        "CPU of a JWKS-verified whoami, {name}, {connections} conn., above one without a token"
                    ),
                    more.map(|(verified, open)| verified - open),
                    20.0,
                    " µs",
                );
            }
        }
        judge(
            format!(
                "memory after {SOAK_CALLS} calls with {SOAK_TOKENS} tokens, above that after one call with each"
            ),
            self.soak
                .map(|(before, after)| (after / before - 1.0) * 100.0),
            5.0,
            " %",
        );
        for (name, ours) in rolecalls {
            judge(
                format!("memory after {MEMORY_CALLS} calls ({name})"),
                self.median(ours, Metric::Memory),
                12.0,
                " MB",
            );
        }
        judge(
            "zip".to_owned(),
            Some(megabytes(self.zip_bytes)),
            6.0,
            " MB",
        );
        rows.push(vec![
            "binary".to_owned(),
            format!("{:.2} MB", megabytes(self.binary_bytes)),
            String::new(),
        ]);
        rows
    }
}

fn megabytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "files are no petabytes")]
    let bytes = bytes as f64;
    bytes / 1e6
}

fn shown(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value.abs() >= 1_000.0 => format!("{value:.0}"),
        Some(value) if value >= 100.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

/// A table, aligned; the first row is its head.
fn table(markdown: bool, rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let (before, between, after) = if markdown {
        ("| ", " | ", " |")
    } else {
        ("", "  ", "")
    };
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        let _ = writeln!(text, "{before}{}{after}", cells.join(between));
        if number == 0 {
            let rule = |(column, width): (usize, &usize)| match column {
                0 => "-".repeat(*width),
                _ if markdown => format!("{}:", "-".repeat(width - 1)),
                _ => "-".repeat(*width),
            };
            let rules: Vec<String> = widths.iter().enumerate().map(rule).collect();
            let _ = writeln!(text, "{before}{}{after}", rules.join(between));
        }
    }
    text
}
