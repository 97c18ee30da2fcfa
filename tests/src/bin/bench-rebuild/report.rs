//! The figures, as they are printed and written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::Value;

use crate::Options;
use crate::load::{Latencies, Measured};

const MIB: f64 = 1_048_576.0;

/// Latencies of one kind of call at one time, in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    calls: u64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
}

impl Row {
    /// Of a histogram of microseconds.
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        let max_ms = histogram.max() as f64 / 1000.0;
        Self { calls: histogram.len(), p50_ms: at(0.5), p99_ms: at(0.99), p999_ms: at(0.999), max_ms }
    }
}

/// What clients felt before and during a disturbance.
#[derive(Debug, Serialize)]
pub(crate) struct Disturbed {
    rows: BTreeMap<&'static str, Row>,
    errors_before: u64,
    errors_during: u64,
    took_seconds: f64,
    memory_before_mib: f64,
    memory_during_mib: f64,
}

impl Disturbed {
    pub(crate) fn new(measured: Measured, took: Duration, before: u64, during: u64) -> Self {
        let Measured { before: quiet, during: disturbed } = measured;
        let rows = BTreeMap::from([
            ("put before", Row::of(&quiet.puts)),
            ("put during", Row::of(&disturbed.puts)),
            ("get before", Row::of(&quiet.gets)),
            ("get during", Row::of(&disturbed.gets)),
        ]);
        Self {
            rows,
            errors_before: quiet.errors,
            errors_during: disturbed.errors,
            took_seconds: took.as_secs_f64(),
            memory_before_mib: before as f64 / MIB,
            memory_during_mib: during as f64 / MIB,
        }
    }

    fn longest(&self, row: &str) -> f64 {
        self.rows.get(row).map_or(f64::NAN, |row| row.max_ms)
    }
}

/// What a job told of itself.
#[derive(Debug, Serialize)]
pub(crate) struct Job {
    kind: String,
    to: String,
    /// Whether clients wrote and read meanwhile.
    pub(crate) under_load: bool,
    bytes: u64,
    copy_ms: u64,
    took_ms: u64,
    switch_entries: u64,
    switch_us: u64,
    slowed_writers: bool,
}

impl Job {
    pub(crate) fn read(told: &Value) -> Option<Self> {
        let result = told.get("result")?;
        let number = |name: &str| result.get(name)?.as_u64();
        Some(Self {
            kind: told.get("kind")?.as_str()?.to_owned(),
            to: told.get("to")?.get("name")?.as_str()?.to_owned(),
            under_load: false,
            bytes: number("bytes")?,
            copy_ms: number("copy_ms")?,
            took_ms: number("took_ms")?,
            switch_entries: number("switch_entries")?,
            switch_us: number("switch_us")?,
            slowed_writers: result.get("slowed_writers")?.as_bool()?,
        })
    }

    /// MiB of keys and values in a second of `millis`.
    fn speed(&self, millis: u64) -> f64 {
        self.bytes as f64 / MIB / (millis.max(1) as f64 / 1000.0)
    }
}

/// One client's calls, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct SingleCalls {
    pub(crate) natural: Latencies,
    pub(crate) formatted: Latencies,
}

impl SingleCalls {
    /// Medians in microseconds: put and get, natural and formatted.
    fn medians(&self) -> [f64; 4] {
        [&self.natural.puts, &self.formatted.puts, &self.natural.gets, &self.formatted.gets]
            .map(|times| times.value_at_quantile(0.5) as f64 / 1000.0)
    }
}

impl Serialize for SingleCalls {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.medians().serialize(serializer)
    }
}

/// Everything that was measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    /// By what disturbed: a rebuild, or a conversion to a format.
    pub(crate) mortise: Vec<(String, Disturbed)>,
    pub(crate) etcd: Option<Disturbed>,
    pub(crate) jobs: Vec<Job>,
    /// Median microseconds of a put and a get: natural, formatted, natural, formatted.
    pub(crate) single_calls: BTreeMap<String, SingleCalls>,
}

impl Figures {
    /// The figures as Markdown.
    pub(crate) fn table(&self, options: &Options) -> String {
        let mut text = format!(
            "\n{} MiB, a third superseded; {} writers and {} readers, {} puts and gets a second.\n\n",
            options.mebibytes, options.writers, options.readers, options.rate
        );
        text += "| server | call | calls | p50 ms | p99 ms | p99.9 ms | max ms |\n|---|---|--:|--:|--:|--:|--:|\n";
        for (server, disturbed) in self.disturbed() {
            for (call, row) in &disturbed.rows {
                let Row { calls, p50_ms, p99_ms, p999_ms, max_ms } = row;
                let _ = writeln!(
                    text,
                    "| {server} | {call} | {calls} | {p50_ms:.2} | {p99_ms:.2} | {p999_ms:.2} | {max_ms:.1} |"
                );
            }
        }
        for (server, one) in self.disturbed() {
            let _ = writeln!(
                text,
                "\n{server}: {:.1} s; errors {} before, {} during; memory at most {:.0} MiB before, {:.0} MiB during",
                one.took_seconds,
                one.errors_before,
                one.errors_during,
                one.memory_before_mib,
                one.memory_during_mib
            );
        }
        if let (Some((_, ours)), Some(theirs)) = (self.mortise.first(), &self.etcd) {
            let (ours, theirs) = (ours.longest("put during"), theirs.longest("put during"));
            let _ = writeln!(text, "longest put: {ours:.1} ms beside {theirs:.1} ms, 1/{:.0}", theirs / ours);
        }
        text += &self.job_table();
        text += "\n| format | put µs | natural | get µs | natural |\n|---|--:|--:|--:|--:|\n";
        for (format, calls) in &self.single_calls {
            let [put_natural, put, get_natural, get] = calls.medians();
            let _ =
                writeln!(text, "| {format} | {put:.1} | {put_natural:.1} | {get:.1} | {get_natural:.1} |");
        }
        text
    }

    /// What was disturbed, by the server and what disturbed it.
    fn disturbed(&self) -> Vec<(String, &Disturbed)> {
        let ours = self.mortise.iter().map(|(what, one)| (format!("mortise, {what}"), one));
        ours.chain(self.etcd.iter().map(|one| ("etcd, defrag".to_owned(), one))).collect()
    }

    /// A row for each job.
    fn job_table(&self) -> String {
        let mut text = String::new();
        text += "\n| job | to | load | copied MiB | copy MiB/s | all MiB/s | all s | switch entries | switch ms | writers slowed |\n";
        text += "|---|---|---|--:|--:|--:|--:|--:|--:|---|\n";
        for job in &self.jobs {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {:.0} | {:.0} | {:.0} | {:.1} | {} | {:.2} | {} |",
                job.kind,
                job.to,
                if job.under_load { "yes" } else { "no" },
                job.bytes as f64 / MIB,
                job.speed(job.copy_ms),
                job.speed(job.took_ms),
                job.took_ms as f64 / 1000.0,
                job.switch_entries,
                job.switch_us as f64 / 1000.0,
                job.slowed_writers
            );
        }
        text
    }
}

/// Watches the memory of a process that is not backed by files.
#[derive(Debug)]
pub(crate) struct Memory {
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Memory {
    /// Looks every 20 ms from now on, in a task of its own.
    pub(crate) fn watch(pid: u32) -> Result<Self> {
        anonymous_bytes(pid)?;
        let (peak, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (into, until) = (Arc::clone(&peak), Arc::clone(&stop));
        tokio::spawn(async move {
            while !until.load(Ordering::Relaxed) {
                let Ok(bytes) = anonymous_bytes(pid) else { break };
                into.fetch_max(bytes, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Ok(Self { peak, stop })
    }

    /// The peak since the last call, in bytes.
    pub(crate) fn peak_reset(&self) -> u64 {
        self.peak.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn anonymous_bytes(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("RssAnon")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
}
