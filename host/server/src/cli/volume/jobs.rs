//! `mortise volume rebuild`, `convert`, `jobs` and `job`: long work on a volume, watched and cancelled.
//!
//! A job runs in the daemon. The command that began it watches it to its end; SIGINT and SIGTERM cancel the
//! job and wait until nothing is left of it. A command that is killed leaves the job running, and
//! `mortise volume jobs` lists it.

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::progress::Follower;
use super::{cancel, jobs_client};
use crate::cli::client::{Target, refused};
use crate::cli::config::byte_size;
use crate::cli::output::{self, given, size, some_number, time};
use crate::cli::stated::{Stated, Work};
use crate::pb::mortise::v1 as pb;
use pb::start_job_request::Kind;

/// Copy a volume's data into a new generation, without what was superseded, while it is served.
#[derive(Debug, Args)]
pub(super) struct Rebuild {
    /// Name of the volume.
    name: String,
    #[command(flatten)]
    pace: Pace,
    #[command(flatten)]
    stated: Stated,
    #[command(flatten)]
    target: Target,
}

/// Convert a volume's data to another format while it is served, or undo that.
#[derive(Debug, Args)]
pub(super) struct Convert {
    /// Name of the volume.
    name: String,
    /// Format to convert to: the name of a plugin of the world `format`, or natural.
    #[arg(long, value_name = "FORMAT", required_unless_present = "undo")]
    to: Option<String>,
    /// Version of the format; without it the newest.
    #[arg(long = "format-version", value_name = "VERSION", requires = "to")]
    version: Option<String>,
    /// Settings for the format as a JSON object.
    #[arg(long = "format-config", value_name = "JSON", requires = "to")]
    config: Option<String>,
    /// How much of the copy is verified before it serves.
    #[arg(long, value_enum, value_name = "EXTENT", default_value = "full")]
    verify: Verify,
    /// Encode and verify every record, count what the format refuses, and change nothing.
    #[arg(long, requires = "to", conflicts_with = "rate")]
    dry_run: bool,
    /// Keep the previous generation for this long, so that the conversion can be undone.
    #[arg(long, value_name = "TIME", conflicts_with = "dry_run")]
    keep_previous: Option<humantime::Duration>,
    /// Go back to the previous generation's format, while that generation is kept.
    #[arg(long, conflicts_with_all = ["to", "keep_previous", "rate"])]
    undo: bool,
    #[command(flatten)]
    pace: Pace,
    #[command(flatten)]
    stated: Stated,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Verify {
    /// Every record.
    Full,
    /// Some of the records; all are counted.
    Sample,
}

/// How fast a job goes.
#[derive(Debug, Args)]
struct Pace {
    /// Bytes copied in a second at most, such as 64MiB/s; without it as fast as the disk allows.
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    rate: Option<bytesize::ByteSize>,
}

/// Reads a rate: a size, with or without `/s` behind it.
fn rate(text: &str) -> Result<bytesize::ByteSize, String> {
    let rate =
        byte_size(text.strip_suffix("/s").unwrap_or(text)).map_err(|_| "expected a rate such as 64MiB/s")?;
    if rate.as_u64() == 0 {
        Err("a rate of 0 never ends; leave it out for no limit".into())
    } else {
        Ok(rate)
    }
}

/// List the jobs that run and the latest ones that ended.
#[derive(Debug, Args)]
pub(super) struct Jobs {
    /// Name of a volume; without it the jobs of all volumes.
    name: Option<String>,
    /// The same, as other commands take it.
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    volume: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// Act on one job.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Job {
    #[command(subcommand)]
    action: JobAction,
}

#[derive(Debug, Subcommand)]
enum JobAction {
    /// End a job and wait until nothing is left of it. The volume is as it was before.
    Cancel {
        /// Number of the job, as `volume jobs` lists it.
        id: u64,
        #[command(flatten)]
        stated: Stated,
        #[command(flatten)]
        target: Target,
    },
    /// Watch a job until it ends. Interrupting this does not end the job.
    Watch {
        /// Number of the job, as `volume jobs` lists it.
        id: u64,
        #[command(flatten)]
        target: Target,
    },
}

impl Rebuild {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let kind = Kind::Rebuild(pb::Rebuild {});
        run(&self.target, &self.stated, self.pace.request(self.name, kind)).await
    }
}

impl Convert {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let kind = match self.to {
            None => Kind::Undo(pb::Undo {}),
            Some(name) => Kind::Convert(pb::Convert {
                to: Some(pb::WantedFormat {
                    name,
                    version: self.version.unwrap_or_default(),
                    config_json: self.config.unwrap_or_default(),
                }),
                sample: self.verify == Verify::Sample,
                dry_run: self.dry_run,
                keep_previous_ms: self
                    .keep_previous
                    .map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            }),
        };
        run(&self.target, &self.stated, self.pace.request(self.name, kind)).await
    }
}

impl Pace {
    fn request(self, volume: String, kind: Kind) -> pb::StartJobRequest {
        let bytes_per_second = self.rate.map_or(0, |rate| rate.as_u64());
        pb::StartJobRequest { volume, bytes_per_second, kind: Some(kind), ..Default::default() }
    }
}

/// Begins a job, shows its progress and reports its end.
async fn run(target: &Target, stated: &Stated, message: pb::StartJobRequest) -> anyhow::Result<()> {
    // Signals are caught before the job begins, so that none can leave it running unnoticed.
    let mut follower = Follower::new(target.output)?;
    let mut client = jobs_client(target).await?;
    let message = pb::StartJobRequest { reason: stated.reason(), ..message };
    let request = stated.request(target, Work::Compiles, message)?;
    let started = client.start_job(request).await.map_err(refused)?;
    let job = started.into_inner().job.unwrap_or_default();
    report(target, &follower.follow(&mut client, job, Some(stated)).await?)
}

fn report(target: &Target, job: &pb::Job) -> anyhow::Result<()> {
    // A program gets the job in any case, and the exit code says how it went.
    if job.state == "done" || target.output == output::Format::Json {
        target.output.emit(|| done(job), || job_json(job))?;
    }
    match job.state.as_str() {
        "done" => Ok(()),
        "cancelled" => bail!("job {} was cancelled; volume {:?} is as it was", job.id, job.volume),
        state => bail!("job {} {state}: {}", job.id, job.detail),
    }
}

pub(super) fn done(job: &pb::Job) -> String {
    let result = job.result.unwrap_or_default();
    let what = match (job.kind.as_str(), job.dry_run) {
        ("rebuild", _) => "rebuilt".to_owned(),
        (_, true) => format!("could be converted to {}", format_name(job.to.as_ref())),
        _ => format!("is now in format {}", format_name(job.to.as_ref())),
    };
    let seconds = std::time::Duration::from_millis(result.took_ms).as_secs_f64();
    let mut text = format!("volume {} {what}: {} records in {seconds:.1} s\n", job.volume, result.records);
    if !job.dry_run {
        let held = std::time::Duration::from_micros(result.switch_us);
        text += &format!(
            "generation {} serves; {} on disk (before: {}); writes were held for {held:.1?}\n",
            result.generation,
            size(result.disk_bytes_after),
            size(result.disk_bytes_before),
        );
    }
    if result.kept {
        text += &format!(
            "generation {} is kept; go back with `mortise volume convert {} --undo`\n",
            result.previous, job.volume
        );
    }
    text
}

impl Jobs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let message = pb::ListJobsRequest { volume: self.name.or(self.volume).unwrap_or_default() };
        let request = self.target.request(None, message)?;
        let jobs =
            jobs_client(&self.target).await?.list_jobs(request).await.map_err(refused)?.into_inner().jobs;
        self.target.output.emit(|| list(&jobs), || Value::Array(jobs.iter().map(job_json).collect()))
    }
}

impl Job {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self.action {
            JobAction::Cancel { id, stated, target } => {
                let message = pb::CancelJobRequest { id, reason: stated.reason() };
                let request = stated.request(&target, Work::Usual, message)?;
                let job = jobs_client(&target).await?.cancel_job(request).await.map_err(refused)?;
                cancel::report(&target, &job.into_inner().job.unwrap_or_default())
            }
            JobAction::Watch { id, target } => {
                let mut follower = Follower::new(target.output)?;
                let mut client = jobs_client(&target).await?;
                let job = pb::Job { id, ..Default::default() };
                report(&target, &follower.follow(&mut client, job, None).await?)
            }
        }
    }
}

fn list(jobs: &[pb::Job]) -> String {
    let rows = jobs.iter().map(|job| {
        let progress = job.progress.clone().unwrap_or_default();
        let to = if job.kind == "rebuild" { String::new() } else { format_name(job.to.as_ref()) };
        let state = match job.state.as_str() {
            "running" => match share(&progress) {
                Some(share) => format!("{} {share} %", spaced(&progress.phase)),
                None => spaced(&progress.phase),
            },
            state if job.detail.is_empty() => state.to_owned(),
            state => format!("{state}: {}", job.detail),
        };
        let kind = if job.dry_run { format!("{} (dry run)", job.kind) } else { job.kind.clone() };
        vec![
            job.id.to_string(),
            job.volume.clone(),
            kind,
            output::or_dash(&to),
            time(job.started_unix_ms),
            state,
        ]
    });
    let head = ["JOB", "VOLUME", "KIND", "TO", "STARTED", "STATE"];
    output::wrapped(&head, &[0], &[5], rows.collect(), output::line_width())
}

/// A phase for people.
pub(super) fn spaced(phase: &str) -> String {
    phase.replace('-', " ")
}

/// Hundredths of the copy that are done, while it is under way.
pub(super) fn share(progress: &pb::JobProgress) -> Option<u64> {
    (progress.phase == "copying" && progress.bytes_estimate > 0)
        .then(|| (progress.bytes.saturating_mul(100) / progress.bytes_estimate).min(100))
}

/// A format by name and version.
pub(super) fn format_name(format: Option<&pb::Format>) -> String {
    format.map(|format| format!("{} {}", format.name, format.version)).unwrap_or_default()
}

pub(super) fn format_json(format: &pb::Format) -> Value {
    json!({
        "name": format.name,
        "version": given(&format.version),
        "digest": given(&format.digest),
        "config": given(&format.config_json),
    })
}

pub(super) fn job_json(job: &pb::Job) -> Value {
    let progress = job.progress.clone().unwrap_or_default();
    json!({
        "id": job.id,
        "kind": job.kind,
        "volume": job.volume,
        "state": job.state,
        "dry_run": job.dry_run,
        "from": job.from.as_ref().map(format_json),
        "to": job.to.as_ref().map(format_json),
        "started_unix_ms": job.started_unix_ms,
        "ended_unix_ms": some_number(job.ended_unix_ms),
        "detail": given(&job.detail),
        "progress": {
            "phase": progress.phase,
            "records": progress.records,
            "records_estimate": progress.records_estimate,
            "bytes": progress.bytes,
            "bytes_estimate": progress.bytes_estimate,
            "entries": progress.entries,
            "lag_entries": progress.lag_entries,
            "remaining_ms": some_number(progress.remaining_ms),
            "slows_writers": progress.slows_writers,
        },
        "result": job.result.as_ref().map(|result| json!({
            "generation": some_number(result.generation),
            "previous": some_number(result.previous),
            "kept": result.kept,
            "records": result.records,
            "bytes": result.bytes,
            "disk_bytes_before": result.disk_bytes_before,
            "disk_bytes_after": result.disk_bytes_after,
            "entries": result.entries,
            "switch_entries": result.switch_entries,
            "switch_us": result.switch_us,
            "copy_ms": result.copy_ms,
            "took_ms": result.took_ms,
            "slowed_writers": result.slowed_writers,
        })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_sizes_in_a_second() {
        assert_eq!(rate("64MiB/s").expect("a rate").as_u64(), 64 << 20);
        assert_eq!(rate("64MiB").expect("a rate").as_u64(), 64 << 20);
        for wrong in ["", "fast", "0", "0B/s", "64MiB/h"] {
            assert!(rate(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_list_says_what_runs_and_why_others_ended() {
        let running = pb::Job {
            id: 12,
            kind: "rebuild".into(),
            volume: "default".into(),
            state: "running".into(),
            progress: Some(pb::JobProgress {
                phase: "copying".into(),
                bytes: 30,
                bytes_estimate: 120,
                ..Default::default()
            }),
            ..Default::default()
        };
        let failed = pb::Job {
            id: 9,
            kind: "convert".into(),
            volume: "logs".into(),
            state: "failed".into(),
            detail: "the disk is full".into(),
            to: Some(pb::Format {
                name: "hierarchical".into(),
                version: "1.0.0".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let text = list(&[running, failed]);
        assert!(text.contains("copying 25 %"), "{text}");
        assert!(text.contains("hierarchical 1.0.0") && text.contains("failed: the disk is full"), "{text}");
    }
}
