//! `mortise plugin new`: writes a small project that builds.
//!
//! A Rust project gets a copy of the guest SDK: Mortise is not in a registry, a path would tie the project to
//! one machine, and a copy is exactly the SDK that this program was built with. `--sdk PATH` uses a checkout
//! instead, for those who change the SDK.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use clap::builder::PossibleValuesParser;
use mortise_mechanisms::{NAME_RULE, name_problem};
use serde_json::json;

use super::output::Output;
use super::plugin_templates::{self as templates, Sdk};

/// Write a small plugin project that builds.
#[derive(Debug, Args)]
pub(super) struct New {
    /// The plugin's name: 1 to 63 lower-case letters, digits and hyphens, a letter first and no hyphen last.
    name: String,
    /// The world that it implements.
    #[arg(long, default_value = "compaction-strategy")]
    world: String,
    /// The language that it is written in.
    #[arg(long, default_value = "rust", value_parser = PossibleValuesParser::new(templates::languages()))]
    lang: String,
    /// The folder to write; without it one of the plugin's name.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Rust: use the guest SDK in this folder instead of a copy.
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

impl New {
    pub(super) fn run(self) -> anyhow::Result<()> {
        if let Some(why) = name_problem(&self.name) {
            bail!("{:?} cannot name a plugin: {why}; use {NAME_RULE}", self.name);
        }
        let dir = self.dir.clone().unwrap_or_else(|| PathBuf::from(&self.name));
        ensure!(is_free(&dir)?, "{} exists and is not empty; choose another with --dir", dir.display());
        let sdk = self.sdk.as_deref().map(sdk_path).transpose()?;
        let sdk = sdk.as_deref().map_or(Sdk::Vendored, Sdk::At);
        let Some(files) = templates::project(&self.lang, &self.world, &self.name, &sdk) else {
            let there = templates::worlds(&self.lang).join(", ");
            bail!("there is no template for world {} in {}; there is one for {there}", self.world, self.lang);
        };
        for (path, bytes) in &files {
            let path = dir.join(path);
            let folder = path.parent().unwrap_or(&dir);
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let own = files.keys().filter(|path| !path.starts_with("vendor/"));
        let told = || {
            let list: String = own.clone().map(|path| format!("  {path}\n")).collect();
            let place = dir.display();
            format!(
                "{} written to {place}:\n{list}next:\n  cd {place}\n  mortise plugin build\n  \
                 mortise plugin test {}.wasm\n",
                self.name, self.name
            )
        };
        self.output.output.emit(told, || {
            let files: Vec<_> = files.keys().collect();
            json!({ "name": self.name, "world": self.world, "lang": self.lang, "dir": dir, "files": files })
        })
    }
}

fn is_free(dir: &Path) -> anyhow::Result<bool> {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).with_context(|| format!("cannot look into {}", dir.display())),
    }
}

/// An absolute path of the SDK, as it stands in a manifest.
fn sdk_path(path: &Path) -> anyhow::Result<String> {
    let manifest = path.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).with_context(|| {
        format!("--sdk must name the folder guest-sdk; cannot read {}", manifest.display())
    })?;
    ensure!(text.contains("\"mortise-guest\""), "{} is not the guest SDK", path.display());
    let path = path.canonicalize()?;
    let text = path.to_str().context("the path of the SDK is not text")?;
    ensure!(!text.contains(['"', '\\']), "the path of the SDK has quotes or backslashes");
    Ok(text.to_owned())
}
