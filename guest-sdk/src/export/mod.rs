//! What the export macros expand to; not for direct use.
//!
//! Plugins meet it only through `export_compaction_strategy!` and `export_format!`. What both worlds share is
//! here: reading the configuration, where an empty text means `{}` and every error begins with
//! `configuration` and names the field, and sending the message of a panic to the host's log.
//!
//! `compaction` and `format` hold the macros and what only one world needs.

mod compaction;
mod format;

pub use compaction::decide;
pub use format::{Answers, Prepared, Records, Translate};

/// Reads the configuration; an empty text is the same as `{}`.
///
/// # Errors
/// Names the field that is wrong.
pub fn config<C: serde::de::DeserializeOwned>(text: &str) -> Result<C, String> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    if !text.trim_start().starts_with('{') {
        let found: String = text.trim_start().chars().take(20).collect();
        return Err(format!(
            "configuration: expected a JSON object, such as {{\"knob\": 1}}; found {found:?}"
        ));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let config = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        match path.as_str() {
            "." => format!("configuration: {}", error.inner()),
            path => format!("configuration field `{path}`: {}", error.inner()),
        }
    })?;
    reader.end().map_err(|error| format!("configuration: {error}"))?;
    Ok(config)
}

/// Sends the message of a panic to the host's log; without this it would be lost.
pub fn report_panics() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|info| crate::log::error(&info.to_string())));
}

#[cfg(test)]
mod tests {
    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        runs: u8,
        nested: Nested,
    }

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(default)]
    struct Nested {
        ratio: f32,
    }

    #[test]
    fn errors_name_the_field() {
        let read = super::config::<Config>;
        assert_eq!(read(""), Ok(Config::default()));
        assert_eq!(read(r#"{"nested":{"ratio":1.5}}"#).unwrap().nested.ratio, 1.5);
        for (text, expected) in [
            (r#"{"runs": 300}"#, "field `runs`: invalid value: integer `300`, expected u8"),
            (r#"{"nested": {"ratio": "x"}}"#, "field `nested.ratio`: invalid type: string"),
            (r#"{"rums": 3}"#, "unknown field `rums`, expected `runs` or `nested`"),
            ("[]", "expected a JSON object"),
            ("7", "expected a JSON object"),
            ("{", "EOF"),
            ("{} {}", "trailing characters"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected) && error.starts_with("configuration"), "{text}: {error}");
        }
    }
}
