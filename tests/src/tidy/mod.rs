//! The house rules as code: what a reviewer would otherwise have to repeat.
//!
//! | part | what it judges |
//! |---|---|
//! | `source` | finds the files, separates code from comments and strings, finds functions |
//! | `text` | lengths, headers, names, banned calls, `unsafe`, WIT documentation |
//! | `layers` | dependency arrows between crates, and who may name whom |
//! | `examples` | an example on every public item of the guest SDK |
//!
//! Every rule answers with [`Violation`]s, all of them at once. The files are formatted by rustfmt, which the
//! rules rely on: an item ends at the closing brace in the column where it began.

mod examples;
mod layers;
mod source;
mod text;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

use anyhow::Result;

/// One place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// File, relative to the root of the repository.
    pub file: String,
    /// Line, from 1; 0 for the whole file.
    pub line: usize,
    /// The rule, and what was found.
    pub rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.rule)
    }
}

/// Judges the whole repository.
///
/// # Errors
/// A file cannot be read.
pub fn violations(root: &Path) -> Result<Vec<Violation>> {
    let mut found = layers::judge(root)?;
    for file in source::rust_files(root)? {
        found.extend(text::judge(&file));
        found.extend(layers::judge_file(&file));
        found.extend(examples::judge(&file));
    }
    for file in source::files(root, "wit")? {
        found.extend(text::judge_wit(&file));
    }
    found.extend(text::judge_mechanisms(root)?);
    found.sort();
    Ok(found)
}
