//! The sorts of reasons for which a component is refused.
//!
//! A refusal's words are for people; its ground is for programs: it travels by name, and whoever has the file
//! derives from the two what usually helps. A node that learns a new ground gives it a new name.

use mortise_plugin_runtime::{Error as RuntimeError, FaultKind};
use serde::Serialize;

use crate::Error;

macro_rules! grounds {
    ($($(#[$doc:meta])* $ground:ident = $name:literal,)*) => {
        /// Why a component is refused, by sort.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Ground {
            $($(#[$doc])* $ground,)*
        }

        impl Ground {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$ground,)*];

            /// Name for messages and programs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$ground => $name,)*
                }
            }
        }
    };
}

grounds! {
    /// The file is larger than the node takes.
    TooLarge = "too-large",
    /// A signature is required and missing.
    Unsigned = "unsigned",
    /// A signature does not hold, or is by nobody who is trusted.
    WrongSignature = "wrong-signature",
    /// The file is not WebAssembly.
    NotWasm = "not-wasm",
    /// The file is a core module.
    CoreModule = "core-module",
    /// The file is damaged, or uses a feature that is not offered.
    Malformed = "malformed",
    /// It implements no world of Mortise.
    OtherWorld = "other-world",
    /// It was built for a version of the contract that is not served.
    UnknownVersion = "unknown-version",
    /// It imports what nobody is granted.
    RefusedImports = "refused-imports",
    /// It has more names or globals than any plugin needs.
    TooMany = "too-many",
    /// It has a function that is too large to be compiled.
    FunctionTooLarge = "function-too-large",
    /// It demands too much memory at its start.
    StartsTooBig = "starts-too-big",
    /// It wants a capability that it is not granted.
    NotGranted = "not-granted",
    /// A capability that it is to be granted doesn't exist.
    NoSuchCapability = "no-such-capability",
    /// The limits that it is to run under are out of bounds.
    Limits = "limits",
    /// Compiling it takes too long or too much memory.
    Uncompilable = "uncompilable",
    /// It has more instances, memories or tables than there is room for.
    NoRoom = "no-room",
    /// Its types are not those of its world.
    Unfit = "unfit",
    /// It is of a world that the node has no use for.
    UselessWorld = "useless-world",
    /// It trapped when it was asked who it is.
    DescribeTrap = "describe-trap",
    /// It did not say in time who it is.
    DescribeDeadline = "describe-deadline",
    /// It used up its instructions before it had said who it is.
    DescribeFuel = "describe-fuel",
    /// It wanted more memory than its limit to say who it is.
    DescribeMemory = "describe-memory",
    /// What it says about itself is larger than its limit, or breaks the contract's rules.
    DescribeAnswer = "describe-answer",
    /// It said two different things when it was asked twice who it is.
    IdentityChanges = "identity-changes",
    /// Its name cannot name a plugin.
    PluginName = "plugin-name",
    /// Its version is no semantic version.
    PluginVersion = "plugin-version",
    /// Other bytes have this name and version.
    VersionTaken = "version-taken",
    /// The plugin of this name is of another world.
    NameOfOtherWorld = "name-of-other-world",
}

impl Ground {
    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|ground| ground.as_str() == name)
    }

    /// The ground of an error; `None` when it is not the component that is refused.
    pub(crate) fn of(error: &Error) -> Option<Self> {
        Some(match error {
            Error::Component(error) => return Self::of_runtime(error),
            Error::ComponentTooLarge(_) => Self::TooLarge,
            Error::Unsigned { .. } => Self::Unsigned,
            Error::WrongSignature { .. } => Self::WrongSignature,
            Error::NotGranted { .. } => Self::NotGranted,
            Error::NoSuchCapability { .. } => Self::NoSuchCapability,
            Error::Limits(_) => Self::Limits,
            Error::ComponentRefused(_) => Self::UselessWorld,
            Error::DescribeFailed(fault) => match fault.kind {
                FaultKind::Trap | FaultKind::Refused => Self::DescribeTrap,
                FaultKind::Deadline => Self::DescribeDeadline,
                FaultKind::Fuel => Self::DescribeFuel,
                FaultKind::Memory => Self::DescribeMemory,
                FaultKind::AnswerTooLarge | FaultKind::InvalidAnswer => Self::DescribeAnswer,
                // Too many calls are under way on the node.
                _ => return None,
            },
            Error::IdentityChanges(_) => Self::IdentityChanges,
            Error::PluginName { .. } => Self::PluginName,
            Error::PluginVersion { .. } => Self::PluginVersion,
            Error::PluginConflict { .. } => Self::VersionTaken,
            Error::WrongWorld { .. } => Self::NameOfOtherWorld,
            _ => return None,
        })
    }

    /// The ground of an error of the plugin runtime; `None` when the host is to blame.
    pub(crate) fn of_runtime(error: &RuntimeError) -> Option<Self> {
        Some(match error {
            RuntimeError::TooLarge { .. } => Self::TooLarge,
            RuntimeError::NotWasm { .. } => Self::NotWasm,
            RuntimeError::CoreModule => Self::CoreModule,
            RuntimeError::Malformed { .. } => Self::Malformed,
            RuntimeError::OtherWorld { .. } => Self::OtherWorld,
            RuntimeError::UnknownVersion { .. } => Self::UnknownVersion,
            RuntimeError::RefusedImports { .. } => Self::RefusedImports,
            RuntimeError::NotGranted { .. } => Self::NotGranted,
            RuntimeError::StartsTooBig { .. } => Self::StartsTooBig,
            RuntimeError::TooMany { .. } => Self::TooMany,
            RuntimeError::FunctionTooLarge { .. } => Self::FunctionTooLarge,
            RuntimeError::Unfit { .. } => Self::Unfit,
            RuntimeError::WrongWorld { .. } => Self::UselessWorld,
            RuntimeError::Uncompilable { .. } => Self::Uncompilable,
            RuntimeError::NoRoom { .. } => Self::NoRoom,
            RuntimeError::Limit { .. } => Self::Limits,
            // `Compiler`, `Cache`, `Engine`: the host's own trouble.
            _ => return None,
        })
    }
}

impl std::fmt::Display for Ground {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Ground {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each error of the runtime.
    fn of_the_runtime() -> Vec<RuntimeError> {
        let detail = || "it".to_owned();
        let (found, allowed) = (2, 1);
        vec![
            RuntimeError::TooLarge { found, allowed },
            RuntimeError::NotWasm { found: detail() },
            RuntimeError::CoreModule,
            RuntimeError::TooMany { what: "names", found, allowed },
            RuntimeError::Malformed { detail: detail() },
            RuntimeError::OtherWorld { found: detail(), expected: detail() },
            RuntimeError::UnknownVersion { found: detail(), served: detail() },
            RuntimeError::RefusedImports { imports: vec![], granted: detail() },
            RuntimeError::NotGranted { capability: "log", imports: vec![] },
            RuntimeError::StartsTooBig { what: "memory", found, allowed },
            RuntimeError::FunctionTooLarge { found, allowed },
            RuntimeError::Unfit { world: "format", detail: detail() },
            RuntimeError::WrongWorld { found: "format", wanted: "format" },
            RuntimeError::Uncompilable { detail: detail() },
            RuntimeError::NoRoom { detail: detail() },
            RuntimeError::Compiler { detail: detail() },
            RuntimeError::Cache { path: "/".into(), source: std::io::Error::other("it") },
            RuntimeError::Engine { detail: detail() },
        ]
    }

    #[test]
    fn what_is_the_component_s_fault_has_a_ground_and_nothing_else() {
        for error in of_the_runtime() {
            let (at_fault, ground) = (error.is_component_fault(), Ground::of_runtime(&error));
            assert_eq!(at_fault, ground.is_some(), "{error}: {ground:?}");
            let error = Error::from(error);
            assert_eq!(Ground::of(&error), ground, "{error}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written_and_differ() {
        for (number, ground) in Ground::ALL.iter().enumerate() {
            assert_eq!(Ground::parse(ground.as_str()), Some(*ground));
            assert!(Ground::ALL[..number].iter().all(|other| other.as_str() != ground.as_str()));
        }
        assert_eq!(Ground::parse("no such ground"), None);
    }
}
