//! A TOML file that supplies the defaults of `serve`'s flags.
//!
//! Keys are the flags' own names (`cache-size = "512MiB"`), so that there is one list of settings, in
//! `serve`, one parser for their values, and one order of precedence, which is clap's: flag, environment,
//! default. A key that is no flag is an error, for a mistyped one would otherwise be silently without effect.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Flags that make no sense in a file.
const NOT_IN_FILE: [&str; 3] = ["config", "help", "version"];

/// A configuration file that was read.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    values: Vec<(String, Vec<String>)>,
}

impl File {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, is not TOML, or holds a value that no flag could take.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration file {}", path.display()))?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> anyhow::Result<Self> {
        let table: toml::Table =
            text.parse().with_context(|| format!("{} is not valid TOML", path.display()))?;
        let values = table
            .into_iter()
            .map(|(key, value)| {
                let values = match value {
                    toml::Value::Array(items) => items.into_iter().map(|item| scalar(&key, item)).collect(),
                    item => scalar(&key, item).map(|value| vec![value]),
                };
                values.map(|values| (key, values))
            })
            .collect::<anyhow::Result<_>>()
            .with_context(|| path.display().to_string())?;
        Ok(Self { path: path.to_owned(), values })
    }

    /// Makes the file's values the defaults of `serve`.
    pub(super) fn supply_defaults(&self, mut serve: clap::Command) -> clap::Command {
        for (key, values) in &self.values {
            if serve.get_arguments().any(|arg| is_setting(arg, key)) {
                let id = key.replace('-', "_");
                serve = serve.mut_arg(id, |arg| arg.default_values(values.clone()));
            }
        }
        serve
    }

    /// Refuses keys that are no flags of `serve`, which `command` contains.
    ///
    /// # Errors
    /// Naming the first such key and all that there are.
    pub(super) fn check_keys(&self, command: &clap::Command) -> anyhow::Result<()> {
        let Some(serve) = command.find_subcommand("serve") else { bail!("there is no serve command") };
        for (key, _) in &self.values {
            if !serve.get_arguments().any(|arg| is_setting(arg, key)) {
                let known: Vec<_> = serve
                    .get_arguments()
                    .filter_map(|arg| arg.get_long())
                    .filter(|long| !NOT_IN_FILE.contains(long))
                    .collect();
                bail!("{}: unknown key {key:?}; known are {}", self.path.display(), known.join(", "));
            }
        }
        Ok(())
    }
}

fn is_setting(arg: &clap::Arg, key: &str) -> bool {
    arg.get_long() == Some(key) && !NOT_IN_FILE.contains(&key)
}

fn scalar(key: &str, value: toml::Value) -> anyhow::Result<String> {
    Ok(match value {
        toml::Value::String(text) => text,
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(flag) => flag.to_string(),
        other => {
            bail!("key {key:?} holds a {}; a text, number or truth value was expected", other.type_str())
        }
    })
}

/// Reads a size; the error goes behind clap's own `invalid value … for …`.
pub(super) fn byte_size(text: &str) -> Result<bytesize::ByteSize, String> {
    text.parse().map_err(|_| "expected a size such as 16MiB".to_owned())
}

/// What clap has against a value, without the usage that it adds for people at a terminal.
pub(super) fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
