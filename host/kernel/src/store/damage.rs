//! Names damage: turns the library's errors into the kernel's and finds the file that is to blame.
//!
//! Reading all tables of a tree takes time; it is done only after something else has failed.

use std::io;
use std::path::{Path, PathBuf};

use crate::manifest::{self, copy};
use crate::{Error, Result};

/// Whether the library met a full disk.
pub(super) fn is_full_disk(error: &lsm_tree::Error) -> bool {
    matches!(error, lsm_tree::Error::Io(io) if is_full(io))
}

fn is_full(io: &io::Error) -> bool {
    matches!(io.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The kernel's error for an error of the library.
pub(super) fn explain(tree: &Path, context: &'static str, error: &lsm_tree::Error) -> Error {
    match error {
        lsm_tree::Error::Io(io) => explain_io(tree, context, io),
        error => locate(tree, &error.to_string()),
    }
}

/// A damaged file shows in many ways (a seek before its start, a read behind its end), and so do troubles
/// that have nothing to do with damage: the files decide.
fn explain_io(tree: &Path, context: &'static str, io: &io::Error) -> Error {
    if is_full(io) {
        return Error::NoSpace(format!("{context} in {}: {io}", tree.display()));
    }
    match first_damaged(tree) {
        Ok(Some((path, detail))) => Error::Corrupt { path, detail },
        Err(error @ Error::Corrupt { .. }) => error,
        Ok(None) | Err(_) => {
            Error::Io { context: format!("{context} in {}", tree.display()), source: copy(io) }
        }
    }
}

/// [`Error::Corrupt`] with the first file that is missing or fails its checksum, else with the directory.
pub(super) fn locate(tree: &Path, symptom: &str) -> Error {
    match first_damaged(tree) {
        Ok(Some((path, detail))) => Error::Corrupt { path, detail },
        Ok(None) => Error::Corrupt {
            path: tree.to_path_buf(),
            detail: format!("{symptom}, although every file has its checksum"),
        },
        Err(error) => error,
    }
}

fn first_damaged(tree: &Path) -> Result<Option<(PathBuf, String)>> {
    manifest::check(tree)?;
    let Some((_, tables)) = manifest::listed(tree)? else { return Ok(None) };
    for (id, expected) in tables {
        let path = manifest::table_path(tree, id);
        if let Some(detail) = manifest::table_damage(&path, expected, &|_| {})? {
            return Ok(Some((path, detail)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_other_troubles_are_no_damage() {
        let directory = tempfile::tempdir().expect("a directory");
        let explain = |kind: io::ErrorKind| {
            explain(directory.path(), "flushing", &lsm_tree::Error::Io(io::Error::from(kind)))
        };
        assert!(matches!(explain(io::ErrorKind::StorageFull), Error::NoSpace(_)));
        assert!(matches!(explain(io::ErrorKind::QuotaExceeded), Error::NoSpace(_)));
        assert!(matches!(explain(io::ErrorKind::PermissionDenied), Error::Io { .. }));
    }
}
