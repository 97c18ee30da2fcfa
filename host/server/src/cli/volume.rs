//! `mortise volume`: creates, lists, inspects and deletes volumes.

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tonic::transport::Channel;

use super::client::{Target, refused};
use super::output::{self, pairs, size, time};
use crate::pb::mortise::v1 as pb;
use crate::pb::mortise::v1::admin_client::AdminClient;

/// Create, list, inspect and delete volumes.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Volume {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a volume. Its name may have lower-case letters, digits and hyphens.
    Create {
        /// Its name.
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// List all volumes.
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Show revision, sizes, strategy and the shape of the tree, level by level.
    Status {
        /// Its name; without one MORTISE_VOLUME, else default.
        name: Option<String>,
        /// Its name, as other commands take it.
        #[arg(long, value_name = "NAME", conflicts_with = "name")]
        volume: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Delete a volume with everything in it. Its name can be used again.
    Delete {
        /// Its name.
        name: String,
        #[command(flatten)]
        target: Target,
    },
}

pub(super) async fn admin(target: &Target) -> anyhow::Result<AdminClient<Channel>> {
    Ok(AdminClient::new(target.connect().await?).max_decoding_message_size(usize::MAX))
}

impl Volume {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Create { name, target } => {
                let request = target.request(None, pb::CreateVolumeRequest { name })?;
                let answer = admin(&target).await?.create_volume(request).await.map_err(refused)?;
                let volume = answer.into_inner().volume.unwrap_or_default();
                target.output.emit(|| format!("volume {} created\n", volume.name), || volume_json(&volume))
            }
            Action::List { target } => {
                let request = target.request(None, pb::ListVolumesRequest {})?;
                let answer = admin(&target).await?.list_volumes(request).await.map_err(refused)?;
                let volumes = answer.into_inner().volumes;
                let json = || Value::Array(volumes.iter().map(volume_json).collect());
                target.output.emit(|| list(&volumes), json)
            }
            Action::Status { name, volume, target } => {
                let name = name.or(volume).unwrap_or_else(usual);
                let request = target.request(None, pb::VolumeStatusRequest { name })?;
                let answer =
                    admin(&target).await?.volume_status(request).await.map_err(refused)?.into_inner();
                target.output.emit(|| status(&answer), || status_json(&answer))
            }
            Action::Delete { name, target } => {
                if name.is_empty() {
                    bail!("the name is empty; name the volume to delete");
                }
                let request = target.request(None, pb::DeleteVolumeRequest { name: name.clone() })?;
                admin(&target).await?.delete_volume(request).await.map_err(refused)?;
                target.output.emit(|| format!("volume {name} deleted\n"), || json!({ "deleted": name }))
            }
        }
    }
}

/// The volume that is meant when none is named. The variable is not bound to an argument, because clap would
/// take it for a second name beside the one that was given.
fn usual() -> String {
    std::env::var("MORTISE_VOLUME").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "default".into())
}

fn list(volumes: &[pb::Volume]) -> String {
    let rows = volumes.iter().map(|volume| {
        let state = match volume.problem.as_str() {
            "" => volume.state.clone(),
            problem => format!("{}: {problem}", volume.state),
        };
        vec![
            volume.name.clone(),
            volume.id.to_string(),
            state,
            volume.generation.to_string(),
            volume.format.clone(),
            time(volume.created_unix_ms),
        ]
    });
    let head = ["NAME", "ID", "STATE", "GENERATION", "FORMAT", "CREATED"];
    output::wrapped(&head, &[1, 3], &[2], rows.collect(), output::line_width())
}

fn status(answer: &pb::VolumeStatusResponse) -> String {
    let volume = answer.volume.clone().unwrap_or_default();
    let counters = answer.counters.unwrap_or_default();
    let leader = match answer.leader {
        0 => "unknown".to_owned(),
        leader if leader == answer.node_id => format!("{leader:x} (this node)"),
        leader => format!("{leader:x}"),
    };
    let rows = vec![
        ("volume", format!("{} (id {}, {})", volume.name, volume.id, volume.state)),
        ("problem", volume.problem.clone()),
        ("revision", format!("{} (readable from {})", answer.revision, answer.compact_revision.max(1))),
        ("leader", format!("{leader}, term {}", answer.raft_term)),
        (
            "raft log",
            format!(
                "index {}, applied {}, in tables {}",
                answer.raft_index, answer.raft_applied_index, answer.flushed_index
            ),
        ),
        ("generation", format!("{} (format {})", volume.generation, volume.format)),
        ("on disk", size(answer.disk_bytes)),
        ("memtables", format!("{} ({} sealed)", size(answer.memtable_bytes), answer.sealed_memtables)),
        ("write rate", format!("{}/s", size(rounded(answer.write_rate)))),
        (
            "since opened",
            format!(
                "{} applied, replay included; {} flushed, {} compacted (amplification {:.2})",
                size(counters.written_bytes),
                size(counters.flushed_bytes),
                size(counters.compaction_out_bytes),
                answer.write_amplification
            ),
        ),
        ("slowed writes", counters.slowed_writes.to_string()),
        ("strategy", strategy(answer.strategy.as_ref())),
    ];
    let rows = rows.into_iter().filter(|(name, value)| *name != "problem" || !value.is_empty()).collect();
    format!("{}\n{}", pairs(rows), tree(&answer.levels))
}

fn strategy(binding: Option<&pb::Binding>) -> String {
    let Some(binding) = binding else { return "-".to_owned() };
    let serving = binding.serving.clone().unwrap_or_default();
    let name = format!("{} {}", serving.plugin, serving.version).trim_end().to_owned();
    match binding.problem.as_str() {
        "" => name,
        problem => {
            format!("{name} (instead of {}: {problem})", binding.bound.clone().unwrap_or_default().plugin)
        }
    }
}

/// Longest bar of [`tree`].
const BAR: u64 = 32;

/// Draws the tree: a row for each level, with a bar for its share of the bytes.
fn tree(levels: &[pb::Level]) -> String {
    let bytes = |level: &pb::Level| level.runs.iter().map(|run| run.bytes).sum::<u64>();
    let largest = levels.iter().map(bytes).max().unwrap_or(0);
    let rows = levels.iter().enumerate().map(|(number, level)| {
        let sum = |of: fn(&pb::Run) -> u64| level.runs.iter().map(of).sum::<u64>();
        let bytes = bytes(level);
        vec![
            format!("L{number}"),
            level.runs.len().to_string(),
            sum(|run| run.tables).to_string(),
            sum(|run| run.entries).to_string(),
            sum(|run| run.tombstones).to_string(),
            size(bytes),
            bar(bytes, largest),
        ]
    });
    let head = ["LEVEL", "RUNS", "TABLES", "ENTRIES", "TOMBSTONES", "BYTES", ""];
    output::table(&head, &[1, 2, 3, 4, 5], rows.collect())
}

/// A bar of at most [`BAR`] cells; whatever is not empty shows at least one.
fn bar(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return String::new();
    }
    let cells = u128::from(part) * u128::from(BAR) / u128::from(whole);
    "█".repeat(usize::try_from(cells).unwrap_or(0).max(1))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, for people to read")]
fn rounded(rate: f64) -> u64 {
    rate.round() as u64
}

pub(super) fn volume_json(volume: &pb::Volume) -> Value {
    json!({
        "name": volume.name,
        "id": volume.id,
        "state": volume.state,
        "problem": volume.problem,
        "generation": volume.generation,
        "format": volume.format,
        "created_unix_ms": volume.created_unix_ms,
    })
}

fn status_json(answer: &pb::VolumeStatusResponse) -> Value {
    let counters = answer.counters.unwrap_or_default();
    let run = |run: &pb::Run| {
        json!({
            "tables": run.tables, "bytes": run.bytes, "entries": run.entries, "tombstones": run.tombstones,
        })
    };
    let level = |level: &pb::Level| json!({ "runs": level.runs.iter().map(run).collect::<Vec<_>>() });
    json!({
        "volume": volume_json(&answer.volume.clone().unwrap_or_default()),
        "revision": answer.revision,
        "compact_revision": answer.compact_revision,
        "raft_term": answer.raft_term,
        "raft_index": answer.raft_index,
        "raft_applied_index": answer.raft_applied_index,
        "flushed_index": answer.flushed_index,
        "leader": answer.leader,
        "node_id": answer.node_id,
        "disk_bytes": answer.disk_bytes,
        "memtable_bytes": answer.memtable_bytes,
        "sealed_memtables": answer.sealed_memtables,
        "levels": answer.levels.iter().map(level).collect::<Vec<_>>(),
        "counters": {
            "commands": counters.commands,
            "written_bytes": counters.written_bytes,
            "flushed_bytes": counters.flushed_bytes,
            "compaction_in_bytes": counters.compaction_in_bytes,
            "compaction_out_bytes": counters.compaction_out_bytes,
            "slowed_writes": counters.slowed_writes,
        },
        "write_rate": answer.write_rate,
        "write_amplification": answer.write_amplification,
        "strategy": answer.strategy.as_ref().map(super::plugin_tables::binding_json),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_drawn_level_by_level() {
        let run = |tables, bytes| pb::Run { tables, bytes, entries: 10, tombstones: 1 };
        let levels = [
            pb::Level { runs: vec![run(1, 1024), run(1, 1024)] },
            pb::Level::default(),
            pb::Level { runs: vec![run(4, 1024 * 1024)] },
        ];
        let expected = [
            "LEVEL  RUNS  TABLES  ENTRIES  TOMBSTONES    BYTES",
            "L0        2       2       20           2  2.0 KiB  █",
            "L1        0       0        0           0      0 B",
            "L2        1       4       10           1  1.0 MiB  ████████████████████████████████",
        ];
        assert_eq!(tree(&levels).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_a_start_applies_again_is_not_told_as_written_by_clients() {
        let counters = pb::Counters { written_bytes: 2048, flushed_bytes: 1024, ..Default::default() };
        let text = status(&pb::VolumeStatusResponse { counters: Some(counters), ..Default::default() });
        assert!(text.contains("since opened") && text.contains("2.0 KiB applied, replay included"), "{text}");
        assert!(!text.contains("clients"), "{text}");
    }

    #[test]
    fn status_says_what_serves_and_why_not_what_is_bound() {
        let named = |plugin: &str| Some(pb::Strategy { plugin: plugin.to_owned(), ..Default::default() });
        let binding = pb::Binding {
            serving: named("native"),
            bound: named("mine"),
            problem: "in quarantine".to_owned(),
            ..Default::default()
        };
        let text = strategy(Some(&binding));
        assert!(text.contains("native") && text.contains("instead of mine: in quarantine"), "{text}");
    }
}
