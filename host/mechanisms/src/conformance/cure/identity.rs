//! Cures for who a component says it is: its name, its version, and answers that change.

use mortise_plugin_runtime::{Language, NAME_RULE};

use super::describe;

pub(super) fn answer(language: Option<Language>) -> String {
    format!(
        "a name has {NAME_RULE}; a version is a semantic one such as 1.2.3; the summary is one line: change \
         them in {}",
        describe(language)
    )
}

pub(super) fn changes(language: Option<Language>) -> String {
    let constant = match language {
        Some(Language::Rust) => "leave it to the SDK's export macro".to_owned(),
        _ => format!("make it constant in {}", describe(language)),
    };
    format!("`describe` must answer the same at every call: {constant}")
}

pub(super) fn name(language: Option<Language>) -> String {
    format!("change it in {}, or give another with `--name`", describe(language))
}

pub(super) fn version(language: Option<Language>) -> String {
    format!("change it in {}", describe(language))
}

pub(super) fn taken(language: Option<Language>) -> String {
    format!(
        "every build that differs is a version of its own: raise the version in {}; a plugin of your own \
         that only happens to have the name of another gets one with `--name`",
        describe(language)
    )
}

pub(super) fn name_of_other_world(language: Option<Language>) -> String {
    format!("give it another name with `--name`, or for good in {}", describe(language))
}
