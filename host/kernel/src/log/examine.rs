//! Finds the parts of a log that is not open: its marker and its trees. The journals have a judge of their
//! own. Only reads.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The file that makes a folder a database; without it fjall would begin a new one there.
const MARKER: &str = "version";
/// What it holds: fjall's magic bytes and the version of its format.
const MARKER_BYTES: &[u8] = b"FJL\x03";
const KEYSPACES: &str = "keyspaces";

/// Checks the marker of the database.
///
/// # Errors
/// [`Error::Corrupt`] when it is missing although there are journals, or is not what it should be.
pub(crate) fn check_marker(folder: &Path) -> Result<()> {
    let path = folder.join(MARKER);
    match std::fs::read(&path) {
        Ok(bytes) if bytes == MARKER_BYTES => Ok(()),
        Ok(bytes) => {
            let detail = format!("expected {}, found {}", MARKER_BYTES.escape_ascii(), bytes.escape_ascii());
            Err(Error::Corrupt { path, detail })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let detail =
                "expected it, found no such file: the log would be taken for an empty one".to_owned();
            Err(Error::Corrupt { path, detail })
        }
        Err(source) => Err(Error::Io { context: format!("reading {}", path.display()), source }),
    }
}

/// Directories of the trees in a database, by name.
pub(crate) fn trees(folder: &Path) -> Result<Vec<PathBuf>> {
    let folder = folder.join(KEYSPACES);
    let failed = |source| Error::Io { context: format!("listing {}", folder.display()), source };
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
