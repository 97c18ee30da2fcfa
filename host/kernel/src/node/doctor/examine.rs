//! The directory as a whole: its lock, its identity, its log, and what else lies in it.
//!
//! The shared lock is taken first and kept to the end, so that no daemon starts meanwhile. Whatever is wrong
//! inside the directory is a finding, and the examination goes on; it ends in an error only when the
//! directory is in use, is not Mortise's or cannot be looked at. The gravest findings come first.
//!
//! All tables in use are read once, so this takes as long as the disk needs; `read` is told the bytes, for a
//! progress bar. Nothing is written.

use std::path::Path;

use super::report::{JournalReport, NodeReport, Report, Severity, TreeReport};
use super::volume;
use crate::log;
use crate::node::directory::{self, Directory};
use crate::node::generation::{self, REMOVING};
use crate::store;
use crate::{Error, Result};

const LOG: &str = "log";
const VOLUMES: &str = "volumes";
/// Everything that Mortise puts into a data directory.
const KNOWN: [&str; 5] = ["LOCK", "NODE", LOG, VOLUMES, "plugins"];

/// Examines a data directory. `read` is told the bytes that were read since it was called last, as every
/// table is: with many gigabytes this takes its time.
///
/// # Errors
/// [`Error::DirectoryInUse`] while a daemon runs there; [`Error::NoDataDirectory`]; [`Error::Io`] when the
/// directory cannot be looked at. Whatever is wrong inside is a finding and no error.
pub fn examine(path: &Path, read: &dyn Fn(u64)) -> Result<Report> {
    let root = Directory::open_existing(path)?;
    if !KNOWN.iter().any(|name| root.has(name)) {
        return Err(Error::NoDataDirectory(root.path().to_path_buf()));
    }
    let _lock = root.lock_shared()?;
    let mut report = Report { directory: root.path().to_path_buf(), ..Report::default() };
    identify(&root, &mut report)?;
    for name in root.names()? {
        let known = name.to_str().is_some_and(|name| KNOWN.contains(&name));
        let text = name.to_string_lossy();
        if known {
            continue;
        }
        if text.ends_with(directory::TEMPORARY) {
            let detail = "a file that was never completed; it can be removed";
            report.find(Severity::Leftover, root.path_of(&text), detail);
        } else {
            report.find(Severity::Unknown, root.path_of(&text), "no name that Mortise gives");
        }
    }
    examine_log(&root, &mut report, read)?;
    examine_volumes(&root, &mut report, read)?;
    report.findings.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.path.cmp(&b.path)));
    Ok(report)
}

fn identify(root: &Directory, report: &mut Report) -> Result<()> {
    match root.read_identity() {
        Ok(Some(identity)) => {
            let directory::Identity { node_id, cluster_id, .. } = identity;
            report.node = Some(NodeReport { node_id, cluster_id });
        }
        Ok(None) => {
            let detail = "expected it, found no such file; restore it from a copy";
            report.find(Severity::Damaged, root.path_of(directory::IDENTITY), detail);
        }
        Err(error) => note(report, &root.path_of(directory::IDENTITY), error)?,
    }
    Ok(())
}

/// Makes a finding of an error, if it is one about what is stored.
pub(super) fn note(report: &mut Report, at: &Path, error: Error) -> Result<()> {
    match error {
        Error::Corrupt { path, detail } => report.find(Severity::Damaged, path, detail),
        Error::UnknownFormat { path, found, expected } => {
            let detail = format!("expected format {expected}, found {found}; use the Mortise that wrote it");
            report.find(Severity::Unserved, path, detail);
        }
        Error::Io { context, source } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            return Err(Error::Io { context, source });
        }
        Error::Io { context, source } => {
            report.find(Severity::Damaged, at.to_path_buf(), format!("{context}: {source}"));
        }
        other => return Err(other),
    }
    Ok(())
}

fn examine_log(root: &Directory, report: &mut Report, read: &dyn Fn(u64)) -> Result<()> {
    let path = root.path_of(LOG);
    if !root.is_dir(LOG) {
        let detail = "expected the raft log of the volumes, found no such directory";
        report.find(Severity::Damaged, path, detail);
        return Ok(());
    }
    if log::is_unfinished(&path)? && !has_volumes(root)? {
        let detail = "a first start that was cut off; the next one begins again";
        report.find(Severity::Leftover, path, detail);
        return Ok(());
    }
    for (journal, bytes, judgement) in log::examine_journals(&path)? {
        read(bytes);
        let whole = judgement.is_ok();
        if let Err(detail) = judgement {
            report.find(Severity::Damaged, journal.clone(), detail);
        }
        report.log.journals.push(JournalReport { path: journal, bytes, whole });
    }
    if let Err(error) = log::check_marker(&path) {
        note(report, &path, error)?;
    }
    for tree in log::trees(&path)? {
        let examined = examine_tree(&tree, report, read)?;
        report.log.trees.push(examined);
    }
    Ok(())
}

fn has_volumes(root: &Directory) -> Result<bool> {
    Ok(root.is_dir(VOLUMES) && !root.child(VOLUMES)?.names()?.is_empty())
}

/// Examines a tree and notes what is damaged in it.
pub(super) fn examine_tree(path: &Path, report: &mut Report, read: &dyn Fn(u64)) -> Result<TreeReport> {
    let mut examined = TreeReport { path: path.to_path_buf(), ..TreeReport::default() };
    match store::examine_tree(path, read) {
        Ok(found) => {
            examined.tables = found.tables;
            examined.bytes = found.bytes;
            examined.superseded = found.superseded;
            examined.superseded_bytes = found.superseded_bytes;
            examined.damaged = found.damaged.len() as u64;
            for (path, detail) in found.damaged {
                report.find(Severity::Damaged, path, detail);
            }
        }
        Err(error) => note(report, path, error)?,
    }
    Ok(examined)
}

fn examine_volumes(root: &Directory, report: &mut Report, read: &dyn Fn(u64)) -> Result<()> {
    if !root.is_dir(VOLUMES) {
        let detail = "expected the directory of the volumes, found none";
        report.find(Severity::Damaged, root.path_of(VOLUMES), detail);
        return Ok(());
    }
    let volumes = root.child(VOLUMES)?;
    for name in volumes.names()? {
        let text = name.to_string_lossy();
        let path = volumes.path_of(&text);
        if let Some(id) = generation::volume_of(&text).filter(|_| volumes.is_dir(&text)) {
            let examined = volume::examine(id, &volumes.child(&text)?, report, read)?;
            report.volumes.push(examined);
        } else if text.strip_suffix(REMOVING).and_then(generation::volume_of).is_some() {
            let detail = "a volume whose removal was interrupted; the next start finishes it";
            report.find(Severity::Leftover, path, detail);
        } else {
            report.find(Severity::Unknown, path, "no name that Mortise gives a volume");
        }
    }
    report.volumes.sort_by_key(|volume| volume.id);
    Ok(())
}
