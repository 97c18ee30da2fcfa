//! Components as files: `plugins/blobs/<sha256>.wasm` in the data directory.
//!
//! A file appears whole or not at all (written beside its place, fsynced, renamed, directory fsynced), and
//! what is read is checked against the digest in its name. The names are made here from digests; no name from
//! outside reaches the file system, and the directory handle would not let one leave.
//!
//! All functions block on the disk; async code calls them on a blocking thread.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use mortise_plugin_runtime::Digest;

use crate::{Error, Result};

/// The directory of components.
#[derive(Debug)]
pub(crate) struct Blobs {
    dir: Dir,
    /// For messages.
    path: PathBuf,
}

impl Blobs {
    /// Opens `blobs` below the node's folder for plugins, and removes what a crash left half-written.
    pub(crate) fn open(plugins: &Path) -> Result<Self> {
        let path = plugins.join("blobs");
        let opened = (|| {
            let parent = Dir::open_ambient_dir(plugins, ambient_authority())?;
            parent.create_dir_all("blobs")?;
            let dir = parent.open_dir("blobs")?;
            for entry in dir.entries()? {
                let name = entry?.file_name();
                if name.to_string_lossy().ends_with(".tmp") {
                    dir.remove_file(name)?;
                }
            }
            Ok(dir)
        })();
        let dir = opened.map_err(|source| io_error("open the component directory", &path, source))?;
        Ok(Self { dir, path })
    }

    /// Stores a component; does nothing when it is there and whole.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<String> {
        let digest = Digest::of(bytes).to_string();
        if self.get(&digest).is_ok() {
            return Ok(digest);
        }
        let (temporary, name) = (format!("{digest}.tmp"), file_name(&digest));
        let written = (|| {
            let mut options = OpenOptions::new();
            let mut file = self.dir.open_with(&temporary, options.write(true).create(true).truncate(true))?;
            file.write_all(bytes)?;
            file.sync_all()?;
            self.dir.rename(&temporary, &self.dir, &name)?;
            self.sync()
        })();
        if written.is_err() {
            // The space matters most when the disk is full, which is how one gets here.
            let _ = self.dir.remove_file(&temporary);
        }
        written.map_err(|source| io_error("write component", &self.path.join(&name), source))?;
        Ok(digest)
    }

    /// Reads a component and checks it.
    ///
    /// # Errors
    /// [`Error::Blob`] when the file is missing, unreadable, or is not what its name says.
    pub(crate) fn get(&self, digest: &str) -> Result<Vec<u8>> {
        let refuse = |detail| Error::Blob { digest: digest.into(), detail };
        let path = self.path.join(file_name(digest));
        let bytes = self.dir.read(file_name(digest)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => refuse(format!("its file {} is missing", path.display())),
            _ => refuse(format!("its file {} cannot be read: {error}", path.display())),
        })?;
        let found = Digest::of(&bytes).to_string();
        if found == digest {
            Ok(bytes)
        } else {
            Err(refuse(format!("its file {} is damaged: it has digest {found}", path.display())))
        }
    }

    /// Removes a component; it is no error when it is gone already.
    pub(crate) fn remove(&self, digest: &str) -> Result<()> {
        let name = file_name(digest);
        match self.dir.remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove component", &self.path.join(name), error))
            }
            _ => self.sync().map_err(|source| io_error("fsync the component directory", &self.path, source)),
        }
    }

    /// Removes the components that `named` does not know: what is left of an addition or a removal that was
    /// interrupted between file and row.
    pub(crate) fn remove_all_but(&self, named: &BTreeSet<String>) -> Result<()> {
        let entries = self.dir.entries().map_err(|source| io_error("list", &self.path, source))?;
        for entry in entries {
            let name = entry.map_err(|source| io_error("list", &self.path, source))?.file_name();
            let name = name.to_string_lossy().into_owned();
            if let Some(digest) = name.strip_suffix(".wasm")
                && !named.contains(digest)
            {
                tracing::info!(digest, "removing a component that no row of the catalog names");
                self.remove(digest)?;
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        // The capability itself is opened without the right to sync.
        self.dir.open(".")?.sync_all()
    }
}

fn file_name(digest: &str) -> String {
    format!("{digest}.wasm")
}

fn io_error(what: &str, path: &Path, source: io::Error) -> Error {
    Error::Io { context: format!("cannot {what} {}", path.display()), source }
}

#[cfg(test)]
mod tests {
    use mortise_kernel::ErrorKind;

    use super::Blobs;

    #[test]
    fn a_component_comes_back_whole_or_is_refused_by_name() {
        let plugins = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(plugins.path()).unwrap();
        let digest = blobs.put(b"component").unwrap();
        assert_eq!(blobs.put(b"component").unwrap(), digest);
        assert_eq!(blobs.get(&digest).unwrap(), b"component");

        let file = plugins.path().join("blobs").join(format!("{digest}.wasm"));
        std::fs::write(&file, b"comp0nent").unwrap();
        let damaged = blobs.get(&digest).unwrap_err();
        assert_eq!(damaged.kind(), ErrorKind::Corrupt);
        assert!(damaged.to_string().contains("damaged"), "{damaged}");

        blobs.put(b"component").unwrap();
        assert_eq!(blobs.get(&digest).unwrap(), b"component", "adding again repairs");
        blobs.remove(&digest).unwrap();
        blobs.remove(&digest).unwrap();
        assert!(blobs.get(&digest).unwrap_err().to_string().contains("missing"));
    }

    #[test]
    fn what_a_crash_left_half_written_goes_when_the_directory_is_opened() {
        let plugins = tempfile::tempdir().unwrap();
        drop(Blobs::open(plugins.path()).unwrap());
        let leftover = plugins.path().join("blobs").join("abc.tmp");
        std::fs::write(&leftover, b"half").unwrap();
        Blobs::open(plugins.path()).unwrap();
        assert!(!leftover.exists());
    }
}
