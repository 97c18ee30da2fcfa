//! Reads the files of a tree that is not open and compares them with their checksums. Changes nothing.
//!
//! Opening a tree would remove what its manifest does not list, so whoever only wants to look comes here. A
//! damaged table is named and the examination goes on; a damaged manifest is an error, because nothing can be
//! said about the tables without it. What checksums do not show, such as rows that contradict each other, is
//! not looked for.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::{Error, Result, manifest};

/// What was found in the directory of a tree.
#[derive(Debug, Default)]
pub(crate) struct Examined {
    /// Tables that the manifest lists.
    pub(crate) tables: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Manifests and tables that are no longer listed, or not yet: opening removes them.
    pub(crate) superseded: u64,
    /// Their bytes.
    pub(crate) superseded_bytes: u64,
    /// What is wrong with which table.
    pub(crate) damaged: Vec<(PathBuf, String)>,
}

/// Examines the tree in a directory; `read` is told the bytes that were read.
///
/// # Errors
/// [`Error::Corrupt`] when the manifest is damaged, so that nothing can be said about tables; [`Error::Io`].
pub(crate) fn examine_tree(tree: &Path, read: &dyn Fn(u64)) -> Result<Examined> {
    manifest::check(tree)?;
    let mut examined = Examined::default();
    let Some((in_force, listed)) = manifest::listed(tree)? else { return Ok(examined) };
    for (id, expected) in &listed {
        let path = manifest::table_path(tree, *id);
        examined.tables += 1;
        examined.bytes += std::fs::metadata(&path).map_or(0, |found| found.len());
        if let Some(detail) = manifest::table_damage(&path, *expected, read)? {
            examined.damaged.push((path, detail));
        }
    }
    let listed: HashSet<PathBuf> = listed.iter().map(|(id, _)| manifest::table_path(tree, *id)).collect();
    let replaced = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_prefix('v').is_some_and(|id| id.parse::<u64>().is_ok()) && *path != *in_force
    };
    let orphaned = |path: &Path| !listed.contains(path);
    for path in files(tree, &replaced)?.into_iter().chain(files(&tree.join(manifest::TABLES), &orphaned)?) {
        examined.superseded += 1;
        examined.superseded_bytes += std::fs::metadata(&path).map_or(0, |found| found.len());
    }
    Ok(examined)
}

/// The files in a directory that `wanted` wants; none when there is no such directory.
fn files(directory: &Path, wanted: &dyn Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::Io { context: format!("listing {}", directory.display()), source };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.is_file() && wanted(&path) {
            found.push(path);
        }
    }
    Ok(found)
}
