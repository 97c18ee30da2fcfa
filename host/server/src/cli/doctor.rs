//! `mortise doctor`: checks a data directory that no daemon uses, and changes nothing in it.
//!
//! The exit code is made for scripts: 0 when all is in order, 3 when there is only what interrupted work or
//! somebody else left, 4 when something is damaged or cannot be served. 1 and 2 say, as for every command,
//! that the check itself was not possible and that the command line was not understood.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use mortise_mechanisms::doctor::{self, Examination, GenerationReport, Role, Severity, TreeReport};

use super::output::{self, Output, size};

const LEFTOVERS: u8 = 3;
const TROUBLE: u8 = 4;

/// Check a data directory while no daemon uses it. Nothing in it is changed.
///
/// Reads every table, journal and component and compares it with its checksum. Exit code: 0 all in order,
/// 3 leftovers or unknown names only, 4 something is damaged or cannot be served, 1 the check was not
/// possible.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// The data directory.
    #[arg(env = "MORTISE_DATA_DIR", value_name = "DIRECTORY")]
    data_dir: PathBuf,
    #[command(flatten)]
    output: Output,
}

impl Doctor {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let directory = self.data_dir;
        let bar = ProgressBar::new_spinner().with_style(
            ProgressStyle::with_template("{spinner} {bytes} checked, {bytes_per_sec}")
                .context("the template of the progress line")?,
        );
        let checked = bar.clone();
        let examined =
            tokio::task::spawn_blocking(move || doctor::examine(&directory, &|bytes| checked.inc(bytes)));
        let examined = examined.await.context("the check ended early")??;
        bar.finish_and_clear();
        self.output.output.emit(|| text(&examined), || json(&examined))?;
        Ok(match examined.report.worst() {
            None => ExitCode::SUCCESS,
            Some(Severity::Leftover | Severity::Unknown) => ExitCode::from(LEFTOVERS),
            Some(Severity::Unserved | Severity::Damaged) => ExitCode::from(TROUBLE),
        })
    }
}

fn json(examined: &Examination) -> serde_json::Value {
    let mut value = serde_json::to_value(examined).unwrap_or_default();
    value["worst"] = serde_json::json!(examined.report.worst());
    value
}

fn text(examined: &Examination) -> String {
    let report = &examined.report;
    let node = report
        .node
        .map_or("unknown".to_owned(), |node| format!("{:x} of cluster {:x}", node.node_id, node.cluster_id));
    let journals: u64 = report.log.journals.iter().map(|journal| journal.bytes).sum();
    let tables = |of: fn(&TreeReport) -> u64| report.log.trees.iter().map(of).sum::<u64>();
    let log = format!(
        "{} ({}), {} ({})",
        counted(report.log.journals.len() as u64, "journal"),
        size(journals),
        counted(tables(|tree| tree.tables), "table"),
        size(tables(|tree| tree.bytes)),
    );
    let components: u64 = examined.components.iter().map(|component| component.bytes).sum();
    let components =
        format!("{} ({})", counted(examined.components.len() as u64, "component"), size(components));
    let mut rows = vec![
        ("directory".to_owned(), report.directory.display().to_string()),
        ("node".to_owned(), node),
        ("raft log".to_owned(), log),
        ("plugins".to_owned(), components),
    ];
    for volume in &report.volumes {
        let mut told: Vec<String> = volume.generations.iter().map(generation).collect();
        if told.is_empty() {
            told.push("no generation".to_owned());
        }
        for line in told {
            rows.push((format!("volume {}", volume.id), line));
        }
    }
    let rows = rows.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    format!("{}\n{}", output::pairs(rows), findings(examined))
}

fn generation(generation: &GenerationReport) -> String {
    let role = match generation.role {
        Role::Current => "current",
        Role::Kept => "kept",
        Role::Leftover => "leftover",
    };
    let mut parts = vec![format!("{} ({role})", generation.name)];
    if let Some(format) = &generation.format {
        let digest =
            format.digest.as_ref().map(|digest| format!(", codec {}", &digest[..12.min(digest.len())]));
        parts.push(format!("{} {}{}", format.format, format.version, digest.unwrap_or_default()));
    }
    if let Some(tree) = &generation.tree {
        parts.push(format!("{} ({})", counted(tree.tables, "table"), size(tree.bytes)));
    }
    parts.join(", ")
}

fn findings(examined: &Examination) -> String {
    let report = &examined.report;
    if report.findings.is_empty() {
        return "all is in order\n".to_owned();
    }
    let mut text = String::new();
    for finding in &report.findings {
        let word = match finding.severity {
            Severity::Leftover => "leftover",
            Severity::Unknown => "unknown",
            Severity::Unserved => "unserved",
            Severity::Damaged => "DAMAGED",
        };
        let path = finding.path.strip_prefix(&report.directory).unwrap_or(&finding.path);
        text += &format!("{word:8}  {}: {}\n", path.display(), finding.detail);
    }
    text
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
