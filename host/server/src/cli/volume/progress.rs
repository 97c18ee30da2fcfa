//! Follows a job to its end: a bar at a terminal, lines where there is none, nothing for programs.
//!
//! Standard output is for the result alone; progress goes to standard error. A signal cancels a job that the
//! command itself began and waits until nothing is left of it; a second one ends only the watching. A job
//! that somebody else began is never cancelled from here. When the daemon cannot be asked any more, the job
//! may still run, and the error says so.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tonic::Request;
use tonic::transport::Channel;

use super::jobs::{share, spaced};
use crate::cli::client::refused;
use crate::cli::output::{Format, size};
use crate::cli::stated::Stated;
use crate::pb::mortise::v1 as pb;
use crate::pb::mortise::v1::jobs_client::JobsClient;

/// A line is written whenever this many hundredths more are done.
const LINE_EVERY: u64 = 10;

/// Watches one job.
pub(super) struct Follower {
    display: Display,
    interrupt: Signal,
    terminate: Signal,
}

enum Display {
    Bar(ProgressBar),
    /// What the last line said.
    Lines(Option<(String, u64)>),
    Nothing,
}

impl Follower {
    /// Begins to catch signals.
    pub(super) fn new(output: Format) -> anyhow::Result<Self> {
        let display = if output == Format::Json {
            Display::Nothing
        } else if std::io::stderr().is_terminal() {
            Display::Bar(bar()?)
        } else {
            Display::Lines(None)
        };
        Ok(Self {
            display,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Follows the job until it has ended and returns it. A signal cancels the job when it is ours, on behalf
    /// of whoever is stated, else it only ends the watching. A second one is not waited on.
    ///
    /// # Errors
    /// The daemon cannot be asked any more, or a signal ended the watching.
    pub(super) async fn follow(
        &mut self,
        client: &mut JobsClient<Channel>,
        mut job: pb::Job,
        ours: Option<&Stated>,
    ) -> anyhow::Result<pb::Job> {
        let id = job.id;
        // No deadline: a job takes as long as it takes.
        let watched = client.watch_job(Request::new(pb::WatchJobRequest { id })).await.map_err(refused)?;
        let mut events = watched.into_inner();
        let mut cancelling = false;
        loop {
            let event = tokio::select! {
                event = events.message() => Some(event),
                _ = self.interrupt.recv() => None,
                _ = self.terminate.recv() => None,
            };
            match event {
                Some(Ok(Some(event))) => {
                    job = event.job.unwrap_or_default();
                    self.display.show(&job);
                }
                Some(Ok(None)) => break,
                Some(Err(status)) => {
                    self.display.end();
                    return Err(refused(status)).context(format!("job {id} cannot be watched any more"));
                }
                None => {
                    if let Some(stated) = ours.filter(|_| !cancelling) {
                        cancelling = true;
                        // First of all: nothing that can fail on the terminal may keep it from being done.
                        cancel(client, id, stated)?;
                        self.display.say(&format!("cancelling job {id}"))?;
                        continue;
                    }
                    self.display.end();
                    bail!("job {id} goes on without a watcher; `mortise volume jobs` tells how it ended");
                }
            }
        }
        self.display.end();
        if job.state == "running" || job.state.is_empty() {
            bail!("the daemon stopped telling about job {id}; `mortise volume jobs` tells how it ended");
        }
        Ok(job)
    }
}

/// Asks for the end of a job. The answer comes when nothing is left of it, and so does the end of the events:
/// it is not waited for.
fn cancel(client: &JobsClient<Channel>, id: u64, stated: &Stated) -> anyhow::Result<()> {
    let mut client = client.clone();
    let mut request = Request::new(pb::CancelJobRequest { id, ..Default::default() });
    stated.name_in(&mut request)?;
    tokio::spawn(async move { drop(client.cancel_job(request).await) });
    Ok(())
}

fn bar() -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{prefix:12} {wide_bar} {msg}").context("the progress bar")?;
    Ok(ProgressBar::new(0).with_style(style))
}

impl Display {
    fn show(&mut self, job: &pb::Job) {
        let progress = job.progress.clone().unwrap_or_default();
        if job.state != "running" {
            return;
        }
        match self {
            Self::Nothing => {}
            Self::Bar(bar) => {
                bar.set_prefix(spaced(&progress.phase));
                bar.set_length(progress.bytes_estimate.max(progress.bytes));
                bar.set_position(progress.bytes);
                bar.set_message(told(&progress));
            }
            Self::Lines(last) => {
                let tenth = share(&progress).unwrap_or(0) / LINE_EVERY;
                let now = Some((progress.phase.clone(), tenth));
                if *last != now {
                    *last = now;
                    // Nobody may be reading; the result still counts.
                    let _ = writeln!(std::io::stderr(), "{}: {}", spaced(&progress.phase), told(&progress));
                }
            }
        }
    }

    fn say(&mut self, text: &str) -> anyhow::Result<()> {
        match self {
            Self::Nothing => {}
            Self::Bar(bar) => bar.suspend(|| writeln!(std::io::stderr(), "{text}"))?,
            Self::Lines(_) => writeln!(std::io::stderr(), "{text}")?,
        }
        Ok(())
    }

    fn end(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// What a job is at, in words.
fn told(progress: &pb::JobProgress) -> String {
    let left = Duration::from_millis(progress.remaining_ms).as_secs();
    let left = if left > 0 { format!(", about {left} s left") } else { String::new() };
    let slowed = if progress.slows_writers { ", slowing writers" } else { "" };
    match progress.phase.as_str() {
        "copying" => {
            let (done, all) = (size(progress.bytes), size(progress.bytes_estimate.max(progress.bytes)));
            format!("{} records, {done} of {all}{left}{slowed}", progress.records)
        }
        "catching-up" => format!("{} log entries to go{left}{slowed}", progress.lag_entries),
        _ => format!("{} records{left}{slowed}", progress.records),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_words() {
        let copying = pb::JobProgress {
            phase: "copying".into(),
            records: 1000,
            bytes: 1 << 20,
            bytes_estimate: 4 << 20,
            remaining_ms: 12_000,
            ..Default::default()
        };
        assert_eq!(told(&copying), "1000 records, 1.0 MiB of 4.0 MiB, about 12 s left");
        let behind = pb::JobProgress {
            phase: "catching-up".into(),
            lag_entries: 70,
            slows_writers: true,
            ..Default::default()
        };
        assert_eq!(told(&behind), "70 log entries to go, slowing writers");
    }
}
