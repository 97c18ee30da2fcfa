//! The catalog in memory: what the rows said at one revision of the system volume.
//!
//! Loading and following changes go through the same two functions, [`Model::set`] and [`Model::unset`], so
//! a model that followed a hundred changes equals one that is loaded anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::history_rows::HistoryRow;
use super::job_rows::{JobRow, NextJobId};
use super::keys::Key;
use super::rows::{ArrivalRow, BindingRow, NextVolumeId, PluginRow, QuarantineRow, RecordingRow, VolumeRow};
use crate::plugins::Stage;

/// The rows at one revision.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// Revision of the system volume that the model shows.
    pub revision: i64,
    pub next_volume_id: Option<u64>,
    pub next_job_id: Option<u64>,
    /// Those that run and those that have ended and are still listed.
    pub jobs: BTreeMap<u64, JobRow>,
    pub volumes: BTreeMap<String, VolumeRow>,
    /// Components that are being verified, by digest.
    pub arrivals: BTreeMap<String, ArrivalRow>,
    /// By name, then by version as text; those whose removal is under way included.
    pub plugins: BTreeMap<(String, String), PluginRow>,
    /// By volume, then by world.
    pub bindings: BTreeMap<(String, String), BindingRow>,
    /// By volume, world and digest.
    pub quarantines: BTreeMap<(String, String, String), QuarantineRow>,
    /// By volume, then by world.
    pub recordings: BTreeMap<(String, String), RecordingRow>,
    /// Shared, because every change copies the model.
    pub history: BTreeMap<u64, Arc<HistoryRow>>,
    /// Rows that exist and cannot be read, with the reason.
    pub unreadable: BTreeMap<Key, String>,
    /// Revision of the last change of each row, readable or not: what a change is conditional on.
    revisions: BTreeMap<Key, i64>,
}

impl Model {
    /// Revision at which the row was last changed; 0 when there is no such row.
    pub(crate) fn mod_revision(&self, key: &Key) -> i64 {
        self.revisions.get(key).copied().unwrap_or(0)
    }

    /// Whether the catalog holds nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.revisions.is_empty()
    }

    /// Whether `digest` is in quarantine for a binding.
    pub(crate) fn is_quarantined(&self, volume: &str, world: &str, digest: &str) -> bool {
        self.quarantines.contains_key(&(volume.into(), world.into(), digest.into()))
    }

    /// The versions of a plugin, but for those whose removal is under way.
    pub(crate) fn versions<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a PluginRow)> {
        self.plugins
            .range((name.to_owned(), String::new())..)
            .take_while(move |((found, _), _)| found == name)
            .filter(|(_, row)| row.stage != Stage::Removed)
            .map(|((_, version), row)| (version.as_str(), row))
    }

    /// Names of all plugins that have a version.
    pub(crate) fn plugin_names(&self) -> Vec<&str> {
        let there = self.plugins.iter().filter(|(_, row)| row.stage != Stage::Removed);
        let mut names: Vec<&str> = there.map(|((name, _), _)| name.as_str()).collect();
        names.dedup();
        names
    }

    /// Names of the volumes whose data is encoded by the component with this digest, or may be.
    pub(crate) fn written_in<'a>(&'a self, digest: &'a str) -> impl Iterator<Item = &'a str> {
        self.volumes.iter().filter(move |(_, row)| row.needs(digest)).map(|(name, _)| name.as_str())
    }

    /// Digests of the files that are needed: those that rows of components name, and those without which the
    /// data of a volume means nothing.
    pub(crate) fn components(&self) -> BTreeSet<&str> {
        let rows = self.plugins.values().map(|row| row.digest.as_str());
        let arrivals = self.arrivals.keys().map(String::as_str);
        let formats = self.volumes.values().flat_map(|row| row.encoded_in());
        rows.chain(arrivals).chain(formats.map(|(digest, _)| digest)).collect()
    }

    /// Takes over the value that a row has since `mod_revision`.
    pub(crate) fn set(&mut self, key: Key, value: &[u8], mod_revision: i64) {
        self.forget(&key);
        self.revisions.insert(key.clone(), mod_revision);
        if let Err(detail) = self.read(&key, value) {
            self.unreadable.insert(key, detail);
        }
    }

    /// Takes over that a row is gone.
    pub(crate) fn unset(&mut self, key: &Key) {
        self.forget(key);
        self.revisions.remove(key);
    }

    fn read(&mut self, key: &Key, value: &[u8]) -> Result<(), String> {
        match key.clone() {
            Key::NextVolumeId => self.next_volume_id = Some(parse::<NextVolumeId>(value)?.next),
            Key::NextJobId => self.next_job_id = Some(parse::<NextJobId>(value)?.next),
            Key::Job(id) => drop(self.jobs.insert(id, parse(value)?)),
            Key::Volume(name) => drop(self.volumes.insert(name, parse(value)?)),
            Key::Arrival(digest) => drop(self.arrivals.insert(digest, parse(value)?)),
            Key::Plugin { name, version } => drop(self.plugins.insert((name, version), parse(value)?)),
            Key::Binding { volume, world } => drop(self.bindings.insert((volume, world), parse(value)?)),
            Key::Quarantine { volume, world, digest } => {
                self.quarantines.insert((volume, world, digest), parse(value)?);
            }
            Key::Recording { volume, world } => {
                self.recordings.insert((volume, world), parse(value)?);
            }
            Key::History(sequence) => drop(self.history.insert(sequence, Arc::new(parse(value)?))),
        }
        Ok(())
    }

    fn forget(&mut self, key: &Key) {
        self.unreadable.remove(key);
        match key.clone() {
            Key::NextVolumeId => self.next_volume_id = None,
            Key::NextJobId => self.next_job_id = None,
            Key::Job(id) => drop(self.jobs.remove(&id)),
            Key::Volume(name) => drop(self.volumes.remove(&name)),
            Key::Arrival(digest) => drop(self.arrivals.remove(&digest)),
            Key::Plugin { name, version } => drop(self.plugins.remove(&(name, version))),
            Key::Binding { volume, world } => drop(self.bindings.remove(&(volume, world))),
            Key::Quarantine { volume, world, digest } => {
                self.quarantines.remove(&(volume, world, digest));
            }
            Key::Recording { volume, world } => drop(self.recordings.remove(&(volume, world))),
            Key::History(sequence) => drop(self.history.remove(&sequence)),
        }
    }
}

fn parse<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|error| error.to_string())
}
