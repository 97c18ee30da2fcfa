//! The example policy in five languages, as components, built by `examples/policies/build.sh`.
//!
//! The script builds with the tools that were fetched before and never fetches any here, so a test needs no
//! network. What cannot be built is skipped aloud; the languages that `MORTISE_LANGUAGES` names must not be.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::{mortise_binary, run, skip};

/// For a cold build of all languages on a busy machine.
const PATIENCE: Duration = Duration::from_secs(900);

/// Builds the policy and returns the components by their languages.
///
/// # Errors
/// A language doesn't compile, or one that `MORTISE_LANGUAGES` names (separated by spaces) was skipped.
pub fn build() -> Result<BTreeMap<String, Vec<u8>>> {
    let policies = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/policies");
    let beside = mortise_binary()?.with_file_name("mortise-componentize");
    ensure!(
        beside.is_file(),
        "{} is missing; build it with `cargo build --workspace --bins`",
        beside.display()
    );
    let mut command = Command::new(policies.join("build.sh"));
    // What cargo sets for its tests must not reach the build of a guest.
    for (variable, _) in env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" || name == "RUSTFLAGS" {
            command.env_remove(&variable);
        }
    }
    command
        .arg("build")
        .env("MORTISE_COMPONENTIZE", &beside)
        .env("MORTISE_GUESTS", beside.with_file_name("guests"))
        .env("CARGO_TARGET_DIR", target_dir(&beside)?);
    let finished = run(&mut command, b"", PATIENCE)?;
    ensure!(finished.success(), "the policy doesn't build:\n{}", finished.stderr);
    let mut components = BTreeMap::new();
    for line in finished.stdout.lines() {
        match line.split_once(' ') {
            Some(("built", rest)) => {
                let (language, path) = rest.split_once(' ').context("a language and a path")?;
                components.insert(language.to_owned(), fs::read(path).with_context(|| path.to_owned())?);
            }
            Some(("skipped", why)) => skip(&format!("the policy in {why}")),
            _ => bail!("build.sh said {line:?}; expected `built` or `skipped`"),
        }
    }
    let needed = env::var("MORTISE_LANGUAGES").unwrap_or_default();
    for language in needed.split_whitespace() {
        ensure!(
            components.contains_key(language),
            "MORTISE_LANGUAGES asks for {language}, which was skipped"
        );
    }
    Ok(components)
}

/// The folder that holds the folder of the profile that the tools were built in.
fn target_dir(tool: &std::path::Path) -> Result<PathBuf> {
    let target = tool.parent().and_then(std::path::Path::parent);
    target.map(PathBuf::from).context("the tools lie in a folder of cargo's target directory")
}
