//! The example policy in five languages, as components, built by `examples/policies/build.sh`.
//!
//! The script builds with the tools that were fetched before and never fetches any here, so a test needs no
//! network. What cannot be built is skipped aloud; the languages that `MORTISE_LANGUAGES` names must not be.
//! The same tools build what `mortise plugin new` writes; [`tools`] says where they are.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
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

/// Where the tools of one language are.
#[derive(Clone, Debug)]
pub struct Tools {
    /// Its folder, as `examples/policies/build.sh fetch` made it.
    pub folder: PathBuf,
    /// What PATH has to be for its commands to be found.
    pub path: OsString,
}

/// The tools that projects in `language` (`c`, `python` or `javascript`) are built with; `None`, said aloud,
/// where they are not there or don't run.
///
/// # Errors
/// They are not there, and `MORTISE_LANGUAGES` names the language.
pub fn tools(language: &str) -> Result<Option<Tools>> {
    let (folder, probe): (_, &[&str]) = match language {
        "c" => ("zig", &["python3", "-m", "ziglang", "version"]),
        "python" => ("componentize-py", &["componentize-py", "--version"]),
        "javascript" => ("node", &["node", "--version"]),
        other => bail!("there are no tools for {other}"),
    };
    let folder = target_dir(&mortise_binary()?)?.join("policies/tools").join(folder);
    let path = env::var_os("PATH").unwrap_or_default();
    let own = [folder.join("bin"), folder.join("node_modules/.bin")];
    let path = env::join_paths(own.into_iter().chain(env::split_paths(&path)))?;
    // The program is looked up in the PATH that it is given, as whoever builds a project has it.
    let mut command = Command::new("/usr/bin/env");
    command.args(probe).env("PATH", &path);
    let runs = run(&mut command, b"", PATIENCE).is_ok_and(|finished| finished.success());
    if folder.join("fetched").is_file() && runs {
        return Ok(Some(Tools { folder, path }));
    }
    let why = format!("{} are not fetched or don't run: `{}`", folder.display(), probe.join(" "));
    let needed = env::var("MORTISE_LANGUAGES").unwrap_or_default();
    ensure!(
        !needed.split_whitespace().any(|needed| needed == language),
        "MORTISE_LANGUAGES asks for {language}, but the tools in {why}"
    );
    skip(&format!(
        "projects in {language}: the tools in {why} (examples/policies/build.sh fetch {language})"
    ));
    Ok(None)
}

/// The folder that holds the folder of the profile that the tools were built in.
fn target_dir(tool: &std::path::Path) -> Result<PathBuf> {
    let target = tool.parent().and_then(std::path::Path::parent);
    target.map(PathBuf::from).context("the tools lie in a folder of cargo's target directory")
}
