//! Builds the guest crates into components. `src/lib.rs` includes them.
#![allow(clippy::print_stdout, reason = "this is how a build script talks to Cargo")]

use std::env;
use std::path::{Path, PathBuf};

fn main() -> anyhow::Result<()> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let guests = here.join("guests");
    for source in sources(&here, &guests)? {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    mortise_componentize::build_workspace(&guests, &out)?;
    Ok(())
}

/// What the components are made of; build outputs inside the guests' folder are not.
fn sources(here: &Path, guests: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut sources = vec![
        guests.join("Cargo.toml"),
        guests.join("Cargo.lock"),
        here.join("../wit"),
        here.join("../guest-sdk/Cargo.toml"),
        here.join("../guest-sdk/src"),
    ];
    for entry in std::fs::read_dir(guests)? {
        let guest = entry?.path();
        if guest.join("Cargo.toml").is_file() {
            sources.extend([guest.join("Cargo.toml"), guest.join("src")]);
        }
    }
    Ok(sources)
}
