//! What the kernel says of a process: processor time, memory, sockets.

use std::{collections::HashMap, fs, path::Path, time::Duration};

use crate::Result;

/// How often a process is looked at while it comes to rest.
const LOOK: Duration = Duration::from_millis(1);
/// As many looks without a change are rest.
const STILL: usize = 5;
/// A process that is not at rest by then will never be.
const MOST_LOOKS: usize = 5_000;

/// Sums a process's processor time in nanoseconds. `/proc/PID/stat` counts in hundredths of a second, too coarse for a
/// start; the scheduler's own figures are exact, but each thread's, and go when it ends: what was seen is kept.
pub(crate) struct Meter {
    id: u32,
    threads: HashMap<String, u64>,
}

impl Meter {
    pub(crate) fn new(id: u32) -> Self {
        Self {
            id,
            threads: HashMap::new(),
        }
    }

    fn read(&mut self) -> Result<Duration> {
        for thread in fs::read_dir(format!("/proc/{}/task", self.id))? {
            let thread = thread?;
            // A thread may end between the two.
            let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) else {
                continue;
            };
            let ran = text.split(' ').next().unwrap_or_default().parse()?;
            let name = thread.file_name().to_string_lossy().into_owned();
            self.threads.insert(name, ran);
        }
        Ok(Duration::from_nanos(self.threads.values().sum()))
    }

    /// The time until now, once the process does nothing more: what it does after an answer belongs to it too.
    pub(crate) async fn settled(&mut self) -> Result<Duration> {
        let (mut last, mut still) = (self.read()?, 0);
        for _ in 0..MOST_LOOKS {
            tokio::time::sleep(LOOK).await;
            let now = self.read()?;
            still = if now == last { still + 1 } else { 0 };
            last = now;
            if still == STILL {
                return Ok(now);
            }
        }
        Err("a server without requests does not come to rest".into())
    }
}

/// Megabytes (10^6).
pub(crate) struct Memory {
    /// All that is in memory, the used parts of the program's file among it.
    pub(crate) resident: f64,
    /// What is not a file's: heap and stacks.
    pub(crate) anonymous: f64,
    /// The most that was ever resident.
    pub(crate) peak: f64,
}

pub(crate) fn memory(id: u32) -> Result<Memory> {
    // `VmRSS` is off by some hundred kilobytes, which the kernel counts late; this walks the pages.
    let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let resident = kibibytes(&rollup, "Rss:")?;
    Ok(Memory {
        resident,
        anonymous: kibibytes(&rollup, "Anonymous:")?,
        peak: kibibytes(&status, "VmHWM:")?.max(resident),
    })
}

fn kibibytes(text: &str, name: &str) -> Result<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let value = value.ok_or_else(|| format!("the kernel says nothing of {name}"))?;
    let value: f64 = value.trim().trim_end_matches(" kB").parse()?;
    Ok(value * 1_024.0 / 1e6)
}

/// How many internet sockets a process holds.
pub(crate) fn internet_sockets(id: u32) -> Result<usize> {
    let root = format!("/proc/{id}");
    let mut known = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"] {
        let path = Path::new(&root).join("net").join(table);
        // A kernel without IPv6 lacks half of them.
        let text = fs::read_to_string(path).unwrap_or_default();
        let inodes = text.lines().skip(1);
        let inodes = inodes.filter_map(|line| line.split_whitespace().nth(9));
        known.extend(inodes.map(|inode| format!("socket:[{inode}]")));
    }
    let mut count = 0;
    for descriptor in fs::read_dir(format!("{root}/fd"))? {
        let Ok(target) = fs::read_link(descriptor?.path()) else {
            continue;
        };
        count += usize::from(known.iter().any(|name| target.as_os_str() == name.as_str()));
    }
    Ok(count)
}

/// The machine: its processors, and how busy they were.
pub(crate) fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let names = text.lines().filter(|line| line.starts_with("model name"));
    let name = names.clone().next().and_then(|line| line.split_once(": "));
    format!(
        "{} × {}",
        names.count(),
        name.map_or("unknown processor", |(_, name)| name)
    )
}

pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
