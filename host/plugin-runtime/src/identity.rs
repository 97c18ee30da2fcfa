//! Who a plugin says it is, and the rules for names and versions, which hold wherever one is given.
//!
//! A name is stricter than a host name's label, by its first letter, so that it can be one. It stands in keys
//! of the catalog, in metric labels and in commands; whoever asks for a name checks it by [`name_problem`].

use semver::Version;

use crate::present::is_unpresentable;
use crate::{Fault, FaultKind, Identity};

/// Most characters of a plugin's name.
const MAX_NAME_CHARS: usize = 63;

/// Most characters of a plugin's version.
const MAX_VERSION_CHARS: usize = 64;

/// The rule for names, in words.
pub const NAME_RULE: &str =
    "1 to 63 lower-case letters, digits and hyphens, a letter first and no hyphen at the end";

/// The part of [`NAME_RULE`] that `name` breaks, if it breaks one.
#[must_use]
pub fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > MAX_NAME_CHARS {
        Some("it is longer than 63 characters")
    } else if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        Some("it holds a character that is not allowed")
    } else if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        Some("it does not begin with a letter")
    } else if name.ends_with('-') {
        Some("it ends with a hyphen")
    } else {
        None
    }
}

/// Whether a plugin may have this version: a semantic one, of at most 64 characters.
#[must_use]
pub fn is_version(version: &str) -> bool {
    version.len() <= MAX_VERSION_CHARS && Version::parse(version).is_ok()
}

/// Checks who a plugin says it is.
pub(crate) fn check(identity: &Identity) -> Result<(), Fault> {
    let invalid = |what: &str, expected: &str, found: &str| {
        let detail = format!(
            "the plugin's {what} is {:?}; expected {expected}",
            found.chars().take(100).collect::<String>()
        );
        Err(Fault::new(FaultKind::InvalidAnswer, detail))
    };
    let Identity { name, version, summary } = identity;
    if name_problem(name).is_some() {
        return invalid("name", NAME_RULE, name);
    }
    if !is_version(version) {
        return invalid("version", "a semantic version such as `1.2.3`", version);
    }
    if summary.len() > 1024 || summary.chars().any(is_unpresentable) {
        return invalid("summary", "one line of at most 1024 bytes", summary);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: &str, version: &str) -> Identity {
        Identity { name: name.into(), version: version.into(), summary: "Does things.".into() }
    }

    #[test]
    fn names_and_versions_follow_one_rule() {
        let longest = "x".repeat(63);
        for (name, version) in [
            ("a", "0.0.1"),
            ("compaction-leveled", "1.2.3-rc.1+build.5"),
            ("x9", "10.0.0"),
            (&*longest, "1.0.0"),
        ] {
            check(&identity(name, version)).unwrap();
        }
        let too_long = "x".repeat(64);
        for (name, part) in [
            ("", "empty"),
            ("Upper", "not allowed"),
            ("9lives", "with a letter"),
            ("-a", "with a letter"),
            ("a-", "with a hyphen"),
            ("a/../b", "not allowed"),
            (&*too_long, "63"),
        ] {
            assert!(name_problem(name).is_some_and(|why| why.contains(part)), "{name}");
            let fault = check(&identity(name, "1.0.0")).unwrap_err();
            assert!(fault.kind == FaultKind::InvalidAnswer && fault.detail.contains(NAME_RULE), "{fault:?}");
        }
        for version in ["", "1.0", "1..0", "1.0.0 ", "1.0.0/..", "01.2.3", "1.0.0-", "1.0.0-rc..1"] {
            let fault = check(&identity("a", version)).unwrap_err();
            assert!(fault.kind == FaultKind::InvalidAnswer && fault.detail.contains("1.2.3"), "{version}");
        }
        assert!(!is_version(&format!("1.0.0-{}", "x".repeat(59))));
        let long = Identity { summary: "x".repeat(1025), ..identity("a", "1.0.0") };
        assert!(check(&long).unwrap_err().detail.contains("summary"));
    }
}
