//! The jobs that a process is ended in, and what they lead to.

use anyhow::{Context as _, Result, bail};
use mortise_tests::mortise_cli;
use serde_json::Value;
use tokio::task::JoinHandle;

/// Jobs in which a point has to come up.
pub(crate) const JOBS: usize = 40;
/// So slow that a job outlasts whatever is done beside it: bytes that it copies in a second.
const SLOW: &str = "1KiB";

/// What is under way while the process ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Defragmentation,
    /// Conversions that keep the previous generation, and ways back.
    Conversion,
}

/// One job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    Rebuild,
    /// To this format; the previous generation is kept, in the place of one that is kept already.
    Convert(&'static str),
    Undo,
}

impl Work {
    /// Job number `round`. Of three the first two convert, so that the second one replaces what the first one
    /// keeps, and the third one goes back.
    fn job(self, round: usize, before: &Held) -> Job {
        match self {
            Self::Defragmentation => Job::Rebuild,
            Self::Conversion if round % 3 == 2 => Job::Undo,
            Self::Conversion if before.format == "natural" => Job::Convert("hierarchical"),
            Self::Conversion => Job::Convert("natural"),
        }
    }
}

impl Job {
    /// The command that begins it and waits for its end.
    fn command(self) -> Vec<&'static str> {
        match self {
            Self::Rebuild => vec!["volume", "rebuild", "default"],
            Self::Convert(to) => vec!["volume", "convert", "default", "--to", to, "--keep-previous", "24h"],
            Self::Undo => vec!["volume", "convert", "default", "--undo"],
        }
    }
}

/// What a volume holds: the generation that serves, its format, and the one that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) generation: u64,
    pub(crate) format: String,
    pub(crate) kept: Option<u64>,
}

impl Held {
    /// `None` when nobody answers.
    pub(crate) fn of(endpoint: &str) -> Result<Option<Self>> {
        let told = mortise_cli(endpoint, &["volume", "status", "default", "--output", "json"])?;
        let Ok(status) = serde_json::from_str::<Value>(&told.stdout) else { return Ok(None) };
        let generation =
            status["volume"]["generation"].as_u64().with_context(|| format!("a generation: {status}"))?;
        let format = status["format"]["name"].as_str().context("a format")?.to_owned();
        Ok(Some(Self { generation, format, kept: status["previous"]["generation"].as_u64() }))
    }
}

/// A job that was begun, and what the volume held then.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) job: Job,
    pub(crate) before: Held,
}

impl Begun {
    /// Whether the volume may hold this after the job, however that ended: what it held before, or what the
    /// job was to lead to, and nothing in between.
    pub(crate) fn leads_to(&self, found: &Held) -> bool {
        let Self { job, before } = self;
        let newer = found.generation > before.generation;
        let done = match job {
            Job::Rebuild => newer && found.format == before.format && found.kept == before.kept,
            Job::Convert(to) => newer && found.format == *to && found.kept == Some(before.generation),
            Job::Undo => Some(found.generation) == before.kept && found.kept.is_none(),
        };
        done || found == before
    }
}

/// How the first job failed that did, and the last one that was begun.
pub(crate) type Ended = (Option<String>, Option<Begun>);

/// How a command failed, if it did.
pub(crate) fn refusal(endpoint: &str, command: &[&str]) -> Result<Option<String>> {
    let finished = mortise_cli(endpoint, command)?;
    Ok((!finished.success()).then_some(finished.stderr))
}

/// One job after the other, until one fails.
pub(crate) fn work_off(endpoint: &str, work: Work) -> Result<Ended> {
    let mut begun = None;
    for round in 0..JOBS {
        // Without an answer the job before has met its end.
        let Some(before) = Held::of(endpoint)? else { return Ok((Some("no answer".to_owned()), begun)) };
        let job = work.job(round, &before);
        begun = Some(Begun { job, before });
        let refused = refusal(endpoint, &job.command())?;
        if refused.is_some() {
            return Ok((refused, begun));
        }
    }
    Ok((None, begun))
}

/// Begins a job that takes long; returns while it copies, with how it will have failed if it does.
pub(crate) async fn slow_job(endpoint: String, work: Work) -> Result<JoinHandle<Result<Ended>>> {
    let copies = endpoint.clone();
    let job = tokio::task::spawn_blocking(move || {
        let Some(before) = Held::of(&endpoint)? else { return Ok((Some("no answer".to_owned()), None)) };
        let job = work.job(0, &before);
        let refused = refusal(&endpoint, &[&job.command()[..], &["--rate", SLOW]].concat())?;
        Ok((refused, Some(Begun { job, before })))
    });
    let began = tokio::task::spawn_blocking(move || -> Result<()> {
        for _ in 0..1000 {
            let listed = mortise_cli(&copies, &["volume", "jobs", "--output", "json"])?;
            // Without an answer the job has met the point already.
            let Ok(jobs) = serde_json::from_str::<Value>(&listed.stdout) else { return Ok(()) };
            let mut jobs = jobs.as_array().into_iter().flatten();
            if jobs.any(|job| job["state"] == "running" && job["progress"]["phase"] == "copying") {
                return Ok(());
            }
        }
        bail!("the slow job never copied")
    });
    began.await??;
    Ok(job)
}
