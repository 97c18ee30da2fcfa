//! Compiled components on disk.
//!
//! A compiled artifact is machine code that the daemon will run, so a file is used only when this daemon
//! wrote it: each carries an HMAC-SHA-256, made with a key that only the daemon's user can read, over the
//! component's digest, the engine's compatibility hash and the artifact. Whatever is doubtful (a damaged or
//! foreign file, a lost key, a key that others can read) means compiling anew, never an error: the whole
//! directory may be deleted at any time, and where none can be made, as on a full disk, the daemon does
//! without.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use hmac::{Hmac, Mac};
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::Sha256;
use tracing::{debug, warn};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::compile::Artifact;
use crate::{Digest, Error, Result};

/// First bytes of every file; names the layout: magic, 32 bytes of HMAC, artifact.
const MAGIC: &[u8; 16] = b"mortise-cwasm-1\n";
const TAG_BYTES: usize = 32;
const KEY_BYTES: usize = 32;
const SUFFIX: &str = ".cwasm";

/// A directory of authenticated artifacts.
pub(crate) struct Cache {
    dir: PathBuf,
    key: [u8; KEY_BYTES],
    compatibility: u64,
    temporary: AtomicU64,
}

impl Cache {
    /// As [`Self::open`]; `None` where that fails, which costs only time and is logged.
    pub(crate) fn open_if_possible(dir: &Path, engine: &Engine) -> Option<Self> {
        let cache = Self::open(dir, engine);
        let told = "there is no compile cache until the next start; plugins are compiled anew";
        cache.inspect_err(|error| warn!("{told}: {error}")).ok()
    }

    /// Opens or makes the directory and its key, and removes what no engine like this one can use.
    fn open(dir: &Path, engine: &Engine) -> Result<Self> {
        let failed = |source| Error::Cache { path: dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let key = read_or_make_key(dir).map_err(failed)?;
        let cache =
            Self { dir: dir.to_owned(), key, compatibility: hasher.finish(), temporary: AtomicU64::new(0) };
        cache.remove_leftovers();
        Ok(cache)
    }

    /// The compiled component, when there is one that this daemon wrote for this engine.
    pub(crate) fn load(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let path = self.path(digest);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!(path = %path.display(), %error, "a compiled plugin cannot be read; compiling it anew");
                return None;
            }
        };
        let Some(artifact) = self.authentic(digest, bytes) else {
            warn!(path = %path.display(), "a compiled plugin is damaged or foreign; compiling it anew");
            return None;
        };
        artifact
            .revive(engine)
            .inspect_err(|error| warn!(path = %path.display(), "compiling anew: {error:#}"))
            .ok()
    }

    /// Keeps a compiled component. A failure costs only time at the next start, so it is logged and not
    /// returned.
    pub(crate) fn store(&self, digest: &Digest, artifact: &Artifact) {
        if let Err(error) = self.try_store(digest, artifact.bytes()) {
            warn!(dir = %self.dir.display(), "a compiled plugin cannot be kept: {error}");
        }
    }

    fn try_store(&self, digest: &Digest, artifact: &[u8]) -> io::Result<()> {
        let tag = self.mac(digest, artifact).finalize().into_bytes();
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!("{digest}.{}-{number}.tmp", std::process::id()));
        let written = write_new(&temporary, &[MAGIC, &tag, artifact])
            .and_then(|()| fs::rename(&temporary, self.path(digest)))
            .and_then(|()| File::open(&self.dir)?.sync_all());
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{digest}{}", self.suffix()))
    }

    /// The artifact in a file that this daemon wrote for this digest.
    fn authentic(&self, digest: &Digest, bytes: Vec<u8>) -> Option<Artifact> {
        let (tag, artifact) = bytes.strip_prefix(MAGIC)?.split_at_checked(TAG_BYTES)?;
        self.mac(digest, artifact).verify_slice(tag).ok()?;
        Some(Artifact::trusted(bytes, MAGIC.len() + TAG_BYTES))
    }

    fn mac(&self, digest: &Digest, artifact: &[u8]) -> Hmac<Sha256> {
        // The fields before the artifact have fixed lengths, so their concatenation is unambiguous.
        Hmac::<Sha256>::new_from_slice(&self.key)
            .expect("HMAC takes keys of any length")
            .chain_update(MAGIC)
            .chain_update(digest.as_bytes())
            .chain_update(self.compatibility.to_be_bytes())
            .chain_update(artifact)
    }

    /// Removes what is kept of a component. A failure costs only space, so it is logged and not returned.
    pub(crate) fn remove(&self, digest: &str) {
        self.remove_where(|name| name.strip_suffix(&self.suffix()) == Some(digest));
    }

    /// Removes what is kept of all components whose digests are not `named`.
    pub(crate) fn remove_all_but(&self, named: &BTreeSet<String>) {
        let suffix = self.suffix();
        self.remove_where(|name| name.strip_suffix(&suffix).is_some_and(|digest| !named.contains(digest)));
    }

    fn suffix(&self) -> String {
        format!("-{:016x}{SUFFIX}", self.compatibility)
    }

    /// Removes what no engine like this one can use, and what a crash left half-written.
    fn remove_leftovers(&self) {
        let current = self.suffix();
        self.remove_where(|name| {
            name.ends_with(".tmp") || (name.ends_with(SUFFIX) && !name.ends_with(&current))
        });
    }

    fn remove_where(&self, leftover: impl Fn(&str) -> bool) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if leftover(&name) {
                debug!(%name, "removing a leftover of the compile cache");
                if let Err(error) = fs::remove_file(entry.path()) {
                    warn!(%name, %error, "a leftover of the compile cache cannot be removed");
                }
            }
        }
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// The key of the directory; made anew when it is missing, short, readable by others, or somebody else's:
/// who may write into the directory could have put it there.
fn read_or_make_key(dir: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let path = dir.join("key");
    match trusted_key(&path) {
        Ok(Some(key)) => return Ok(key),
        Ok(None) => {
            warn!(path = %path.display(), "the key of the compile cache is not private; making a new one")
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut key = [0; KEY_BYTES];
    OsRng.try_fill_bytes(&mut key).map_err(io::Error::other)?;
    let temporary = dir.join(format!("key.{}.tmp", std::process::id()));
    let _ = fs::remove_file(&temporary);
    let made = write_new(&temporary, &[&key]).and_then(|()| fs::rename(&temporary, &path));
    if made.is_err() {
        // A full disk takes the name and not the bytes.
        let _ = fs::remove_file(&temporary);
    }
    made?;
    File::open(dir)?.sync_all()?;
    Ok(key)
}

fn trusted_key(path: &Path) -> io::Result<Option<[u8; KEY_BYTES]>> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let private = metadata.mode() & 0o077 == 0 && metadata.uid() == rustix::process::geteuid().as_raw();
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(&mut file, KEY_BYTES as u64 + 1), &mut bytes)?;
    Ok(bytes.try_into().ok().filter(|_| private))
}

/// Writes a file that only the daemon's user can read, and waits until it is on disk.
fn write_new(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
