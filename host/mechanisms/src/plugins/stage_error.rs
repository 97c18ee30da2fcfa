//! What a plugin's stage, or what it does on a volume, forbids.
//!
//! Each variant says what was expected, what was found and what to do, as [`crate::Error`] does, of which all
//! of them are one: the state forbids the request, so the state has to be changed first.

use super::stage::IllegalTransition;

/// Why a plugin cannot do now what was asked of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// The native strategy is to be a candidate.
    #[error("the native strategy is part of the daemon and no candidate; `plugin use native` takes it")]
    NativeIsNoCandidate,
    /// No plugin shadows the volume.
    #[error("no plugin shadows volume {0:?}; begin with `plugin shadow NAME --volume {0}`")]
    NothingShadows(String),
    /// Another plugin shadows the volume.
    #[error(
        "plugin {plugin} {version} shadows volume {volume:?}, not {wanted}; name {plugin}, or begin with \
         `plugin shadow {wanted} --volume {volume}`"
    )]
    AnotherShadows {
        /// Name of the volume.
        volume: String,
        /// The plugin that was named.
        wanted: String,
        /// The one that shadows.
        plugin: String,
        /// Its version.
        version: String,
    },
    /// The volume that was meant was deleted meanwhile, and another has its name.
    #[error(
        "volume {0:?} was deleted meanwhile and another one has its name, to which nothing was done; ask again"
    )]
    VolumeReplaced(String),
    /// What is to shadow a volume serves it.
    #[error(
        "{target} serves volume {volume:?} already, with this configuration; there is nothing to compare"
    )]
    ServesAlready {
        /// Name of the volume.
        volume: String,
        /// What serves.
        target: String,
    },
    /// A version is to be released that nobody has barred.
    #[error("plugin {name} {version} is not in quarantine, so there is nothing to release it from")]
    NotInQuarantine {
        /// Name of the plugin.
        name: String,
        /// Its version.
        version: String,
    },
    /// A version comes in again before it is gone.
    #[error("plugin {name} {version} is being removed; add it again when it is gone")]
    BeingRemoved {
        /// Name of the plugin.
        name: String,
        /// Its version.
        version: String,
    },
    /// A version is to serve where nobody waits for a compilation.
    #[error(
        "plugin {name} {version} has to be compiled before it serves, which is not waited for here; `mortise \
         plugin use` does"
    )]
    NotCompiled {
        /// Name of the plugin.
        name: String,
        /// Its version.
        version: String,
    },
    /// Something has no place in the stage of a version.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
}
