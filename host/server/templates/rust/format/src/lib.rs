//! A format: stores every key behind a prefix, and values as they are.
//!
//! A format is a bijection and a pure function of its configuration and the bytes: there is no clock, no
//! randomness and no memory between calls that could matter. The volume lives by that, so the host checks it.

use mortise_guest::format::Format;

/// What an operator can set; it is stored with the volume and never changes under its data.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What stands before every stored key; at least one character.
    pub prefix: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { prefix: "tenant/".to_owned() }
    }
}

/// The format, prepared for its configuration.
#[derive(Clone, Debug)]
pub struct Prefixed {
    prefix: Vec<u8>,
}

impl Format for Prefixed {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        if config.prefix.is_empty() {
            return Err("configuration: prefix is empty; expected at least one character".to_owned());
        }
        Ok(Self { prefix: config.prefix.into_bytes() })
    }

    fn keeps_order(&self) -> bool {
        true
    }

    fn encode_key(&self, key: &[u8]) -> Result<Vec<u8>, String> {
        Ok([&self.prefix, key].concat())
    }

    fn decode_key(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
        // What no key is stored as is refused, never guessed at.
        let key = stored.strip_prefix(self.prefix.as_slice());
        key.map(<[u8]>::to_vec).ok_or_else(|| "the stored key does not begin with the prefix".to_owned())
    }
}

mortise_guest::export_format!(Prefixed);
