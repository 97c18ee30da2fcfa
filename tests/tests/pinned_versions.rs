//! The documents of the example policies and of new projects name the versions of their tools that the builds
//! use: a reader who copies a command gets what the suites have built with. No network is needed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::frozen::root;

/// What JavaScript is built with, and how that is named there.
const PACKAGE: &str = "examples/policies/javascript/package.json";
const IN_PACKAGE: &str = "componentize-js\": \"";

const LANGUAGES: [&str; 5] = ["c", "javascript", "python", "rust", "zig"];

fn read(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| path.to_owned())
}

/// What stands behind each `mark`, up to the first character that no version has.
fn versions<'a>(text: &'a str, mark: &str) -> BTreeSet<&'a str> {
    let behind = text.split(mark).skip(1);
    let version = behind.map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        rest[..end].trim_end_matches('.')
    });
    version.filter(|version| !version.is_empty()).collect()
}

/// The version that the lock file has of a crate; the newest, where a dependency brings an older one.
fn locked(lock: &str, name: &str) -> Result<String> {
    let entries = lock.split("[[package]]").filter(|entry| entry.contains(&format!("name = \"{name}\"\n")));
    let found: BTreeSet<_> = entries.flat_map(|entry| versions(entry, "version = \"")).collect();
    found.last().map(|version| (*version).to_owned()).with_context(|| format!("{name} is in Cargo.lock"))
}

/// What a tool is called in documents, and the only version of it that they may name.
fn pins() -> Result<Vec<(&'static str, String)>> {
    let (lock, toolchain) = (read("Cargo.lock")?, read("rust-toolchain.toml")?);
    let only = |text: &str, mark: &str| {
        let found = versions(text, mark).into_iter().next().map(str::to_owned);
        found.with_context(|| format!("{mark} in {text}"))
    };
    let component = locked(&lock, "wit-component")?;
    let rust = only(&toolchain, "channel = \"")?;
    Ok(vec![
        ("ziglang==", only(&read("examples/policies/c/requirements.txt")?, "ziglang==")?),
        (
            "componentize-py==",
            only(&read("examples/policies/python/requirements.txt")?, "componentize-py==")?,
        ),
        ("componentize-js ", only(&read(PACKAGE)?, IN_PACKAGE)?),
        (IN_PACKAGE, only(&read(PACKAGE)?, IN_PACKAGE)?),
        ("`wit-bindgen-cli`, ", locked(&lock, "wit-bindgen-c")?),
        // The tools have the libraries' numbers, with a 1 in place of the 0.
        ("`wasm-tools`, ", component.replacen('0', "1", 1)),
        ("Rust ", rust.split('.').take(2).collect::<Vec<_>>().join(".")),
    ])
}

/// Every file below a folder that names versions.
fn documents(folder: &Path, into: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !["node_modules", "build", "target", "src"].contains(&name.as_str()) {
            documents(&path, into)?;
        }
        if ["README.md", "requirements.txt", "package.json", "mortise-plugin.toml"].contains(&name.as_str()) {
            into.push(path.strip_prefix(root())?.display().to_string());
        }
    }
    Ok(())
}

#[test]
fn documents_name_the_versions_that_are_built_with() -> Result<()> {
    let pins = pins()?;
    let mut files = Vec::new();
    for folder in ["examples/policies", "host/server/templates"] {
        documents(&root().join(folder), &mut files)?;
    }
    let mut named = BTreeSet::new();
    for file in &files {
        let text = read(file)?;
        for (mark, pinned) in &pins {
            for version in versions(&text, mark) {
                ensure!(version == pinned, "{file} names {mark}{version}; built with is {pinned}");
                named.insert(*mark);
            }
        }
    }
    ensure!(named.len() == pins.len(), "some tools are named nowhere, or otherwise: only {named:?}");
    Ok(())
}

#[test]
fn every_language_s_readme_names_an_exact_version_and_the_command_that_is_run() -> Result<()> {
    let script = read("examples/policies/build.sh")?;
    let pins = pins()?;
    for language in LANGUAGES {
        let readme = read(&format!("examples/policies/{language}/README.md"))?;
        let exact = pins.iter().filter(|(mark, version)| readme.contains(&format!("{mark}{version}")));
        ensure!(exact.count() > 0, "examples/policies/{language}/README.md names no version");
        // The heart of its build, in the script, the Makefile or package.json, and for the reader.
        let (place, heart): (String, &[&str]) = match language {
            "python" => (script.clone(), &["-w compaction-strategy", "componentize --stub-wasi plugin"]),
            "rust" => {
                (script.clone(), &["cargo build --release --locked", "--target wasm32-unknown-unknown"])
            }
            "javascript" => (read(PACKAGE)?, &["componentize-js"]),
            other => (read(&format!("examples/policies/{other}/Makefile"))?, &["ziglang"]),
        };
        for part in heart {
            ensure!(place.contains(part) && readme.contains(part), "{language}: {part:?}");
        }
    }
    // Both ways of building JavaScript switch off the same.
    let off = "-d stdio -d random -d clocks -d http -d fetch-event";
    ensure!(script.contains(off) && read(PACKAGE)?.contains(off));
    ensure!(read("examples/policies/javascript/README.md")?.contains(off));
    Ok(())
}
