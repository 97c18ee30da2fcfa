//! The house rules hold everywhere: arrows, lengths, headers, names, banned calls. All violations at once.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use mortise_tests::tidy;

#[test]
fn the_house_rules_hold() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the crate lies in the repository")?;
    let violations = tidy::violations(root)?;
    if violations.is_empty() {
        return Ok(());
    }
    let mut list = String::new();
    for violation in &violations {
        writeln!(list, "{violation}")?;
    }
    bail!("{} violations of the house rules (see CONTRIBUTING.md):\n{list}", violations.len())
}
