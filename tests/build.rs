//! Builds the misbehaving guests below `guests/` into components and writes the list that `src/guests.rs`
//! includes.
#![allow(clippy::print_stdout, reason = "this is how a build script talks to Cargo")]

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

fn main() -> Result<()> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let wit = here.join("../wit/v0.1.0");
    println!("cargo::rerun-if-changed={}", here.join("guests").display());
    println!("cargo::rerun-if-changed={}", wit.display());
    let strategies = here.join("guests/compaction-strategy");
    let prelude = fs::read_to_string(strategies.join("prelude.txt"))?;
    let mut guests = BTreeMap::new();
    for (name, text) in texts(&strategies)? {
        let module = format!("(module\n{}\n)", with_prelude(&text, &prelude));
        let component = mortise_componentize::from_text(&module, Some((&wit, "compaction-strategy")))
            .with_context(|| format!("the guest {name}"))?;
        guests.insert(name, component);
    }
    for (name, text) in texts(&here.join("guests/raw"))? {
        let binary =
            mortise_componentize::from_text(&text, None).with_context(|| format!("the guest {name}"))?;
        ensure!(guests.insert(name.clone(), binary).is_none(), "there are two guests named {name}");
    }
    write_list(&out, &guests)
}

/// The texts of a folder by the names of their files.
fn texts(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut texts = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wat") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            texts.insert(name, fs::read_to_string(&path)?);
        }
    }
    Ok(texts)
}

/// Appends the pieces of the prelude that a guest doesn't define itself. The guest's own text goes first,
/// because its imports must.
fn with_prelude(guest: &str, prelude: &str) -> String {
    let mut text = guest.to_owned();
    for piece in prelude.split("\n\n").filter(|piece| piece.starts_with('(')) {
        let head: Vec<&str> = piece.split_whitespace().take(2).collect();
        if !guest.lines().any(|line| line.split_whitespace().take(2).eq(head.iter().copied())) {
            text.push_str(piece);
            text.push('\n');
        }
    }
    text
}

fn write_list(out: &Path, guests: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    let (mut constants, mut all) = (String::new(), String::new());
    for (name, bytes) in guests {
        let path = out.join(format!("{name}.wasm"));
        fs::write(&path, bytes)?;
        let constant = name.to_uppercase();
        writeln!(constants, "/// The guest `{name}`; its text says what it does.")?;
        writeln!(constants, "pub const {constant}: &[u8] = include_bytes!({path:?});")?;
        writeln!(all, "    ({name:?}, {constant}),")?;
    }
    let list = format!(
        "{constants}\n/// Every misbehaving guest by its name.\n\
         pub const ALL: &[(&str, &[u8])] = &[\n{all}];\n"
    );
    fs::write(out.join("guests.rs"), list)?;
    Ok(())
}
