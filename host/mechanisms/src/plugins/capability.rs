//! Capabilities: what the host can grant a plugin beyond the contract's own types.
//!
//! A component says by its imports what it wants. What it wants must be granted before any of it runs; what
//! was granted belongs to the plugin, is stored in its row, and is never widened by a newer version.

use std::collections::BTreeSet;

use mortise_plugin_runtime::{Capability, Grants};

use crate::{Error, Result};

/// A set of capabilities.
pub(crate) type Capabilities = BTreeSet<Capability>;

/// The capability of this name.
///
/// # Errors
/// [`Error::NoSuchCapability`], with the names that there are.
pub(crate) fn named(name: &str) -> Result<Capability> {
    let all = [Capability::Log, Capability::WasiMinimal];
    Capability::parse(name)
        .ok_or_else(|| Error::NoSuchCapability { found: name.into(), known: listed(&all.into()) })
}

/// The set in the runtime's terms; the log is everybody's.
pub(crate) fn as_grants(capabilities: &Capabilities) -> Grants {
    Grants { wasi_minimal: capabilities.contains(&Capability::WasiMinimal) }
}

/// What every plugin is granted.
pub(crate) fn by_default() -> Capabilities {
    BTreeSet::from([Capability::Log])
}

/// Names, separated by commas.
pub(crate) fn listed(capabilities: &Capabilities) -> String {
    let names: Vec<_> = capabilities.iter().map(|capability| capability.as_str()).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// Refuses a component that wants more than it is granted.
///
/// # Errors
/// [`Error::NotGranted`], with what it wants, what it has and the command that grants the rest.
pub(crate) fn check(
    name: Option<&str>,
    wanted: &Capabilities,
    granted: &Capabilities,
    imports: &[String],
) -> Result<()> {
    let missing: Capabilities = wanted.difference(granted).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let flags: Vec<_> = missing.iter().map(|capability| format!("--grant {capability}")).collect();
    // What everybody has is no complaint.
    let imports = imports.iter().filter(|name| !name.starts_with("mortise:")).map(String::as_str);
    Err(Error::NotGranted {
        wanted: listed(wanted),
        granted: match name {
            Some(name) => format!("plugin {name} has {}", listed(granted)),
            None => format!("a new plugin has {}", listed(granted)),
        },
        imports: imports.collect::<Vec<_>>().join(", "),
        flags: flags.join(" "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_refused_with_those_there_are() {
        assert_eq!(named("wasi-minimal").unwrap(), Capability::WasiMinimal);
        let error = named("network").unwrap_err().to_string();
        assert!(error.contains("network") && error.contains("log, wasi-minimal"), "{error}");
    }

    #[test]
    fn what_is_missing_comes_with_the_command_that_grants_it() {
        let imports = ["wasi:random/random@0.2.3".to_owned(), "mortise:plugin/log@0.2.0".to_owned()];
        let wanted = [Capability::Log, Capability::WasiMinimal].into();
        let error = check(Some("mine"), &wanted, &by_default(), &imports).unwrap_err().to_string();
        for part in ["--grant wasi-minimal", "plugin mine has log", "wasi:random/random@0.2.3"] {
            assert!(error.contains(part), "{part} is missing in {error}");
        }
        assert!(!error.contains("plugin/log"), "what is granted is no complaint: {error}");
        check(None, &wanted, &wanted, &imports).unwrap();
        assert!(as_grants(&wanted).wasi_minimal && !as_grants(&by_default()).wasi_minimal);
    }
}
