//! Building guest crates with a nested Cargo.
//!
//! The inner build must give the same components whatever the outer one is: flags and variables of the outer
//! build are kept from it, its lock file is binding, and paths of the machine are mapped away. It has a
//! target directory of its own, because the outer build holds the lock of its own until the inner one has
//! ended. A missing target for WebAssembly is told with its cure.
//!
//! Folders with a manifest are the crates, and have the crates' names.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::wrap;

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds every crate of the Cargo workspace in `workspace` that makes a module, and writes each as a
/// component `<crate>.wasm` into `out`. Returns the components by the crate's name.
///
/// The inner build has a target directory of its own, so it never waits for the lock that the outer one
/// holds.
///
/// # Errors
/// When the target isn't installed, a crate doesn't compile or its module is no component.
pub fn build_workspace(workspace: &Path, out: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let workspace = workspace.canonicalize().with_context(|| format!("opening {}", workspace.display()))?;
    check_target(&tool("RUSTC", "rustc"))?;
    let target_dir = shared_target_dir(out);
    let mut cargo = Command::new(tool("CARGO", "cargo"));
    cargo.args(["build", "--release", "--locked", "--quiet", "--target", TARGET, "--manifest-path"]);
    cargo.arg(workspace.join("Cargo.toml")).arg("--target-dir").arg(&target_dir);
    isolate(&mut cargo);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", remapped_paths(&workspace));
    // Cargo finds its own configuration and toolchain from the directory it runs in.
    let status = cargo.current_dir(&workspace).status().context("starting cargo for the guests")?;
    ensure!(status.success(), "the guests in {} don't compile; see above", workspace.display());
    let modules = target_dir.join(TARGET).join("release");
    let mut components = BTreeMap::new();
    for name in crates(&workspace)? {
        let module = modules.join(format!("{}.wasm", name.replace('-', "_")));
        let bytes = fs::read(&module).with_context(|| format!("reading {}", module.display()))?;
        let component = wrap(&bytes).with_context(|| format!("making a component of {name}"))?;
        let path = out.join(format!("{name}.wasm"));
        fs::write(&path, component).with_context(|| format!("writing {}", path.display()))?;
        components.insert(name, path);
    }
    Ok(components)
}

/// Crates of a workspace are the folders that hold a manifest, named as the crate.
fn crates(workspace: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(workspace)? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn check_target(rustc: &OsStr) -> Result<()> {
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .context("starting rustc")?;
    let libraries = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !Path::new(libraries.trim()).is_dir() {
        bail!("the target {TARGET} is not installed; run: rustup target add {TARGET}");
    }
    Ok(())
}

/// A directory beside the outer build's, so that a change of the outer build script's own hash doesn't build
/// the guests' dependencies anew.
fn shared_target_dir(out: &Path) -> PathBuf {
    let build = out.ancestors().find(|dir| dir.file_name().is_some_and(|name| name == "build"));
    match build.and_then(Path::parent) {
        Some(profile) => profile.join("guests"),
        None => out.join("guests"),
    }
}

fn tool(variable: &str, default: &str) -> OsString {
    env::var_os(variable).unwrap_or_else(|| default.into())
}

/// Removes what the outer Cargo, or whoever called it, has set for the outer build.
fn isolate(cargo: &mut Command) {
    const KEPT: &[&str] =
        &["CARGO", "CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_INCREMENTAL", "CARGO_TERM_COLOR"];
    const KEPT_PREFIXES: &[&str] = &["CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    const REMOVED: &[&str] = &[
        "RUSTFLAGS",
        "RUSTDOCFLAGS",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTC_LINKER",
        "CLIPPY_ARGS",
        "TARGET",
        "HOST",
        "OUT_DIR",
        "PROFILE",
        "OPT_LEVEL",
        "DEBUG",
        "NUM_JOBS",
    ];
    for (variable, _) in env::vars_os() {
        let name = variable.to_string_lossy();
        let kept = KEPT.contains(&&*name) || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        if REMOVED.contains(&&*name) || (name.starts_with("CARGO_") && !kept) {
            cargo.env_remove(&variable);
        }
    }
}

/// Flags that keep this machine's paths out of panic messages, so that a component's digest doesn't depend on
/// where it was built.
fn remapped_paths(workspace: &Path) -> OsString {
    let mut flags = OsString::new();
    let mut remap = |from: &Path, to: &str| {
        if !flags.is_empty() {
            flags.push("\x1f");
        }
        flags.push("--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    };
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    if let Some(home) = cargo_home {
        remap(&home.join("registry/src"), "/crates");
    }
    // The nearest folder that holds a lock file and is not the guests' own is the repository.
    let repository = workspace.ancestors().skip(1).find(|dir| dir.join("Cargo.lock").is_file());
    remap(repository.unwrap_or(workspace), "/mortise");
    flags
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_target_directory_is_shared_below_one_profile() {
        let out = Path::new("/w/target/debug/build/mortise-plugins-0123/out");
        assert_eq!(shared_target_dir(out), Path::new("/w/target/debug/guests"));
        assert_eq!(shared_target_dir(Path::new("/elsewhere")), Path::new("/elsewhere/guests"));
    }

    #[test]
    fn a_missing_target_is_named_with_its_cure() {
        let dir = tempfile::tempdir().unwrap();
        for (name, script) in [("elsewhere", "echo /nowhere/at/all"), ("refuses", "exit 1")] {
            let rustc = dir.path().join(name);
            fs::write(&rustc, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755)).unwrap();
            let error = check_target(rustc.as_os_str()).unwrap_err().to_string();
            assert!(error.contains("run: rustup target add wasm32-unknown-unknown"), "{name}: {error}");
        }
        check_target(&tool("RUSTC", "rustc")).unwrap();
    }

    #[test]
    fn crates_are_the_folders_with_a_manifest() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b-crate", "a-crate", "target"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("a-crate/Cargo.toml"), "").unwrap();
        fs::write(dir.path().join("b-crate/Cargo.toml"), "").unwrap();
        assert_eq!(crates(dir.path()).unwrap(), ["a-crate", "b-crate"]);
    }
}
