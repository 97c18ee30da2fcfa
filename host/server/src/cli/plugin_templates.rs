//! What `plugin new` writes, embedded in the program: templates, the contract and the guest SDK.
//!
//! A project of any language gets what it needs to be built without this repository: a Rust project the SDK
//! with its contract, unless it names another copy, and others the WIT files of the newest version.
//! Placeholders are replaced in texts and in paths; `templates/README.md` describes them. Files are only made
//! here; whoever calls writes them.

use std::collections::BTreeMap;

/// A path below its folder, and the file.
type File = (&'static str, &'static [u8]);

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// Languages that have a template of some world.
pub(super) fn languages() -> Vec<&'static str> {
    distinct(TEMPLATES.iter().filter_map(|(path, _)| {
        let mut parts = path.split('/');
        let language = parts.next()?;
        parts.next().map(|_| language)
    }))
}

/// Worlds that have a template in this language.
pub(super) fn worlds(language: &str) -> Vec<&'static str> {
    distinct(TEMPLATES.iter().filter_map(|(path, _)| {
        path.strip_prefix(language)?.strip_prefix('/')?.split_once('/').map(|(world, _)| world)
    }))
}

fn distinct(names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The newest version of the contract.
pub(super) fn wit_version() -> &'static str {
    let versions = WIT.iter().filter_map(|(path, _)| path.strip_prefix('v')?.split_once('/'));
    let numbers =
        |version: &str| version.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u64>>();
    versions.map(|(version, _)| version).max_by_key(|version| numbers(version)).unwrap_or_default()
}

/// Where a project finds the guest SDK.
#[derive(Debug)]
pub(super) enum Sdk<'a> {
    /// In a copy of its own.
    Vendored,
    /// At this path.
    At(&'a str),
}

/// The files of a project by their paths; `None` when there is no such template.
pub(super) fn project(
    language: &str,
    world: &str,
    name: &str,
    sdk: &Sdk<'_>,
) -> Option<BTreeMap<String, Vec<u8>>> {
    let identifier = name.replace('-', "_");
    let sdk_path = match sdk {
        Sdk::Vendored => "vendor/guest-sdk",
        Sdk::At(path) => path,
    };
    let filled = |text: &str| {
        text.replace("{{name}}", name)
            .replace("{{crate_name}}", &identifier)
            .replace("{{wit_version}}", wit_version())
            .replace("{{sdk}}", sdk_path)
    };
    let below = format!("{language}/{world}/");
    let mut files = BTreeMap::new();
    for (path, bytes) in
        TEMPLATES.iter().filter_map(|(path, bytes)| Some((path.strip_prefix(&below)?, bytes)))
    {
        let bytes = std::str::from_utf8(bytes).map_or(bytes.to_vec(), |text| filled(text).into_bytes());
        files.insert(filled(&with_dot(path)), bytes);
    }
    if files.is_empty() {
        return None;
    }
    if language != "rust" {
        let newest = format!("v{}/", wit_version());
        let wit = WIT.iter().filter_map(|(path, bytes)| Some((path.strip_prefix(&newest)?, bytes)));
        files.extend(wit.map(|(path, bytes)| (format!("wit/{path}"), bytes.to_vec())));
    } else if matches!(sdk, Sdk::Vendored) {
        files.extend(SDK.iter().map(|(path, bytes)| (format!("vendor/guest-sdk/{path}"), bytes.to_vec())));
        files.extend(WIT.iter().map(|(path, bytes)| (format!("vendor/wit/{path}"), bytes.to_vec())));
    }
    Some(files)
}

/// A file whose name begins with a dot would be in force in this repository, so templates leave the dot out.
fn with_dot(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, "gitignore")) => format!("{folder}/.gitignore"),
        None if path == "gitignore" => ".gitignore".to_owned(),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_complete() {
        assert!(languages().contains(&"rust"));
        for language in languages() {
            for world in worlds(language) {
                let files = project(language, world, "my-policy", &Sdk::Vendored).expect("it is there");
                for file in ["README.md", "mortise-plugin.toml", ".gitignore"] {
                    assert!(files.contains_key(file), "{language}/{world} has no {file}");
                }
                for (path, bytes) in &files {
                    let own = !path.starts_with("vendor/") && !path.starts_with("wit/");
                    let text = String::from_utf8_lossy(bytes);
                    for placeholder in ["{{name}}", "{{crate_name}}", "{{wit_version}}", "{{sdk}}"] {
                        assert!(
                            !own || !text.contains(placeholder),
                            "{language}/{world}/{path}: {placeholder}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn there_is_no_template_for_what_does_not_exist() {
        assert!(project("rust", "no-such-world", "x", &Sdk::Vendored).is_none());
        assert!(project("cobol", "compaction-strategy", "x", &Sdk::Vendored).is_none());
    }
}
