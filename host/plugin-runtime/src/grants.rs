//! Capabilities: what a component may import, and what it is granted of that.
//!
//! There are two. `log` everyone has. `wasi-minimal` is granted by an operator, plugin by plugin, because it
//! makes the host's own surface larger; it gives nothing away, though: see `wasi`. Everything else that a
//! component may import (sockets, HTTP, whatever comes) is granted to nobody.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, wasi};

/// Something that a component imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Capability {
    /// Messages to the host's log, limited in number and size.
    Log,
    /// Clock, randomness, streams and the shape of a file system as WASI 0.2 has them, all of it virtual.
    WasiMinimal,
}

impl Capability {
    /// Name for command lines and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::WasiMinimal => "wasi-minimal",
        }
    }

    /// What it lets a plugin do, in one line.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Log => "write messages to the daemon's log, limited in number and size",
            Self::WasiMinimal => {
                "a virtual clock, randomness from the call's seed, printing to the log; \
                 no file, socket, argument or environment"
            }
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Log, Self::WasiMinimal].into_iter().find(|capability| capability.as_str() == name)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a component is granted, beside `log`, which everyone has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grants {
    /// [`Capability::WasiMinimal`].
    pub wasi_minimal: bool,
}

impl Grants {
    /// Whether they include a capability.
    #[must_use]
    pub fn include(&self, capability: Capability) -> bool {
        match capability {
            Capability::Log => true,
            Capability::WasiMinimal => self.wasi_minimal,
        }
    }

    /// Whether they include all that a component imports.
    pub(crate) fn cover(&self, capabilities: &BTreeSet<Capability>, imports: &[String]) -> Result<()> {
        match capabilities.iter().find(|capability| !self.include(**capability)) {
            None => Ok(()),
            Some(missing) => Err(Error::NotGranted {
                capability: missing.as_str(),
                imports: imports.iter().filter(|import| wasi::offers(import)).cloned().collect(),
            }),
        }
    }
}

/// Sorts imports into capabilities. `log` is the name of the one that everyone is granted.
pub(crate) fn sort(imports: &[String], log: &str) -> Result<BTreeSet<Capability>> {
    let capability = |import: &String| match import {
        import if import == log => Some(Capability::Log),
        import if wasi::offers(import) => Some(Capability::WasiMinimal),
        _ => None,
    };
    let refused: Vec<String> =
        imports.iter().filter(|import| capability(import).is_none()).cloned().collect();
    if refused.is_empty() {
        Ok(imports.iter().filter_map(capability).collect())
    } else {
        Err(Error::RefusedImports { imports: refused, granted: log.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for capability in [Capability::Log, Capability::WasiMinimal] {
            assert_eq!(Capability::parse(capability.as_str()), Some(capability));
            assert_eq!(serde_json::to_string(&capability).unwrap(), format!("{:?}", capability.as_str()));
        }
        assert_eq!(Capability::parse("sockets"), None);
    }
}
