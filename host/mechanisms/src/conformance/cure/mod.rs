//! What usually helps when a host refuses a component, by what is wrong and by language.
//!
//! Every ground has a cure in every language, and in none: where the language makes no difference, it is the
//! same. A cure names what an author can do with the tools that made the file; it repeats nothing of the
//! reason.
//!
//! | file | cures for |
//! |---|---|
//! | `form` | what the file is, its world, its contract, its imports |
//! | `cost` | size, compiling, memory and time |
//! | `identity` | who it says it is, and who vouches for it |

mod cost;
mod form;
mod identity;

#[cfg(test)]
mod tests;

use crate::plugins::Ground;
use mortise_plugin_runtime::{Language, Origin};

/// What usually helps.
pub(super) fn cure(ground: Ground, origin: &Origin, bytes: &[u8]) -> String {
    let language = origin.language;
    match ground {
        Ground::NotWasm => form::not_wasm(bytes).to_owned(),
        Ground::CoreModule => form::core_module(origin).to_owned(),
        Ground::Malformed => form::malformed(language),
        Ground::OtherWorld => form::other_world(origin).to_owned(),
        Ground::UnknownVersion => form::unknown_version(language),
        Ground::Unfit => form::unfit(language),
        Ground::RefusedImports => form::refused_imports(origin).to_owned(),
        Ground::NotGranted => form::not_granted(language).to_owned(),
        Ground::NoSuchCapability => {
            "name one of those that there are, or none: most plugins need no more than the log".to_owned()
        }
        Ground::UselessWorld => {
            "build it for a world that the node serves: `mortise plugin new --world` names them".to_owned()
        }
        Ground::TooLarge => cost::too_large(language).to_owned(),
        Ground::TooMany => cost::too_many(language).to_owned(),
        Ground::FunctionTooLarge => cost::function_too_large(language).to_owned(),
        Ground::StartsTooBig => cost::starts_too_big(language).to_owned(),
        Ground::Uncompilable => cost::uncompilable(language),
        Ground::NoRoom => cost::no_room(language).to_owned(),
        Ground::Limits => {
            "ask for what can be granted: here with --memory and --deadline, on a node with `mortise plugin \
             limits NAME`"
                .to_owned()
        }
        Ground::DescribeTrap => cost::describe_trap(language),
        Ground::DescribeDeadline => cost::describe_deadline(language),
        Ground::DescribeFuel => cost::describe_fuel(language),
        Ground::DescribeMemory => cost::describe_memory(language),
        Ground::DescribeAnswer => identity::answer(language),
        Ground::IdentityChanges => identity::changes(language),
        Ground::PluginName => identity::name(language),
        Ground::PluginVersion => identity::version(language),
        Ground::VersionTaken => identity::taken(language),
        Ground::NameOfOtherWorld => identity::name_of_other_world(language),
        Ground::Unsigned => {
            "sign the very file that is sent, after its last change, with a key whose public half the \
             operator trusts; `FILE.minisig` beside the component is found by itself"
                .to_owned()
        }
        Ground::WrongSignature => {
            "sign the file anew after every build, with the key that is expected; or ask the operator to \
             trust yours (`mortise serve --trusted-keys`)"
                .to_owned()
        }
    }
}

/// Where a plugin in this language says who it is.
fn describe(language: Option<Language>) -> &'static str {
    match language {
        Some(Language::Rust) => "Cargo.toml (`name`, `version`, `description`), where the SDK takes it from",
        Some(Language::C) => "`exports_mortise_plugin_plugin_describe`, usually in plugin.c",
        Some(Language::Zig) => "`exports_mortise_plugin_plugin_describe`, usually in plugin.zig",
        Some(Language::Go | Language::TinyGo) => "`Describe`, which the bindings ask for",
        Some(Language::Python) => "`Plugin.describe`, usually in plugin.py",
        Some(Language::JavaScript) => "`plugin.describe`, usually in plugin.js",
        None => "`describe` of the interface `plugin`",
    }
}
