//! World `format`: how the keys and values of a volume become the bytes that are stored.
//!
//! A format is a bijection and a pure function of its configuration and the bytes. The SDK batches: a format
//! sees one record at a time. The laws below are checked by [`testkit::format`](crate::testkit::format), and
//! by the host over all data before it converts a volume.
//!
//! 1. `decode(encode(x))` is `x`, for every byte string that `encode` takes.
//! 2. Two keys never have the same encoding.
//! 3. What `decode_key` takes is what `encode_key` makes: everything else is refused, never guessed at.
//! 4. With [`keeps_order`](Format::keeps_order), encoded keys are ordered as the keys are.
//!
//! # A complete format
//! ```
//! use mortise_guest::format::Format;
//!
//! /// What an operator can set with `mortise volume create --format-config '{"prefix": "x"}'`.
//! #[derive(serde::Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! pub struct Config {
//!     prefix: String,
//! }
//!
//! impl Default for Config {
//!     fn default() -> Self {
//!         Self { prefix: "tenant/".to_owned() }
//!     }
//! }
//!
//! /// Puts a prefix before every key.
//! pub struct Prefixed {
//!     prefix: Vec<u8>,
//! }
//!
//! impl Format for Prefixed {
//!     type Config = Config;
//!
//!     fn new(config: Config) -> Result<Self, String> {
//!         if config.prefix.is_empty() {
//!             return Err("prefix is empty; expected at least one character".to_owned());
//!         }
//!         Ok(Self { prefix: config.prefix.into_bytes() })
//!     }
//!
//!     fn keeps_order(&self) -> bool {
//!         true
//!     }
//!
//!     fn encode_key(&self, key: &[u8]) -> Result<Vec<u8>, String> {
//!         Ok([&self.prefix, key].concat())
//!     }
//!
//!     fn decode_key(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
//!         match stored.strip_prefix(&self.prefix[..]) {
//!             Some(key) => Ok(key.to_vec()),
//!             None => Err("the stored key does not begin with the prefix".to_owned()),
//!         }
//!     }
//! }
//!
//! mortise_guest::export_format!(Prefixed);
//!
//! // A native test.
//! use mortise_guest::testkit::format::{check_keys, check_stored_keys, records};
//! let format = Prefixed::new(Config::default()).unwrap();
//! check_keys(&format, &records()).unwrap();
//! check_stored_keys(&format, &records()).unwrap();
//! ```

/// Translates keys and values to stored bytes and back.
///
/// What is not implemented stores bytes as they are. Implement `encode` and `decode` of keys, of values, or
/// of both, but never one without the other.
pub trait Format: Sized {
    /// What an operator can set. Read from JSON; derive with `#[serde(default)]` if `{}` is to be valid, and
    /// `deny_unknown_fields` catches what is misspelt. It is stored with the volume and never changes under
    /// data that was written with it.
    type Config: serde::de::DeserializeOwned;

    /// Prepares the format. Work that depends on the configuration alone, such as tables, belongs here: an
    /// instance serves many calls. Memory that the format is to keep between calls is to be taken here, too;
    /// what is taken later and kept makes the instance grow until the host replaces it.
    ///
    /// # Errors
    /// A sentence for the operator about a configuration that cannot be used: what was expected, what was
    /// found, what to do.
    fn new(config: Self::Config) -> Result<Self, String>;

    /// Whether encoded keys are ordered as the keys are, byte by byte. Where they are not, a range of a
    /// request is the keys whose encoding lies between the encodings of its bounds.
    fn keeps_order(&self) -> bool;

    /// Turns a key into a stored key.
    ///
    /// # Errors
    /// Why the key is refused; the client that sent it reads this.
    fn encode_key(&self, key: &[u8]) -> Result<Vec<u8>, String> {
        Ok(key.to_vec())
    }

    /// Turns a stored key back into the key.
    ///
    /// # Errors
    /// Why these bytes cannot be a stored key.
    fn decode_key(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
        Ok(stored.to_vec())
    }

    /// Turns a value into a stored value.
    ///
    /// # Errors
    /// Why the value is refused; the client that sent it reads this.
    fn encode_value(&self, value: &[u8]) -> Result<Vec<u8>, String> {
        Ok(value.to_vec())
    }

    /// Turns a stored value back into the value.
    ///
    /// # Errors
    /// Why these bytes cannot be a stored value.
    fn decode_value(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
        Ok(stored.to_vec())
    }
}
