//! The data directory itself: its lock, its identity, and durable changes of files in it.
//!
//! All file work goes through a capability handle, so that no name can lead out of the directory. fjall and
//! lsm-tree take paths; they get them from [`Directory::path_of`].

use std::ffi::OsString;
use std::fs::TryLockError;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use serde::{Deserialize, Serialize};

use crate::seams::fault::{Point, reach};
use crate::{Error, Result, seams};

const LOCK: &str = "LOCK";
pub(super) const IDENTITY: &str = "NODE";
/// Format of the directory; a larger one is not touched.
const FORMAT: u32 = 1;
/// Suffix of files that are being written.
pub(super) const TEMPORARY: &str = ".tmp";

/// Who this node is. Written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    format: u32,
    pub(super) node_id: u64,
    pub(super) cluster_id: u64,
}

/// The format alone, which is read before the rest is believed.
#[derive(Deserialize)]
struct Format {
    format: u64,
}

/// A directory below the data directory, or that itself.
#[derive(Debug)]
pub(super) struct Directory {
    dir: Dir,
    path: PathBuf,
}

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held for its lock")] std::fs::File);

pub(super) fn io_error(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let context = format!("{what} {}", path.display());
    move |source| Error::Io { context, source }
}

impl Directory {
    /// Opens the data directory; creates it when missing.
    pub(super) fn open_root(path: &Path) -> Result<Self> {
        Dir::create_ambient_dir_all(path, ambient_authority()).map_err(io_error("creating", path))?;
        let path = path.canonicalize().map_err(io_error("resolving", path))?;
        let dir = Dir::open_ambient_dir(&path, ambient_authority()).map_err(io_error("opening", &path))?;
        Ok(Self { dir, path })
    }

    /// Opens a data directory that must be there, to look at it.
    pub(super) fn open_existing(path: &Path) -> Result<Self> {
        let path = path.canonicalize().map_err(io_error("resolving", path))?;
        let dir = Dir::open_ambient_dir(&path, ambient_authority()).map_err(io_error("opening", &path))?;
        Ok(Self { dir, path })
    }

    /// Opens or creates a directory below.
    pub(super) fn create_child(&self, name: &str) -> Result<Self> {
        let path = self.path.join(name);
        match self.dir.create_dir(name) {
            Ok(()) => self.sync()?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_error("creating", &path)(error)),
        }
        self.child(name)
    }

    /// Opens a directory below.
    pub(super) fn child(&self, name: &str) -> Result<Self> {
        let path = self.path.join(name);
        let dir = self.dir.open_dir(name).map_err(io_error("opening", &path))?;
        Ok(Self { dir, path })
    }

    /// Path of a file or directory in here, for libraries and messages.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the lock of the data directory.
    pub(super) fn lock(&self) -> Result<Lock> {
        let path = self.path_of(LOCK);
        let options = OpenOptions::new().create(true).write(true).truncate(false).clone();
        let file = self.dir.open_with(LOCK, &options).map_err(io_error("opening", &path))?.into_std();
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(Error::DirectoryInUse(self.path.clone())),
            Err(TryLockError::Error(error)) => Err(io_error("locking", &path)(error)),
        }
    }

    /// Keeps daemons out while somebody looks, without changing anything; `None` where none ever was.
    pub(super) fn lock_shared(&self) -> Result<Option<Lock>> {
        let path = self.path_of(LOCK);
        let file = match self.dir.open(LOCK) {
            Ok(file) => file.into_std(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("opening", &path)(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Err(Error::DirectoryInUse(self.path.clone())),
            Err(TryLockError::Error(error)) => Err(io_error("locking", &path)(error)),
        }
    }

    /// Reads the identity; makes one in an empty directory.
    pub(super) fn identity(&self) -> Result<Identity> {
        if let Some(identity) = self.read_identity()? {
            return Ok(identity);
        }
        let others = self.names()?;
        if let Some(found) = others.iter().find(|name| ["log", "volumes"].iter().any(|known| name == known)) {
            let detail = format!("expected it beside {:?}, found no such file", found.to_string_lossy());
            return Err(Error::Corrupt { path: self.path_of(IDENTITY), detail });
        }
        let identity =
            Identity { format: FORMAT, node_id: seams::random_id()?, cluster_id: seams::random_id()? };
        let text = serde_json::to_string(&identity).map_err(|error| Error::Internal(error.to_string()))?;
        self.replace(IDENTITY, format!("{text}\n").as_bytes())?;
        Ok(identity)
    }

    /// Reads the identity; `None` when there is none.
    pub(super) fn read_identity(&self) -> Result<Option<Identity>> {
        let path = self.path_of(IDENTITY);
        let corrupt = |detail: String| Error::Corrupt { path: path.clone(), detail };
        let Some(bytes) = self.read(IDENTITY)? else { return Ok(None) };
        let format: Format = serde_json::from_slice(&bytes)
            .map_err(|error| corrupt(format!("expected a JSON object with \"format\": {error}")))?;
        if format.format != u64::from(FORMAT) {
            let (found, expected) = (format.format.to_string(), FORMAT.to_string());
            return Err(Error::UnknownFormat { path, found, expected });
        }
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| corrupt(format!("expected ids of node and cluster: {error}")))
    }

    /// A file's content; `None` when there is no such file.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self.dir.read(name) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("reading", &self.path_of(name))(error)),
        }
    }

    /// Writes a file so that a crash leaves either the old or the new content.
    pub(super) fn replace(&self, name: &str, content: &[u8]) -> Result<()> {
        self.prepare(name, content)?;
        self.rename(&format!("{name}{TEMPORARY}"), name)
    }

    /// Writes, durably, the temporary file that takes the place of another when it is renamed.
    pub(super) fn prepare(&self, name: &str, content: &[u8]) -> Result<()> {
        let temporary = format!("{name}{TEMPORARY}");
        let written = self.dir.create(&temporary).and_then(|mut file| {
            file.write_all(content)?;
            reach(Point::FileSyncBefore)?;
            file.sync_all()?;
            reach(Point::FileSyncAfter)
        });
        written.map_err(io_error("writing", &self.path_of(&temporary)))
    }

    /// Renames within the directory, durably.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.rename_unsynced(from, to)?;
        self.sync()
    }

    /// Renames within the directory; a power failure may take it back until [`Self::sync`] has returned.
    pub(super) fn rename_unsynced(&self, from: &str, to: &str) -> Result<()> {
        let renamed = reach(Point::RenameBefore)
            .and_then(|()| self.dir.rename(from, &self.dir, to))
            .and_then(|()| reach(Point::RenameAfter));
        renamed.map_err(io_error("renaming", &self.path_of(from)))
    }

    /// Removes a directory with all that is in it.
    pub(super) fn remove_tree(&self, name: &str) -> Result<()> {
        let removed = reach(Point::RemoveBefore)
            .and_then(|()| self.dir.remove_dir_all(name))
            .and_then(|()| reach(Point::RemoveAfter));
        match removed {
            Ok(()) => self.sync(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_error("removing", &self.path_of(name))(error)),
        }
    }

    /// Removes a file.
    pub(super) fn remove_file(&self, name: &str) -> Result<()> {
        let removed = reach(Point::FileRemoveBefore)
            .and_then(|()| self.dir.remove_file(name))
            .and_then(|()| reach(Point::FileRemoveAfter));
        removed.map_err(io_error("removing", &self.path_of(name)))?;
        self.sync()
    }

    /// Names in here, sorted.
    pub(super) fn names(&self) -> Result<Vec<OsString>> {
        let read = || -> io::Result<Vec<OsString>> {
            let mut names = Vec::new();
            for entry in self.dir.entries()? {
                names.push(entry?.file_name());
            }
            names.sort();
            Ok(names)
        };
        read().map_err(io_error("listing", &self.path))
    }

    /// Whether something of that name exists.
    pub(super) fn has(&self, name: &str) -> bool {
        self.dir.symlink_metadata(name).is_ok()
    }

    /// Whether that is a directory.
    pub(super) fn is_dir(&self, name: &str) -> bool {
        self.dir.symlink_metadata(name).is_ok_and(|found| found.is_dir())
    }

    /// Waits until names made, changed or removed in here are durable.
    pub(super) fn sync(&self) -> Result<()> {
        // The capability itself is opened without the right to sync.
        let synced = reach(Point::DirectorySyncBefore)
            .and_then(|()| self.dir.open(".")?.sync_all())
            .and_then(|()| reach(Point::DirectorySyncAfter));
        synced.map_err(io_error("syncing", &self.path))
    }
}
