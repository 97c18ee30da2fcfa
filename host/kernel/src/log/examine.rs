//! Finds the parts of a log that is not open: its marker and its trees. The journals have a judge of their
//! own.
//!
//! fjall takes a folder without its marker, the file `version`, for an empty one and begins a new database in
//! it. Where a log has been, that would lose without a word what was acknowledged. Creation writes the marker
//! after the first journal and before anything that holds data (fjall 3.1.13, `db.rs`), so a marker that is
//! missing beside data is damage. Without data it is what a first start left that was killed, and since fjall
//! does not open that again, it is removed.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::journal;
use crate::seams::fault::{self, Point};
use crate::{Error, Result};

/// The file that makes a folder a database; without it fjall would begin a new one there.
const MARKER: &str = "version";
/// What it holds: fjall's magic bytes and the version of its format.
const MARKER_BYTES: &[u8] = b"FJL\x03";
const KEYSPACES: &str = "keyspaces";
/// The journal that creation begins with.
const FIRST_JOURNAL: &str = "0.jnl";

/// What there is of the marker.
#[derive(PartialEq, Eq)]
enum Marker {
    Missing,
    /// The file was made and nothing was written into it.
    Unwritten,
    /// It names a format, ours or another.
    Written,
}

/// Finds a database, or nothing where none `must_exist`; removes what an interrupted creation left.
///
/// # Errors
/// [`Error::Corrupt`] when fjall would begin a new database in the place of one that was there.
pub(super) fn expect(folder: &Path, must_exist: bool) -> Result<()> {
    if marker(folder)? == Marker::Written {
        return Ok(());
    }
    if must_exist || !is_unfinished(folder)? {
        let detail = "expected the marker of the raft log that was here, found none; keep everything as \
                      evidence and restore the data directory from a copy"
            .to_owned();
        return Err(Error::Corrupt { path: folder.join(MARKER), detail });
    }
    for name in [MARKER, FIRST_JOURNAL] {
        let path = folder.join(name);
        let removed = fault::reach(Point::LogRemainsBefore)
            .and_then(|()| std::fs::remove_file(&path))
            .and_then(|()| fault::reach(Point::LogRemainsAfter));
        match removed {
            Ok(()) => tracing::info!(path = %path.display(), "removed what an interrupted creation left"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(failed("removing", &path)(source)),
        }
    }
    Ok(())
}

/// Whether the folder holds no more than a creation makes before it writes the marker: no tree, and no
/// journal but an empty first one.
pub(crate) fn is_unfinished(folder: &Path) -> Result<bool> {
    if marker(folder)? == Marker::Written || !trees(folder)?.is_empty() {
        return Ok(false);
    }
    for path in journal::journals(folder)? {
        if !path.ends_with(FIRST_JOURNAL) || !is_empty(&path).map_err(failed("reading", &path))? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn marker(folder: &Path) -> Result<Marker> {
    let path = folder.join(MARKER);
    match std::fs::read(&path) {
        Ok(bytes) if journal::is_zeros(&bytes) => Ok(Marker::Unwritten),
        // The library writes it in two pieces.
        Ok(bytes) if bytes.len() < MARKER_BYTES.len() && MARKER_BYTES.starts_with(&bytes) => {
            Ok(Marker::Unwritten)
        }
        Ok(_) => Ok(Marker::Written),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Marker::Missing),
        Err(source) => Err(failed("reading", &path)(source)),
    }
}

/// Whether a file is all zeros.
fn is_empty(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(true),
            read if !journal::is_zeros(&buffer[..read]) => return Ok(false),
            _ => {}
        }
    }
}

fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let context = format!("{what} {}", path.display());
    move |source| Error::Io { context, source }
}

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
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let detail =
                "expected it, found no such file: the log would be taken for an empty one".to_owned();
            Err(Error::Corrupt { path, detail })
        }
        Err(source) => Err(failed("reading", &path)(source)),
    }
}

/// Directories of the trees in a database, by name.
pub(crate) fn trees(folder: &Path) -> Result<Vec<PathBuf>> {
    let folder = folder.join(KEYSPACES);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("listing", &folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed("listing", &folder))?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
