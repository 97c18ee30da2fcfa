//! Builds the misbehaving guests below `guests/` into components and writes the list that `src/guests.rs`
//! includes.
#![allow(clippy::print_stdout, reason = "this is how a build script talks to Cargo")]

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Components by their names.
type Guests = BTreeMap<String, Vec<u8>>;

fn main() -> Result<()> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let (v1, v2) = (here.join("../wit/v0.1.0"), here.join("../wit/v0.2.0"));
    for path in [&here.join("guests"), &v1, &v2] {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let strategies = here.join("guests/compaction-strategy");
    let prelude = fs::read_to_string(strategies.join("prelude.txt"))?;
    let mut all = modules(&strategies, &prelude, &v1, "compaction-strategy")?;
    let newer = here.join("guests/compaction-strategy-0.2.0");
    let newer_prelude = fs::read_to_string(newer.join("prelude.txt"))?;
    let mut further = modules(&newer, &newer_prelude, &v2, "compaction-strategy")?;
    for (name, text) in texts(&here.join("guests/raw"))? {
        let binary =
            mortise_componentize::from_text(&text, None).with_context(|| format!("the guest {name}"))?;
        ensure!(further.insert(name.clone(), binary).is_none(), "there are two guests named {name}");
    }
    for (name, binary) in further {
        ensure!(all.insert(name.clone(), binary).is_none(), "there are two guests named {name}");
    }
    let formats = here.join("guests/format");
    let format_prelude = fs::read_to_string(formats.join("prelude.txt"))?;
    let formats = modules(&formats, &format_prelude, &v2, "format")?;
    let wasi = here.join("guests/wasi");
    let contract = wasi_contract(&wasi, &v1, &out.join("wasi-wit"))?;
    let wasi = modules(&wasi, &prelude, &contract, "strategy")?;
    write_list(
        &out,
        &[
            ("ALL", "Every misbehaving strategy, and what is no plugin at all, by its name.", &all),
            ("FORMATS", "Every misbehaving format by its name.", &formats),
            ("WASI", "Every strategy that uses the capability `wasi-minimal`, by its name.", &wasi),
        ],
    )
}

/// Components of the core modules in a folder, each completed by the prelude.
fn modules(folder: &Path, prelude: &str, wit: &Path, world: &str) -> Result<Guests> {
    let mut guests = Guests::new();
    for (name, text) in texts(folder)? {
        let module = format!("(module\n{}\n)", with_prelude(&text, prelude));
        let component = mortise_componentize::from_text(&module, Some((wit, world)))
            .with_context(|| format!("the guest {name}"))?;
        guests.insert(name, component);
    }
    Ok(guests)
}

/// Lays the world of the guests in `folder`, what it imports and the contract that it includes side by side,
/// as the reader of contracts wants them.
fn wasi_contract(folder: &Path, contract: &Path, to: &Path) -> Result<PathBuf> {
    let deps = to.join("deps");
    fs::create_dir_all(deps.join("mortise"))?;
    fs::copy(folder.join("world.wit"), to.join("world.wit"))?;
    for (from, to) in [(folder.join("deps"), deps.clone()), (contract.to_owned(), deps.join("mortise"))] {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(to.to_owned())
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

fn write_list(out: &Path, lists: &[(&str, &str, &Guests)]) -> Result<()> {
    let mut text = String::new();
    for (list, what, guests) in lists {
        let mut all = String::new();
        for (name, bytes) in *guests {
            let path = out.join(format!("{name}.wasm"));
            fs::write(&path, bytes)?;
            let constant = name.to_uppercase();
            writeln!(text, "/// The guest `{name}`; its text says what it does.")?;
            writeln!(text, "pub const {constant}: &[u8] = include_bytes!({path:?});")?;
            writeln!(all, "    ({name:?}, {constant}),")?;
        }
        write!(text, "\n/// {what}\npub const {list}: &[(&str, &[u8])] = &[\n{all}];\n\n")?;
    }
    fs::write(out.join("guests.rs"), text)?;
    Ok(())
}
