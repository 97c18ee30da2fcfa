//! Where the catalog's rows are in the system volume.
//!
//! | key | row |
//! |---|---|
//! | `mortise/catalog/next-volume-id` | [`NextVolumeId`](super::NextVolumeId): ids are handed out once |
//! | `mortise/catalog/next-job-id` | [`NextJobId`](super::NextJobId): ids are handed out once |
//! | `mortise/jobs/ID` | [`JobRow`](super::JobRow); twenty digits, so that they sort |
//! | `mortise/volumes/NAME` | [`VolumeRow`](super::VolumeRow) |
//! | `mortise/arrivals/DIGEST` | [`ArrivalRow`](super::ArrivalRow): a component that is being verified |
//! | `mortise/plugins/NAME/VERSION` | [`PluginRow`](super::PluginRow) |
//! | `mortise/bindings/VOLUME/WORLD` | [`BindingRow`](super::BindingRow); absent: the node's default |
//! | `mortise/quarantine/VOLUME/WORLD/DIGEST` | [`QuarantineRow`](super::QuarantineRow); `*` is every volume |
//! | `mortise/recordings/VOLUME/WORLD` | [`RecordingRow`](super::RecordingRow); absent: as by default |
//! | `mortise/history/SEQUENCE` | [`HistoryRow`](super::HistoryRow); twenty digits, so that they sort |
//!
//! Names are DNS labels and versions are semantic versions, so none of them holds a slash. Keys below
//! `mortise/` that are not listed here belong to somebody else and are left alone.

use std::fmt;

use bytes::Bytes;

/// Everything of the catalog lies below this prefix.
pub(crate) const PREFIX: &str = "mortise/";

/// All volumes lie below this prefix.
pub(crate) const VOLUMES: &str = "mortise/volumes/";

/// All bindings lie below this prefix.
pub(crate) const BINDINGS: &str = "mortise/bindings/";

/// The end of the range of keys that begin with `prefix`, which is not empty and ends in ASCII.
pub(crate) fn prefix_end(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end.into()
}

/// The address of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    NextVolumeId,
    NextJobId,
    Job(u64),
    Volume(String),
    Arrival(String),
    Plugin { name: String, version: String },
    Binding { volume: String, world: String },
    Quarantine { volume: String, world: String, digest: String },
    Recording { volume: String, world: String },
    History(u64),
}

impl Key {
    /// Binding of `volume` for `world`.
    pub(crate) fn binding(volume: &str, world: &str) -> Self {
        Self::Binding { volume: volume.into(), world: world.into() }
    }

    /// Version `version` of plugin `name`.
    pub(crate) fn plugin(name: &str, version: &str) -> Self {
        Self::Plugin { name: name.into(), version: version.into() }
    }

    /// Quarantine of a component for a binding.
    pub(crate) fn quarantine(volume: &str, world: &str, digest: &str) -> Self {
        Self::Quarantine { volume: volume.into(), world: world.into(), digest: digest.into() }
    }

    /// What is recorded of `volume`'s calls of `world`.
    pub(crate) fn recording(volume: &str, world: &str) -> Self {
        Self::Recording { volume: volume.into(), world: world.into() }
    }

    /// The key's bytes in the system volume.
    pub(crate) fn encode(&self) -> Bytes {
        Bytes::from(self.to_string())
    }

    /// Reads a key; `None` when it is not one of the catalog's.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.strip_prefix(PREFIX)?;
        let parts: Vec<&str> = text.split('/').collect();
        Some(match parts.as_slice() {
            ["catalog", "next-volume-id"] => Self::NextVolumeId,
            ["catalog", "next-job-id"] => Self::NextJobId,
            ["jobs", id] if id.len() == 20 => Self::Job(id.parse().ok()?),
            ["volumes", name] => Self::Volume((*name).into()),
            ["arrivals", digest] => Self::Arrival((*digest).into()),
            ["plugins", name, version] => Self::plugin(name, version),
            ["bindings", volume, world] => Self::binding(volume, world),
            ["quarantine", volume, world, digest] => Self::quarantine(volume, world, digest),
            ["recordings", volume, world] => Self::recording(volume, world),
            ["history", sequence] if sequence.len() == 20 => Self::History(sequence.parse().ok()?),
            _ => return None,
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        match self {
            Self::NextVolumeId => f.write_str("catalog/next-volume-id"),
            Self::NextJobId => f.write_str("catalog/next-job-id"),
            Self::Job(id) => write!(f, "jobs/{id:020}"),
            Self::Volume(name) => write!(f, "volumes/{name}"),
            Self::Arrival(digest) => write!(f, "arrivals/{digest}"),
            Self::Plugin { name, version } => write!(f, "plugins/{name}/{version}"),
            Self::Binding { volume, world } => write!(f, "bindings/{volume}/{world}"),
            Self::Quarantine { volume, world, digest } => write!(f, "quarantine/{volume}/{world}/{digest}"),
            Self::Recording { volume, world } => write!(f, "recordings/{volume}/{world}"),
            Self::History(sequence) => write!(f, "history/{sequence:020}"),
        }
    }
}

/// The rule of DNS labels that `name` breaks, if it breaks one. Volumes are named by such labels.
pub(crate) fn label_problem(name: &str) -> Option<&'static str> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > 63 {
        Some("it is longer than 63 characters")
    } else if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        Some("it holds a character that is not allowed")
    } else if !edge(name.chars().next()) || !edge(name.chars().last()) {
        Some("it begins or ends with a hyphen")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, label_problem};

    #[test]
    fn every_key_reads_back_as_itself() {
        let keys = [
            Key::NextVolumeId,
            Key::NextJobId,
            Key::Job(7),
            Key::Volume("tenant-1".into()),
            Key::Arrival("ab12".into()),
            Key::plugin("compaction-tiered", "1.2.3-rc.1+build"),
            Key::binding("default", "compaction-strategy"),
            Key::quarantine("default", "compaction-strategy", "ab12"),
            Key::recording("default", "compaction-strategy"),
            Key::History(17),
        ];
        for key in keys {
            assert_eq!(Key::parse(&key.encode()), Some(key));
        }
        for stranger in ["other", "mortise/else", "mortise/volumes/a/b", "mortise/history/17"] {
            assert_eq!(Key::parse(stranger.as_bytes()), None, "{stranger}");
        }
    }

    #[test]
    fn history_keys_sort_by_number() {
        assert!(Key::History(9).encode() < Key::History(10).encode());
    }

    #[test]
    fn labels_follow_the_rules_of_host_names() {
        for good in ["a", "default", "tenant-1", "1st", &"x".repeat(63)] {
            assert_eq!(label_problem(good), None, "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a/b", "a b", "ü", &"x".repeat(64)] {
            assert!(label_problem(bad).is_some(), "{bad}");
        }
    }
}
