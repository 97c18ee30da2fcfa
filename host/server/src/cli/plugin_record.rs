//! `mortise plugin record`: how many of a strategy's calls the daemon keeps, and the calls as a trace.
//!
//! A trace is what `plugin replay` and `plugin test --trace` read: JSON lines, a call each. A saved one
//! appears whole or not at all: it is written beside its place and renamed when everything has arrived, and
//! an interrupted command leaves what was there. With `--output json` the trace itself goes to standard
//! output as it arrives.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use tonic::Streaming;

use super::client::{Target, refused};
use super::config::byte_size;
use super::output::{self, pairs, size};
use super::plugin::VolumeFlag;
use super::plugin_author::grouped;
use super::stated::{Stated, Work};
use super::volume::admin;
use crate::pb::mortise::v1 as pb;

/// Set how many of its strategy's latest calls the daemon keeps for a volume, in memory, or fetch them for
/// `plugin replay`. Without --calls, --save and --trace it is shown how many there are.
#[derive(Debug, Args)]
pub(super) struct Record {
    #[command(flatten)]
    volume: VolumeFlag,
    /// Keep so many calls from now on, also after a restart; 0 keeps none.
    #[arg(long, value_name = "COUNT")]
    calls: Option<u64>,
    /// Memory that they may take; without it 8 MiB.
    #[arg(long, value_name = "SIZE", value_parser = byte_size, requires = "calls")]
    bytes: Option<bytesize::ByteSize>,
    /// Write the calls that are kept into this file, a trace.
    #[arg(long, value_name = "FILE", conflicts_with = "calls")]
    save: Option<PathBuf>,
    /// Print the calls that are kept, a trace: one JSON object a line.
    #[arg(long, conflicts_with_all = ["calls", "save", "output"])]
    trace: bool,
    #[command(flatten)]
    stated: Stated,
    #[command(flatten)]
    target: Target,
}

impl Record {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let volume = self.volume.volume.clone();
        if let Some(calls) = self.calls {
            let bytes = self.bytes.map(|size| size.as_u64());
            if bytes == Some(0) {
                bail!("--bytes is 0, in which no call could be kept; to end the recording, say --calls 0");
            }
            return self.keep(volume, calls, bytes.unwrap_or_default()).await;
        }
        if let Some(path) = &self.save {
            let calls = self.save(&volume, path).await?;
            let told = || format!("{} saved to {}\n", counted(calls), path.display());
            let json = || json!({ "volume": volume, "calls": calls, "file": path.display().to_string() });
            return self.target.output.emit(told, json);
        }
        if self.trace {
            let mut trace = self.fetch(&volume).await?;
            while let Some(part) = trace.message().await.map_err(refused)? {
                output::print_bytes(&part.chunk)?;
            }
            return Ok(());
        }
        let request = self.target.request(None, pb::VolumeStatusRequest { name: volume.clone() })?;
        let answer = admin(&self.target).await?.volume_status(request).await.map_err(refused)?;
        let binding = answer.into_inner().strategy.unwrap_or_default();
        self.show(&volume, &binding.recording.unwrap_or_default())
    }

    fn show(&self, volume: &str, recording: &pb::Recording) -> anyhow::Result<()> {
        let json = || json!({ "volume": volume, "recording": recording_json(recording) });
        self.target.output.emit(|| table(volume, recording), json)
    }

    async fn keep(&self, volume: String, calls: u64, bytes: u64) -> anyhow::Result<()> {
        let reason = self.stated.reason();
        let message = pb::RecordPluginRequest { volume: volume.clone(), calls, bytes, reason };
        let request = self.stated.request(&self.target, Work::Usual, message)?;
        let answer = admin(&self.target).await?.record_plugin(request).await.map_err(refused)?;
        self.show(&volume, &answer.into_inner().recording.unwrap_or_default())
    }

    async fn fetch(&self, volume: &str) -> anyhow::Result<Streaming<pb::RecordedCallsResponse>> {
        let request = self.target.request(None, pb::RecordedCallsRequest { volume: volume.to_owned() })?;
        Ok(admin(&self.target).await?.recorded_calls(request).await.map_err(refused)?.into_inner())
    }

    /// Writes the calls beside `path` and moves them there when all of them have arrived, so that there is
    /// never half a trace. Returns how many there are.
    async fn save(&self, volume: &str, path: &Path) -> anyhow::Result<u64> {
        let failed = || format!("cannot write the trace {}", path.display());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        // Removed again when dropped.
        let mut file = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
        let mut calls = 0;
        let mut trace = self.fetch(volume).await?;
        loop {
            let part = tokio::select! {
                part = trace.message() => part.map_err(refused)?,
                interrupted = tokio::signal::ctrl_c() => {
                    interrupted?;
                    bail!("interrupted; {} is as it was", path.display());
                }
            };
            let Some(part) = part else { break };
            calls += part.chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
            file.write_all(&part.chunk).with_context(failed)?;
        }
        if calls == 0 {
            bail!(
                "no calls are kept of volume {volume:?}: either none was made since the daemon started, or \
                 `mortise plugin record --volume {volume}` shows that none are to be kept"
            );
        }
        file.as_file().sync_all().with_context(failed)?;
        file.persist(path).with_context(failed)?;
        Ok(calls)
    }
}

fn table(volume: &str, recording: &pb::Recording) -> String {
    let whose = if recording.explicit { "as asked for" } else { "as of every volume" };
    let keeps = match recording.max_calls {
        0 => format!("no calls, {whose}"),
        calls => format!("the last {}, in at most {}, {whose}", counted(calls), size(recording.max_bytes)),
    };
    let mut has = format!("{}, {}", counted(recording.calls), size(recording.bytes));
    if recording.set_aside > 0 {
        has += &format!("; {} of them of strategies that faulted and were replaced", recording.set_aside);
    }
    let mut rows = vec![("volume", volume.to_owned()), ("keeps", keeps), ("has", has)];
    if recording.too_large > 0 {
        rows.push(("too large", format!("{}; --bytes makes room", counted(recording.too_large))));
    }
    pairs(rows)
}

fn counted(calls: u64) -> String {
    if calls == 1 { "1 call".to_owned() } else { format!("{} calls", grouped(calls)) }
}

pub(super) fn recording_json(recording: &pb::Recording) -> Value {
    json!({
        "max_calls": recording.max_calls,
        "max_bytes": recording.max_bytes,
        "explicit": recording.explicit,
        "calls": recording.calls,
        "bytes": recording.bytes,
        "set_aside": recording.set_aside,
        "too_large": recording.too_large,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_told_with_its_bounds() {
        let recording = pb::Recording {
            max_calls: 8,
            max_bytes: 256 * 1024,
            calls: 5,
            bytes: 2048,
            ..Default::default()
        };
        let expected = "volume  v\nkeeps   the last 8 calls, in at most 256.0 KiB, as of every volume\n\
                        has     5 calls, 2.0 KiB\n";
        assert_eq!(table("v", &recording), expected);
        let off = pb::Recording { explicit: true, calls: 1, set_aside: 1, too_large: 2, ..recording };
        let text = table("v", &pb::Recording { max_calls: 0, ..off });
        for part in ["no calls, as asked for", "1 call,", "1 of them", "2 calls; --bytes"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }
}
