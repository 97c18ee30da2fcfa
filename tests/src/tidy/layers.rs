//! The dependency arrows of the architecture, read from the manifests.
//!
//! Nothing but the arrows listed in [`ALLOWED`] may be drawn, neither for building nor for tests; a crate
//! that is not listed is a violation, too, so that a new layer is a decision and not an accident. The server
//! names the plugin runtime and the shipped plugins in `wiring.rs` only.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Violation;
use super::source::Source;

/// Folder of a crate, its name, and the crates of ours that it may depend on.
const ALLOWED: [(&str, &str, &[&str]); 8] = [
    ("host/kernel", "mortise-kernel", &[]),
    ("host/plugin-runtime", "mortise-plugin-runtime", &[]),
    ("host/mechanisms", "mortise-mechanisms", &["mortise-kernel", "mortise-plugin-runtime"]),
    (
        "host/server",
        "mortise",
        &[
            "mortise-kernel",
            "mortise-plugin-runtime",
            "mortise-mechanisms",
            "mortise-plugins",
            "mortise-componentize",
        ],
    ),
    ("guest-sdk", "mortise-guest", &[]),
    ("plugins", "mortise-plugins", &["mortise-componentize"]),
    ("plugins/componentize", "mortise-componentize", &[]),
    (
        "tests",
        "mortise-tests",
        &[
            "mortise-componentize",
            "mortise-guest",
            "mortise-kernel",
            "mortise-plugin-runtime",
            "mortise-mechanisms",
            "mortise-plugins",
            "mortise",
        ],
    ),
];

/// Foreign crates that a layer must not know, directly.
const FOREIGN: [(&str, &[&str]); 4] = [
    ("host/kernel", &["wasmtime", "tonic", "clap", "axum", "prost"]),
    ("host/plugin-runtime", &["lsm-tree", "fjall", "openraft", "tonic", "clap", "axum"]),
    (
        "host/mechanisms",
        &["wasmtime", "wasmparser", "lsm-tree", "fjall", "openraft", "tonic", "clap", "axum"],
    ),
    ("host/server", &["wasmtime", "lsm-tree", "fjall", "openraft"]),
];

/// Tests may lean on more than the code they test: the plugins' and mechanisms' tests use real components.
const ALLOWED_IN_TESTS: [(&str, &[&str]); 3] = [
    ("host/mechanisms", &["mortise-plugins"]),
    ("host/plugin-runtime", &["mortise-plugins"]),
    ("plugins", &["mortise-plugin-runtime", "mortise-guest"]),
];

/// Judges every manifest of the workspace.
pub(super) fn judge(root: &Path) -> Result<Vec<Violation>> {
    let mut found = Vec::new();
    let workspace = read(root, "Cargo.toml")?;
    for member in members(&workspace) {
        let file = format!("{member}/Cargo.toml");
        let manifest = read(root, &file)?;
        found.extend(judge_manifest(&member, &file, &manifest));
    }
    Ok(found)
}

fn read(root: &Path, file: &str) -> Result<String> {
    fs::read_to_string(root.join(file)).with_context(|| file.to_owned())
}

/// The quoted words of the workspace's `members` list.
fn members(manifest: &str) -> Vec<String> {
    let list =
        manifest.split("members = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or_default();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

pub(super) fn judge_manifest(folder: &str, file: &str, manifest: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut report = |line: usize, rule: String| found.push(Violation { file: file.to_owned(), line, rule });
    let Some((_, _, allowed)) = ALLOWED.iter().find(|(known, ..)| *known == folder) else {
        report(0, format!("the crate {folder} is in no layer; add it to the rules and to ARCHITECTURE.md"));
        return found;
    };
    let mut section = String::new();
    for (number, line) in (1..).zip(manifest.lines()) {
        if let Some(header) = line.strip_prefix('[') {
            header.trim_end_matches(']').clone_into(&mut section);
            continue;
        }
        let name: String =
            line.chars().take_while(|char| char.is_alphanumeric() || matches!(char, '-' | '_')).collect();
        if !section.ends_with("dependencies") || name.is_empty() {
            continue;
        }
        let tests = section == "dev-dependencies";
        let ours = ALLOWED.iter().any(|(_, known, _)| *known == name);
        let in_tests = tests
            && ALLOWED_IN_TESTS.iter().any(|(known, more)| *known == folder && more.contains(&name.as_str()));
        if ours && !allowed.contains(&name.as_str()) && !in_tests {
            report(number, format!("the arrow {folder} -> {name} is not in the architecture"));
        }
        let foreign =
            FOREIGN.iter().any(|(known, banned)| *known == folder && banned.contains(&name.as_str()));
        if foreign && !tests {
            report(number, format!("{folder} must not know `{name}`"));
        }
        // The plugins are tested natively too; their crates are outside the workspace.
        let guest = folder == "plugins" && tests && line.contains("path = \"guests/");
        if !line.contains("workspace = true") && !line.contains(".workspace") && !guest {
            report(number, format!("`{name}` is not declared in the workspace; one place for all versions"));
        }
    }
    found
}

/// Crates that the server names in one place, and that place: all else of it goes through the mechanisms, and
/// takes from the kernel its types and errors only.
const NAMED_ONCE: [(&str, &str); 3] = [
    ("mortise_plugin_runtime", "host/server/src/wiring.rs"),
    ("mortise_plugins", "host/server/src/wiring.rs"),
    ("mortise_componentize", "host/server/src/cli/plugin_build.rs"),
];

/// Every crate of [`NAMED_ONCE`] is named nowhere else in the server.
pub(super) fn judge_file(file: &Source) -> Vec<Violation> {
    if !file.path.starts_with("host/server/src/") || file.is_test() {
        return Vec::new();
    }
    let code = file.code.lines().take(file.tests_begin());
    let violation = |line: usize, layer: &str, place: &str| Violation {
        file: file.path.clone(),
        line,
        rule: format!("`{layer}` is named here; only `{place}` knows it"),
    };
    (1..)
        .zip(code)
        .flat_map(|(number, line)| {
            let named = NAMED_ONCE.iter().filter(move |(layer, place)| {
                file.path != *place
                    && line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|w| w == *layer)
            });
            named.map(move |(layer, place)| violation(number, layer, place))
        })
        .collect()
}
