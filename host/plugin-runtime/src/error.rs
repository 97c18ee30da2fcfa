//! Why a component is refused, or the runtime cannot work. What goes wrong inside a running plugin is a
//! [`Fault`](crate::Fault) instead.
//!
//! [`Error::is_component_fault`] tells the two sorts apart: the one is for the author of the component, the
//! other for the operator of the node. Names and texts that come from a component are cut and made fit for
//! one line before they become part of a message.

use std::path::PathBuf;

use crate::present::presentable;

/// Result of an operation of the runtime.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong outside a plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The component is larger than the runtime accepts.
    #[error("the component has {found} bytes; allowed are {allowed}")]
    TooLarge {
        /// Bytes found.
        found: u64,
        /// Bytes allowed.
        allowed: u64,
    },
    /// The bytes are not WebAssembly.
    #[error("this is not a WebAssembly file: {found}; expected a component (.wasm) of a world of Mortise")]
    NotWasm {
        /// What was found.
        found: String,
    },
    /// The bytes are a core module.
    #[error(
        "this is a WebAssembly core module, expected a component; \
         wrap it with `wasm-tools component new` or build it with the guest SDK's instructions"
    )]
    CoreModule,
    /// The file is damaged or uses features that the runtime doesn't offer.
    #[error("the component is damaged or uses a feature that is not offered: {detail}")]
    Malformed {
        /// What the parser or validator found.
        detail: String,
    },
    /// The component exports nothing that belongs to a world of Mortise.
    #[error("the component implements no world of Mortise: it exports {found}, expected {expected}")]
    OtherWorld {
        /// Names that it exports.
        found: String,
        /// Names that were expected.
        expected: String,
    },
    /// The component was built against a version of the contract that this host doesn't serve.
    #[error("the component was built for mortise:plugin@{found}; this host serves {served}")]
    UnknownVersion {
        /// Version found.
        found: String,
        /// Versions served.
        served: String,
    },
    /// The component imports what plugins are not granted.
    #[error(
        "the component imports {}, which is not granted to plugins; granted is {granted}",
        listed(.imports)
    )]
    RefusedImports {
        /// The imports that are not granted.
        imports: Vec<String>,
        /// The import that is granted.
        granted: String,
    },
    /// The component imports what this plugin may have and was not granted.
    #[error(
        "the component imports {}, which belong to the capability `{capability}`, and this plugin was not \
         granted it; if its language needs that (Go does), grant it with `--grant {capability}`, else build it \
         without WASI",
        listed(.imports)
    )]
    NotGranted {
        /// The capability.
        capability: &'static str,
        /// The imports that belong to it.
        imports: Vec<String>,
    },
    /// The component demands more memory or a larger table at its start than the runtime ever grants.
    #[error("the component starts with {found} bytes of {what}; the most that can be granted is {allowed}")]
    StartsTooBig {
        /// `memory` or `tables`.
        what: &'static str,
        /// Bytes found.
        found: u64,
        /// Bytes allowed.
        allowed: u64,
    },
    /// The component has more of something than any plugin needs.
    #[error(
        "the component has {found} {what}; at most {allowed} are taken, which is more than any plugin needs"
    )]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// Number found.
        found: u64,
        /// Number allowed.
        allowed: u64,
    },
    /// A function of the component is larger than the runtime compiles.
    #[error(
        "the component has a function of {found} bytes; at most {allowed} are compiled, because the time that \
         a function takes grows faster than its size: split it, or build with less inlining"
    )]
    FunctionTooLarge {
        /// Bytes of its body.
        found: u64,
        /// Bytes allowed.
        allowed: u64,
    },
    /// The component has the right names, but its types differ from the world's, or it cannot be compiled.
    #[error("the component does not fit world `{world}`: {detail}")]
    Unfit {
        /// The world.
        world: &'static str,
        /// What was found.
        detail: String,
    },
    /// The component is of another world than the one that it is wanted for.
    #[error("the component is of world `{found}`; expected one of world `{wanted}`")]
    WrongWorld {
        /// The component's world.
        found: &'static str,
        /// The world that was asked for.
        wanted: &'static str,
    },
    /// Compiling the component took more than it may.
    #[error("the component cannot be compiled within its limits: compiling it {detail}")]
    Uncompilable {
        /// What it took.
        detail: String,
    },
    /// The component has more instances, memories or tables than there is room for.
    #[error("the component needs more room than there is for one: {detail}")]
    NoRoom {
        /// What it needs, and what there is.
        detail: String,
    },
    /// The process that compiles components cannot be run, or failed for reasons of its own.
    #[error("plugins cannot be compiled: {detail}")]
    Compiler {
        /// What failed.
        detail: String,
    },
    /// A limit is out of bounds.
    #[error("limit {limit} is {found}; allowed is {min} to {max}")]
    Limit {
        /// Name of the limit.
        limit: &'static str,
        /// Value found.
        found: u64,
        /// Smallest value allowed.
        min: u64,
        /// Largest value allowed.
        max: u64,
    },
    /// The directory for compiled components cannot be used.
    #[error(
        "the cache directory {} cannot be used: {source}; check that it exists and is writable",
        path.display()
    )]
    Cache {
        /// The file or directory concerned.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The engine or its threads cannot be started.
    #[error("the plugin engine cannot start: {detail}")]
    Engine {
        /// What failed.
        detail: String,
    },
}

impl Error {
    /// Whether the component is to blame, rather than the host.
    #[must_use]
    pub fn is_component_fault(&self) -> bool {
        !matches!(self, Self::Cache { .. } | Self::Engine { .. } | Self::Limit { .. } | Self::Compiler { .. })
    }
}

/// Names that one message lists.
const NAMES: usize = 8;

/// Characters that are shown of a name; a component may have names of a hundred thousand.
const NAME_CHARACTERS: usize = 120;

/// The first of some names that a component has, fit for one line.
pub(crate) fn listed(names: &[String]) -> String {
    let shown = |name: &String| {
        let mut short: String = name.chars().take(NAME_CHARACTERS).collect();
        if short.len() < name.len() {
            short.push('…');
        }
        format!("`{}`", presentable(&short))
    };
    let mut list: Vec<String> = names.iter().take(NAMES).map(shown).collect();
    if names.len() > NAMES {
        list.push(format!("and {} more", names.len() - NAMES));
    }
    list.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_short_whatever_a_component_is_called() {
        assert_eq!(listed(&["a\nb".to_owned(), "c".to_owned()]), "`a\\nb`, `c`");
        let long = listed(&vec!["ü".repeat(90_000); 1_000]);
        assert!(long.ends_with("…`, and 992 more") && long.len() < 2_500, "{}", long.len());
    }
}
