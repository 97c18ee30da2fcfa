//! Fault points: named places where a test makes the kernel fail, wait or abort.
//!
//! A point is *reached* where an error, a pause or the end of the process would be most telling: around
//! every sync, rename and removal, in the middle of an append, and between the phases of a rebuild. With
//! the cargo feature `fault-points` each point asks the `fail` crate what to do; without it, reaching a
//! point compiles to nothing, and no name is left in the program.
//!
//! Actions are written as the `fail` crate reads them, in the environment variable `FAILPOINTS` (see
//! [`arm`]) or with `fail::cfg`: `name=action;name=action`. `return` fails with an I/O error, `return(full)`
//! with a full disk, `return(abort)` aborts the process at once, as `kill -9` would; `panic`, `pause` and
//! `sleep(ms)` do as they say, `3*off->return(abort)` lets three pass first. `return(gate:PATH)` connects to
//! the socket at `PATH` and stands there until the connection ends, so that another process says how long.
//! A point within a write also takes `return(torn)`: a part of what was written is taken away again, and then
//! the process aborts, which leaves what a power failure would leave.

use std::io;

macro_rules! points {
    ($($(#[doc = $doc:literal])* $point:ident = $name:literal,)*) => {
        /// A place where a fault can be injected.
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub enum Point {
            $($(#[doc = $doc])* $point,)*
        }

        impl Point {
            /// Every point there is.
            pub const ALL: &[Self] = &[$(Self::$point,)*];

            /// Whether it lies within a write that can be torn.
            #[must_use]
            pub const fn is_within_a_write(self) -> bool {
                matches!(self, Self::LogAppendMiddle | Self::VoteMiddle)
            }

            /// Whether it lies around a sync or renaming of any file or directory of the kernel's own.
            #[must_use]
            pub const fn is_of_files(self) -> bool {
                matches!(
                    self,
                    Self::FileSyncBefore
                        | Self::FileSyncAfter
                        | Self::RenameBefore
                        | Self::RenameAfter
                        | Self::DirectorySyncBefore
                        | Self::DirectorySyncAfter
                )
            }

            /// Whether only work that changes what is kept passes it.
            #[must_use]
            pub const fn is_of_keeping(self) -> bool {
                matches!(self, Self::FileRemoveBefore | Self::FileRemoveAfter | Self::RebuildKeptAdvanced)
            }

            /// Whether only the opening of a node passes it, on what the life before left in the log.
            #[must_use]
            pub const fn is_of_openings(self) -> bool {
                matches!(
                    self,
                    Self::LogCutBefore | Self::LogCutAfter | Self::LogRemainsBefore | Self::LogRemainsAfter
                )
            }

            /// Its name, as `FAILPOINTS` takes it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }
        }
    };
}

points! {
    /// A file was written and is not synced yet.
    FileSyncBefore = "file-sync-before",
    /// A file was synced.
    FileSyncAfter = "file-sync-after",
    /// A file or directory is about to be renamed.
    RenameBefore = "rename-before",
    /// A file or directory was renamed; its directory is not synced yet.
    RenameAfter = "rename-after",
    /// A directory is about to be synced.
    DirectorySyncBefore = "directory-sync-before",
    /// A directory was synced.
    DirectorySyncAfter = "directory-sync-after",
    /// A directory is about to be removed with all that is in it.
    RemoveBefore = "remove-before",
    /// A directory was removed; the one above is not synced yet.
    RemoveAfter = "remove-after",
    /// A file is about to be removed.
    FileRemoveBefore = "file-remove-before",
    /// A file was removed; its directory is not synced yet.
    FileRemoveAfter = "file-remove-after",
    /// Entries are about to be written to the log.
    LogAppendBefore = "log-append-before",
    /// Entries were handed to the log's journal, wholly or in part (`torn`), and are not synced yet.
    LogAppendMiddle = "log-append-middle",
    /// A vote is about to be written.
    VoteBefore = "vote-before",
    /// A vote was handed to the log's journal, wholly or in part (`torn`), and is not synced yet.
    VoteMiddle = "vote-middle",
    /// The log is about to be synced.
    LogSyncBefore = "log-sync-before",
    /// The log was synced; nobody has been told.
    LogSyncAfter = "log-sync-after",
    /// The torn end of a journal is about to be cut off.
    LogCutBefore = "log-cut-before",
    /// It is cut off, which is not synced yet.
    LogCutAfter = "log-cut-after",
    /// A file that an interrupted creation of the log left is about to be removed.
    LogRemainsBefore = "log-remains-before",
    /// It is removed.
    LogRemainsAfter = "log-remains-after",
    /// The mark of a purge is in the log; its entries are about to be removed.
    LogPurgeBefore = "log-purge-before",
    /// Some of them were handed to the log's journal to be removed.
    LogPurgeMiddle = "log-purge-middle",
    /// Sealed memtables are about to be written to tables.
    FlushBefore = "flush-before",
    /// A flush has begun to write a table; an error shows when its tables are registered, before the store
    /// has taken note of it.
    FlushMiddle = "flush-middle",
    /// A flush is done; the log is not purged behind it.
    FlushAfter = "flush-after",
    /// A read has opened its iterators and walked none.
    ReadOpened = "read-opened",
    /// A read has walked some hundred rows, or is about to walk the first one.
    ReadMiddle = "read-middle",
    /// A generation is about to be built: its directory is not made yet.
    RebuildBegin = "rebuild-begin",
    /// The directory of the generation in the making exists, with its store.
    RebuildPrepared = "rebuild-prepared",
    /// A part of the rows was copied.
    RebuildCopyMiddle = "rebuild-copy-middle",
    /// A part of the copy was read back.
    RebuildVerifyMiddle = "rebuild-verify-middle",
    /// All rows are copied: the end of the first phase.
    RebuildCopied = "rebuild-copied",
    /// The generation in the making has its final name and is open under it.
    RebuildNamed = "rebuild-named",
    /// Some entries of the log were applied to the new generation.
    RebuildCatchUpMiddle = "rebuild-catch-up-middle",
    /// Few entries are left: the end of the second phase.
    RebuildCaughtUp = "rebuild-caught-up",
    /// Apply is about to be held.
    RebuildSwitchBefore = "rebuild-switch-before",
    /// Apply is held, and the new generation has every entry.
    RebuildSwitchHeld = "rebuild-switch-held",
    /// What is kept beside the new generation is noted there, durably; `CURRENT` names the old one.
    RebuildKeepNoted = "rebuild-keep-noted",
    /// The new `CURRENT` is written beside the old one.
    RebuildFlipPrepared = "rebuild-flip-prepared",
    /// `CURRENT` names the new generation, which serves; the directory is not synced yet.
    RebuildFlipped = "rebuild-flipped",
    /// The flip is durable: the end of the third phase.
    RebuildSwitched = "rebuild-switched",
    /// The previous generation is kept, and its note names the end of its tables.
    RebuildKeptAdvanced = "rebuild-kept-advanced",
    /// The last reader of the previous generation is gone; its files are about to be removed.
    PreviousRemoveBefore = "previous-remove-before",
    /// The files of the previous generation are removed.
    PreviousRemoveAfter = "previous-remove-after",
}

/// Does what a test asked for at this point, which is nothing in a normal build.
///
/// # Errors
/// The injected one.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
#[expect(clippy::unnecessary_wraps, reason = "with fault points it may fail")]
pub(crate) fn reach(_point: Point) -> io::Result<()> {
    Ok(())
}

/// As [`reach`], at a point within a write that `tear` can leave half done.
///
/// # Errors
/// The injected one.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
#[expect(clippy::unnecessary_wraps, reason = "with fault points it may fail")]
pub(crate) fn reach_within(_point: Point, _tear: impl FnOnce() -> Result<(), String>) -> io::Result<()> {
    Ok(())
}

/// Takes actions from the environment variable `FAILPOINTS`; nothing in a normal build.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn arm() {}

/// Does work of a library, and passes a point in the middle of it: as soon as `begun` holds.
///
/// # Errors
/// The injected one, beside what the work came to.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub(crate) fn during<T>(
    _point: Point,
    _begun: impl Fn() -> bool + Sync,
    work: impl FnOnce() -> T,
) -> (T, io::Result<()>) {
    (work(), Ok(()))
}

#[cfg(feature = "fault-points")]
pub use armed::{arm, reached};

#[cfg(feature = "fault-points")]
pub(crate) use armed::{during, reach, reach_within};

#[cfg(feature = "fault-points")]
mod armed {
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::{Point, io};

    /// What an action begins with that names a socket.
    const GATE: &str = "gate:";

    static REACHED: [AtomicU64; Point::ALL.len()] = [const { AtomicU64::new(0) }; Point::ALL.len()];

    /// Takes actions from the environment variable `FAILPOINTS`; they stay for the life of the process.
    ///
    /// # Panics
    /// When an action is not written as it should be: a test that meant something must not pass by doing
    /// nothing.
    pub fn arm() {
        std::mem::forget(fail::FailScenario::setup());
    }

    /// How often a point was reached in this process.
    #[must_use]
    pub fn reached(point: Point) -> u64 {
        REACHED[point as usize].load(Ordering::SeqCst)
    }

    /// Does work of a library, and passes a point in the middle of it. Nothing can be called from within the
    /// library, so where a test asked for something, a thread beside it looks for the moment.
    pub(crate) fn during<T>(
        point: Point,
        begun: impl Fn() -> bool + Sync,
        work: impl FnOnce() -> T,
    ) -> (T, io::Result<()>) {
        if !fail::list().iter().any(|(name, actions)| name == point.name() && !actions.is_empty()) {
            return (work(), reach(point));
        }
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let beside = scope.spawn(|| {
                while !begun() && !done.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                reach(point)
            });
            let result = work();
            done.store(true, Ordering::SeqCst);
            let passed = beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (result, passed)
        })
    }

    /// Stands still until the test at the socket lets go, or is gone.
    fn stand_at(socket: &str) {
        if let Ok(mut test) = UnixStream::connect(socket) {
            drop(io::copy(&mut test, &mut io::sink()));
        }
    }

    /// Does what a test asked for at this point.
    pub(crate) fn reach(point: Point) -> io::Result<()> {
        reach_within(point, || Err("nothing is being written at this point".to_owned()))
    }

    /// Does what a test asked for at this point, which is within a write.
    pub(crate) fn reach_within(point: Point, tear: impl FnOnce() -> Result<(), String>) -> io::Result<()> {
        REACHED[point as usize].fetch_add(1, Ordering::SeqCst);
        let name = point.name();
        match fail::eval(name, |action| action) {
            None => Ok(()),
            Some(Some(action)) if action == "abort" => {
                tracing::error!(point = name, "a fault point aborts the process");
                std::process::abort()
            }
            Some(Some(action)) if action == "torn" => match tear() {
                Ok(()) => {
                    tracing::error!(point = name, "a fault point tears a write and aborts the process");
                    std::process::abort()
                }
                // A test that meant something must not pass by doing nothing.
                Err(error) => {
                    tracing::error!(point = name, error, "a fault point could not tear a write");
                    std::process::exit(1)
                }
            },
            Some(Some(action)) if action.starts_with(GATE) => {
                stand_at(&action[GATE.len()..]);
                Ok(())
            }
            Some(Some(action)) if action == "full" => {
                Err(io::Error::new(io::ErrorKind::StorageFull, format!("injected at fault point {name}")))
            }
            Some(_) => Err(io::Error::other(format!("injected at fault point {name}"))),
        }
    }
}

/// As [`reach`], with the kernel's error: [`crate::Error::NoSpace`] for a full disk, else
/// [`crate::Error::Io`].
///
/// # Errors
/// The injected one.
#[inline(always)]
pub(crate) fn pass(point: Point) -> crate::Result<()> {
    reach(point).map_err(injected)
}

/// The kernel's error for an injected one.
pub(crate) fn injected(source: io::Error) -> crate::Error {
    match source.kind() {
        io::ErrorKind::StorageFull => crate::Error::NoSpace(source.to_string()),
        _ => crate::Error::Io { context: "a fault point".into(), source },
    }
}
