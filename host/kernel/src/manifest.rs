//! The files of an lsm-tree and their checksums, read without opening the tree.
//!
//! The tree's directory holds `current` (id and XXH3-128 of the manifest), the manifest `v<id>` (every table
//! with its XXH3-128) and `tables/<id>`. All of it is written once and then only read, so a checksum that
//! differs is damage. The library writes these checksums and compares only those of blocks: it believes a
//! manifest as it is, and one with a flipped bit can hide the rows of a table without a word (lsm-tree
//! 3.1.10, `version/recovery.rs`). So everyone in the kernel who opens a tree, the store with its own and
//! the log with those of its database, calls [`check`] first. Nothing here changes a file.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use crate::{Error, Result};

const CURRENT: &str = "current";
pub(crate) const TABLES: &str = "tables";
/// Bytes of `current`: id (8, little-endian), checksum (16), checksum type (1).
const CURRENT_BYTES: usize = 25;
const XXH3: u8 = 0;

/// The manifest that is in force and the checksum that `current` gives it.
struct Manifest {
    path: PathBuf,
    checksum: u128,
}

/// Checks that the manifest is the one that `current` names; a directory without `current` holds no tree.
pub(crate) fn check(tree: &Path) -> Result<()> {
    let Some(manifest) = current_manifest(tree)? else { return check_empty(tree) };
    let found = checksum(&manifest.path, &|_| {}).map_err(|error| unreadable(&manifest.path, &error))?;
    if found == manifest.checksum {
        return Ok(());
    }
    let detail = format!("expected the checksum {:032x}, found {found:032x}", manifest.checksum);
    Err(Error::Corrupt { path: manifest.path, detail })
}

/// Without `current` the library starts an empty tree and removes the tables that it finds as orphans.
/// Creation writes `current` last, so that a crash then leaves no table behind.
fn check_empty(tree: &Path) -> Result<()> {
    let tables = tree.join(TABLES);
    let mut entries = match std::fs::read_dir(&tables) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable(&tables, &error)),
    };
    if entries.next().is_none() {
        return Ok(());
    }
    let detail = format!("the file is missing, although there are tables in {}", tables.display());
    Err(Error::Corrupt { path: tree.join(CURRENT), detail })
}

/// What is wrong with a table, if anything is. `read` is told the bytes that were read.
pub(crate) fn table_damage(path: &Path, expected: u128, read: &dyn Fn(u64)) -> Result<Option<String>> {
    match checksum(path, read) {
        Ok(found) if found == expected => Ok(None),
        Ok(found) => Ok(Some(format!("expected the checksum {expected:032x}, found {found:032x}"))),
        Err(error) if is_damage(&error) => Ok(Some(format!("the manifest lists it, but: {error}"))),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// Path of a manifest, and the id and checksum of every table that it lists.
pub(crate) type ListedTables = (PathBuf, Vec<(u64, u128)>);

/// The manifest that is in force, with the id and the checksum of every table.
pub(crate) fn listed(tree: &Path) -> Result<Option<ListedTables>> {
    let Some(manifest) = current_manifest(tree)? else { return Ok(None) };
    let tables = tables_in(&manifest.path).map_err(|error| unreadable(&manifest.path, &error))?;
    Ok(Some((manifest.path, tables)))
}

/// The file of a table.
pub(crate) fn table_path(tree: &Path, id: u64) -> PathBuf {
    tree.join(TABLES).join(id.to_string())
}

/// Ids of the tables that a restart would expect.
pub(crate) fn listed_ids(tree: &Path) -> Result<HashSet<u64>> {
    let tables = listed(tree)?.map(|(_, tables)| tables).unwrap_or_default();
    Ok(tables.into_iter().map(|(id, _)| id).collect())
}

fn current_manifest(tree: &Path) -> Result<Option<Manifest>> {
    let path = tree.join(CURRENT);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(&path, &error)),
    };
    let bytes: [u8; CURRENT_BYTES] = bytes.try_into().map_err(|bytes: Vec<u8>| Error::Corrupt {
        path: path.clone(),
        detail: format!("expected {CURRENT_BYTES} bytes, found {}", bytes.len()),
    })?;
    let (&id, rest) = bytes.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    let (&checksum, kind) = rest.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    if kind != [XXH3] {
        let detail = format!("expected checksum type {XXH3}, found {kind:?}");
        return Err(Error::Corrupt { path, detail });
    }
    let manifest = tree.join(format!("v{}", u64::from_le_bytes(id)));
    Ok(Some(Manifest { path: manifest, checksum: u128::from_le_bytes(checksum) }))
}

/// Id and checksum of every table in a manifest whose own checksum is right.
fn tables_in(manifest: &Path) -> io::Result<Vec<(u64, u128)>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let archive = sfa::Reader::new(manifest).map_err(|error| invalid(&format!("{error:?}")))?;
    let section = archive.toc().section(b"tables").ok_or_else(|| invalid("no section `tables`"))?;
    let mut reader = section.buf_reader(manifest).map_err(|error| invalid(&format!("{error:?}")))?;
    let mut tables = Vec::new();
    for _level in 0..u8::from_le_bytes(take(&mut reader)?) {
        for _run in 0..u8::from_le_bytes(take(&mut reader)?) {
            for _table in 0..u32::from_le_bytes(take(&mut reader)?) {
                let id = u64::from_le_bytes(take(&mut reader)?);
                let _checksum_type: [u8; 1] = take(&mut reader)?;
                let checksum = u128::from_le_bytes(take(&mut reader)?);
                let _global_seqno: [u8; 8] = take(&mut reader)?;
                tables.push((id, checksum));
            }
        }
    }
    Ok(tables)
}

fn take<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn checksum(path: &Path, progress: &dyn Fn(u64)) -> io::Result<u128> {
    let mut file = File::open(path)?;
    let mut hasher = Xxh3::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.digest128()),
            read => {
                hasher.update(&buffer[..read]);
                progress(read as u64);
            }
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    if is_damage(error) {
        return Error::Corrupt { path: path.to_path_buf(), detail: error.to_string() };
    }
    Error::Io { context: format!("reading {}", path.display()), source: copy(error) }
}

/// An error once more: the library hands out its own by reference, and number and text are all that
/// matters here.
pub(crate) fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_without_current_are_not_taken_for_an_empty_tree() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(check(directory.path()).is_ok());
        std::fs::create_dir(directory.path().join(TABLES)).expect("created");
        assert!(check(directory.path()).is_ok(), "creation may have been cut off here");
        std::fs::write(directory.path().join(TABLES).join("0"), b"a table").expect("written");
        assert!(matches!(check(directory.path()), Err(Error::Corrupt { .. })));
    }
}
