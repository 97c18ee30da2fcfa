//! Names damage: turns the library's errors into the kernel's and finds the file that is to blame.
//!
//! Finding it means reading all tables of a tree, however many gigabytes that are. So an error only raises a
//! *suspicion*, and whoever may block for that long looks into it, once: what was found stays, and that
//! nothing was found is believed for a while, because a disk that fails now and then is no damage.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::manifest::{self, copy};
use crate::{Error, Result};

/// For how long tables that had their checksums are not read again, whatever fails.
const BELIEVED_FOR: Duration = Duration::from_secs(300);

/// What is known of the files of one open tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Known {
    #[default]
    Nothing,
    /// Something has failed, and nobody has looked yet.
    Suspected,
    /// All files had their checksums, or could not be read; believed until then.
    Cleared(Instant),
    /// This file is damaged.
    Damaged(PathBuf, String),
}

/// A file, and what is wrong with it.
type Damage = (PathBuf, String);

/// Whether and where a tree is damaged.
#[derive(Default)]
pub(super) struct Suspicion {
    known: Mutex<Known>,
    /// Held while tables are read.
    search: Mutex<()>,
}

impl Suspicion {
    /// The kernel's error for an error of the library. Reads nothing.
    pub(super) fn raise(&self, tree: &Path, context: &'static str, error: &lsm_tree::Error) -> Error {
        if let lsm_tree::Error::Io(io) = error
            && is_full(io)
        {
            return Error::NoSpace(format!("{context} in {}: {io}", tree.display()));
        }
        let mut known = self.known.lock();
        match &*known {
            Known::Damaged(path, detail) => {
                return Error::Corrupt { path: path.clone(), detail: detail.clone() };
            }
            Known::Cleared(until) if Instant::now() < *until => {}
            _ => *known = Known::Suspected,
        }
        match error {
            lsm_tree::Error::Io(io) => {
                Error::Io { context: format!("{context} in {}", tree.display()), source: copy(io) }
            }
            other => Error::Corrupt { path: tree.to_path_buf(), detail: other.to_string() },
        }
    }

    /// Looks into what was raised, if anything was and nobody has; the damage that is known then. Blocks for
    /// as long as all tables take to read.
    pub(super) fn look_into(&self, search: impl FnOnce() -> Result<Option<Damage>>) -> Option<Error> {
        let one_at_a_time = self.search.lock();
        let known = self.known.lock().clone();
        let known = if known == Known::Suspected {
            let found = match search() {
                Ok(Some((path, detail))) | Err(Error::Corrupt { path, detail }) => {
                    Known::Damaged(path, detail)
                }
                Ok(None) | Err(_) => Known::Cleared(Instant::now() + BELIEVED_FOR),
            };
            self.known.lock().clone_from(&found);
            found
        } else {
            known
        };
        drop(one_at_a_time);
        let Known::Damaged(path, detail) = known else { return None };
        Some(Error::Corrupt { path, detail })
    }
}

fn is_full(io: &io::Error) -> bool {
    matches!(io.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The kernel's error for an error of the library on opening a tree. Blocks.
pub(super) fn explain(tree: &Path, context: &'static str, error: &lsm_tree::Error) -> Error {
    let suspicion = Suspicion::default();
    let raised = suspicion.raise(tree, context, error);
    match suspicion.look_into(|| first_damaged(tree)) {
        Some(damage) => damage,
        None => unexplained(raised),
    }
}

/// An error for which no file is to blame.
pub(super) fn unexplained(error: Error) -> Error {
    match error {
        Error::Corrupt { path, detail } => Error::Corrupt {
            path,
            detail: format!("{detail}, although no file was found that differs from its checksum"),
        },
        error => error,
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

pub(super) fn first_damaged(tree: &Path) -> Result<Option<Damage>> {
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

    fn io(kind: io::ErrorKind) -> lsm_tree::Error {
        lsm_tree::Error::Io(io::Error::from(kind))
    }

    #[test]
    fn a_full_disk_and_other_troubles_are_no_damage() {
        let directory = tempfile::tempdir().expect("a directory");
        let explain = |kind: io::ErrorKind| explain(directory.path(), "flushing", &io(kind));
        assert!(matches!(explain(io::ErrorKind::StorageFull), Error::NoSpace(_)));
        assert!(matches!(explain(io::ErrorKind::QuotaExceeded), Error::NoSpace(_)));
        assert!(matches!(explain(io::ErrorKind::PermissionDenied), Error::Io { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn tables_are_read_once_however_often_something_fails() {
        let (suspicion, tree) = (Suspicion::default(), Path::new("tree"));
        let mut searches = 0;
        let mut fail = |kind, found: Option<Damage>| {
            let raised = suspicion.raise(tree, "reading", &io(kind));
            let told = suspicion.look_into(|| {
                searches += 1;
                Ok(found)
            });
            (raised, told, searches)
        };
        let damage = || Some((PathBuf::from("tree/tables/1"), "a bit".to_owned()));
        let (raised, told, searches) = fail(io::ErrorKind::StorageFull, damage());
        assert!(
            matches!(raised, Error::NoSpace(_)) && told.is_none() && searches == 0,
            "nothing is suspected"
        );
        for _ in 0..1000 {
            let (raised, told, searches) = fail(io::ErrorKind::Other, None);
            assert!(matches!(raised, Error::Io { .. }) && told.is_none() && searches == 1, "{searches}");
        }
        // What is damaged later is found later.
        tokio::time::advance(BELIEVED_FOR).await;
        let (_, told, searches) = fail(io::ErrorKind::Other, damage());
        assert!(matches!(told, Some(Error::Corrupt { .. })) && searches == 2, "{searches}");
        tokio::time::advance(BELIEVED_FOR * 2).await;
        let (raised, told, searches) = fail(io::ErrorKind::Other, None);
        assert!(matches!(raised, Error::Corrupt { path, .. } if path.ends_with("tables/1")));
        assert!(matches!(told, Some(Error::Corrupt { .. })) && searches == 2, "{searches}");
    }
}
