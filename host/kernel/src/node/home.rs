//! The directory of an open volume: which generation serves, which one is in the making, which may go.
//!
//! A generation's files may go when two things are true: it is *retired* (another one is current, durably,
//! and nobody wants to keep this one), and nothing reads its files any more, neither its store nor an
//! iterator of it. Every store is opened with a tenure that reports the second. Stores are freed and files
//! removed by one task, [`keep_tidy`], off the path of requests; what a stop leaves is removed at the next
//! opening.
//!
//! The same tenures tell when a generation may be opened once more: a tree takes what it does not know in its
//! directory for leftovers, so two over one directory would remove each other's tables.
//!
//! Numbers of generations are never used twice while a volume is open: a store that is being freed may still
//! remove tables by name.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{RwLock, mpsc, watch};

use super::directory::Directory;
use super::generation;
use super::kept::Record;
use super::stores::Stores;
use crate::format::FormatId;
use crate::rebuild::Generation;
use crate::seams::fault::{Point, pass};
use crate::store::{Reaper, Store};
use crate::{Error, Result};

/// What is on its way out.
enum Leaving {
    /// A store that nobody uses.
    Store(Box<Store>),
    /// One store with its iterators, which read the files of this generation, is gone.
    Unread(u64),
    /// This generation is not wanted any more.
    Retired(u64),
    /// This generation is wanted, whatever was said before.
    Wanted(u64),
}

/// How many stores of each generation, iterators included, are there; none of a generation that is missing.
type OpenStores = HashMap<u64, u64>;

/// Reports when it is dropped that one store of a generation, with its iterators, is gone.
struct StoreLease {
    generation: u64,
    tenants: Arc<watch::Sender<OpenStores>>,
    leaving: mpsc::UnboundedSender<Leaving>,
}

impl Drop for StoreLease {
    fn drop(&mut self) {
        self.tenants.send_modify(|tenants| match tenants.get_mut(&self.generation) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(tenants.remove(&self.generation)),
        });
        // Without a receiver the volume is closed, and its next opening decides.
        drop(self.leaving.send(Leaving::Unread(self.generation)));
    }
}

impl Reaper for mpsc::UnboundedSender<Leaving> {
    fn bury(&self, store: Box<Store>) {
        // What comes back is freed here: the volume is closed.
        drop(self.send(Leaving::Store(store)));
    }
}

/// What [`keep_tidy`] works off.
pub(super) struct Departures(mpsc::UnboundedReceiver<Leaving>);

/// The files of a volume, open.
pub(super) struct Opened {
    pub(super) home: Arc<Home>,
    pub(super) departures: Departures,
    pub(super) store: Store,
    /// What is kept beside it.
    pub(super) kept: Option<Record>,
}

/// The directory of an open volume.
pub(super) struct Home {
    directory: Directory,
    stores: Stores,
    leaving: mpsc::UnboundedSender<Leaving>,
    tenants: Arc<watch::Sender<OpenStores>>,
    numbers: Mutex<Numbers>,
}

struct Numbers {
    /// The generation that serves.
    current: u64,
    /// The largest one ever used.
    used: u64,
}

impl Home {
    /// The home of a volume whose current generation is known.
    pub(super) fn new(directory: Directory, current: u64, stores: Stores) -> (Arc<Self>, Departures) {
        let (leaving, departures) = mpsc::unbounded_channel();
        let numbers = Mutex::new(Numbers { current, used: current });
        let tenants = Arc::default();
        (Arc::new(Self { directory, stores, leaving, tenants, numbers }), Departures(departures))
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Who frees its stores.
    pub(super) fn reaper(&self) -> Arc<dyn Reaper> {
        Arc::new(self.leaving.clone())
    }

    /// Number of the generation that serves.
    pub(super) fn current(&self) -> u64 {
        self.numbers.lock().current
    }

    /// Opens the store of a generation.
    pub(super) fn open(&self, generation: &Generation) -> Result<Store> {
        self.tenants.send_modify(|tenants| *tenants.entry(generation.number).or_default() += 1);
        let tenure = StoreLease {
            generation: generation.number,
            tenants: Arc::clone(&self.tenants),
            leaving: self.leaving.clone(),
        };
        self.stores.open(generation, Some(Arc::new(tenure)))
    }

    /// Makes the directory of a new generation. Without a format it gets that of the current generation. Its
    /// number is reported before there is anything to remove.
    pub(super) fn begin(&self, format: Option<FormatId>, report: &dyn Fn(u64)) -> Result<Generation> {
        pass(Point::RebuildBegin)?;
        let current = self.current();
        let number = {
            let mut numbers = self.numbers.lock();
            numbers.used = numbers.used.max(generation::largest(&self.directory)?) + 1;
            numbers.used
        };
        report(number);
        generation::build(&self.directory, number, current, format)
    }

    /// Opens the store of a generation in the making. Nothing learns when it is closed.
    pub(super) fn open_building(&self, building: &Generation) -> Result<Store> {
        self.stores.open(building, None)
    }

    /// Gives a generation in the making its final name. Its store is closed.
    pub(super) fn name(&self, building: &Generation) -> Result<Generation> {
        generation::name(&self.directory, building.number)
    }

    /// Writes the new `CURRENT` beside the old one.
    pub(super) fn prepare_flip(&self, to: u64) -> Result<()> {
        generation::prepare_flip(&self.directory, to)?;
        pass(Point::RebuildFlipPrepared)
    }

    /// Makes `CURRENT` name a generation. Until [`Self::settle`] has returned, a power failure may take it
    /// back.
    ///
    /// An error means that nothing has changed.
    pub(super) fn flip(&self, to: u64) -> Result<()> {
        match generation::flip(&self.directory) {
            Err(error) if generation::current(&self.directory)? != to => return Err(error),
            Err(error) => {
                tracing::warn!(%error, generation = to, "the flip of CURRENT succeeded nevertheless")
            }
            Ok(()) => {}
        }
        self.numbers.lock().current = to;
        self.want(to);
        Ok(())
    }

    /// Waits until no store of a generation is open, nor an iterator or a step of one.
    pub(super) async fn vacated(&self, number: u64) {
        // The sender is `self`, so it outlives the wait.
        drop(self.tenants.subscribe().wait_for(|tenants| !tenants.contains_key(&number)).await);
    }

    /// Opens the store of a generation that is there under its final name, and vacated.
    pub(super) fn reopen(&self, number: u64) -> Result<Store> {
        self.open(&generation::named(&self.directory, number)?)
    }

    /// Makes the last flip durable.
    pub(super) fn settle(&self) -> Result<()> {
        pass(Point::RebuildFlipped)?;
        self.directory.sync()?;
        pass(Point::RebuildSwitched)
    }

    /// Removes what a rebuild that failed has left: a `CURRENT` that was prepared, and the generation in the
    /// making, if there is one, under either name.
    pub(super) fn abandon(&self, building: Option<u64>) -> Result<()> {
        generation::unprepare_flip(&self.directory)?;
        match building {
            None => Ok(()),
            Some(number) if number == self.current() => {
                Err(Error::Internal(format!("generation {number} serves and is not to be abandoned")))
            }
            Some(number) => generation::abandon(&self.directory, number),
        }
    }

    /// Lets the files of a generation go as soon as nothing reads them.
    pub(super) fn retire(&self, number: u64) {
        drop(self.leaving.send(Leaving::Retired(number)));
    }

    /// Withdraws a retirement: the generation serves, or is kept.
    pub(super) fn want(&self, number: u64) {
        drop(self.leaving.send(Leaving::Wanted(number)));
    }
}

/// Frees stores and removes files, until it is aborted. `busy` is held by every piece of blocking work.
pub(super) async fn keep_tidy(home: Arc<Home>, mut departures: Departures, busy: Arc<RwLock<()>>) {
    let mut retired = HashSet::new();
    while let Some(leaving) = departures.0.recv().await {
        let busy = Arc::clone(&busy).read_owned().await;
        let number = match leaving {
            Leaving::Store(store) => {
                free(store, busy).await;
                continue;
            }
            Leaving::Wanted(number) => {
                retired.remove(&number);
                continue;
            }
            Leaving::Unread(number) => number,
            Leaving::Retired(number) => {
                retired.insert(number);
                number
            }
        };
        if !home.tenants.borrow().contains_key(&number) && retired.remove(&number) {
            let home = Arc::clone(&home);
            let removed = tokio::task::spawn_blocking(move || {
                let removed = home.remove_retired(number);
                drop(busy);
                removed
            });
            match removed.await {
                Ok(Ok(())) => tracing::info!(generation = number, "removed a generation that nobody reads"),
                Ok(Err(error)) => {
                    tracing::warn!(%error, generation = number, "a generation is removed at the next opening");
                }
                Err(error) => {
                    tracing::error!(%error, generation = number, "removing a generation ended early")
                }
            }
        }
    }
}

async fn free(store: Box<Store>, busy: tokio::sync::OwnedRwLockReadGuard<()>) {
    let freed = tokio::task::spawn_blocking(move || {
        drop(store);
        drop(busy);
    });
    if let Err(error) = freed.await {
        tracing::error!(%error, "freeing a store ended early");
    }
}

impl Home {
    fn remove_retired(&self, number: u64) -> Result<()> {
        pass(Point::PreviousRemoveBefore)?;
        if number == self.current() {
            return Err(Error::Internal(format!("generation {number} serves and is not to be removed")));
        }
        generation::remove(&self.directory, number)?;
        pass(Point::PreviousRemoveAfter)
    }
}
