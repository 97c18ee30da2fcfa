//! The worlds that plugins can be of, and the versions of the contract that this host serves.
//!
//! World and version are read from the names of a component's exports: `plugin` in every world, and one
//! interface of the world's own, both of the same version. A new world or version is added here, and whoever
//! calls it matches on [`Contract`] so that the compiler asks for what is missing.

use std::fmt;
use std::time::Duration;

use crate::error::listed;
use crate::present::presentable;
use crate::{Description, Error, Limits, Result};

/// Package of the contract.
const PACKAGE: &str = "mortise:plugin";

/// Interface that every plugin exports.
const PLUGIN: &str = "plugin";

/// A contract that a plugin can implement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum World {
    /// Keeps the tree of a volume in shape.
    CompactionStrategy,
    /// Translates keys and values to stored bytes and back.
    Format,
}

impl World {
    /// All worlds.
    pub const ALL: [Self; 2] = [Self::CompactionStrategy, Self::Format];

    /// Name of the world in the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CompactionStrategy => "compaction-strategy",
            Self::Format => "format",
        }
    }

    /// The world of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|world| world.as_str() == name)
    }

    /// Limits that suit plugins of this world, unless an operator says otherwise. A format's are wider, for
    /// one call carries a batch of records, each of which may be a large value.
    #[must_use]
    pub fn default_limits(self) -> Limits {
        match self {
            Self::CompactionStrategy => Limits::default(),
            Self::Format => Limits {
                memory_bytes: 64 * 1024 * 1024,
                deadline: Duration::from_secs(1),
                answer_bytes: 8 * 1024 * 1024,
                ..Limits::default()
            },
        }
    }

    /// The interface that makes a component one of this world.
    fn interface(self) -> &'static str {
        match self {
            Self::CompactionStrategy => "compaction",
            Self::Format => "codec",
        }
    }

    /// The versions of the contract in which this world is served, the oldest first.
    #[must_use]
    pub fn versions(self) -> &'static [ContractVersion] {
        match self {
            Self::CompactionStrategy => &[ContractVersion::V0_1_0, ContractVersion::V0_2_0],
            Self::Format => &[ContractVersion::V0_2_0],
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A released version of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ContractVersion {
    /// The first: compaction strategies that answer a bare step.
    V0_1_0,
    /// Strategies give reasons and see what became of the last step; formats.
    V0_2_0,
}

impl ContractVersion {
    /// All versions that are served, the oldest first.
    pub const ALL: [Self; 2] = [Self::V0_1_0, Self::V0_2_0];

    /// The version as it stands in the names of interfaces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
        }
    }

    /// The version of this name.
    fn served(found: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == found).ok_or_else(|| {
            let served = Self::ALL.map(Self::as_str).join(", ");
            Error::UnknownVersion { found: presentable(found), served }
        })
    }

    /// Name of an interface of the contract in this version.
    pub(crate) fn interface(self, name: &str) -> String {
        format!("{PACKAGE}/{name}@{}", self.as_str())
    }
}

impl fmt::Display for ContractVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a component implements: a world in a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contract {
    pub(crate) world: World,
    pub(crate) version: ContractVersion,
}

impl Contract {
    /// Finds world and version from the names of a component's exports.
    pub(crate) fn of_exports(exports: &[String]) -> Result<Self> {
        let ours: Vec<(&str, &str)> = exports.iter().filter_map(|name| contract_name(name)).collect();
        for (_, version) in &ours {
            ContractVersion::served(version)?;
        }
        for world in World::ALL {
            for version in world.versions() {
                let exports = |interface| ours.contains(&(interface, version.as_str()));
                if exports(PLUGIN) && exports(world.interface()) {
                    return Ok(Self { world, version: *version });
                }
            }
        }
        let found = if exports.is_empty() { "nothing".to_owned() } else { listed(exports) };
        let expected = World::ALL.map(|world| {
            let newest = world.versions()[world.versions().len() - 1];
            let own = listed(&[newest.interface(PLUGIN), newest.interface(world.interface())]);
            format!("{own} for world `{world}`")
        });
        Err(Error::OtherWorld { found, expected: expected.join(", or ") })
    }

    /// What a component that was inspected implements.
    pub(crate) fn described(description: &Description) -> Result<Self> {
        let version = ContractVersion::served(&description.wit_version)?;
        Ok(Self { world: description.world, version })
    }

    /// Name of the interface that every plugin exports.
    pub(crate) fn plugin_interface(self) -> String {
        self.version.interface(PLUGIN)
    }

    /// Name of the world's own interface.
    pub(crate) fn own_interface(self) -> String {
        self.version.interface(self.world.interface())
    }
}

/// Splits `mortise:plugin/<interface>@<version>`.
fn contract_name(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE)?.strip_prefix('/')?.split_once('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Result<Contract> {
        Contract::of_exports(&names.iter().map(|name| format!("mortise:plugin/{name}")).collect::<Vec<_>>())
    }

    #[test]
    fn world_and_version_follow_from_exports() {
        let contract = |world, version| Contract { world, version };
        for (names, expected) in [
            (
                ["plugin@0.1.0", "compaction@0.1.0"],
                contract(World::CompactionStrategy, ContractVersion::V0_1_0),
            ),
            (
                ["compaction@0.2.0", "plugin@0.2.0"],
                contract(World::CompactionStrategy, ContractVersion::V0_2_0),
            ),
            (["plugin@0.2.0", "codec@0.2.0"], contract(World::Format, ContractVersion::V0_2_0)),
        ] {
            assert_eq!(of(&names).unwrap(), expected);
        }
    }

    #[test]
    fn other_versions_are_refused_with_what_is_served() {
        for names in [["plugin@0.3.0", "compaction@0.3.0"], ["plugin@0.2.0", "compaction@0.2.1"]] {
            let error = of(&names).unwrap_err();
            assert!(matches!(error, Error::UnknownVersion { .. }), "{error}");
            assert!(error.to_string().contains("this host serves 0.1.0, 0.2.0"), "{error}");
        }
    }

    #[test]
    fn halves_and_mixtures_are_no_world() {
        for names in [
            &["codec@0.2.0"][..],
            &["plugin@0.1.0", "codec@0.2.0"],
            // Formats did not exist in the first version.
            &["plugin@0.1.0", "codec@0.1.0"],
            &["plugin@0.1.0", "compaction@0.2.0"],
            &[],
        ] {
            let error = of(names).unwrap_err();
            assert!(matches!(error, Error::OtherWorld { .. }), "{names:?}: {error}");
            assert!(error.to_string().contains("for world `format`"), "{error}");
        }
    }
}
