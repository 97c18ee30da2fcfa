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
///
/// ```
/// use mortise_guest::format::Format;
/// use mortise_guest::testkit::format::{check_keys, check_values, records};
///
/// /// Stores values with all bits flipped, and keys as they are.
/// struct Flipped;
///
/// impl Format for Flipped {
///     type Config = serde_json::Value;
///
///     fn new(_: Self::Config) -> Result<Self, String> {
///         Ok(Self)
///     }
///
///     fn keeps_order(&self) -> bool {
///         true
///     }
///
///     fn encode_value(&self, value: &[u8]) -> Result<Vec<u8>, String> {
///         Ok(value.iter().map(|byte| !byte).collect())
///     }
///
///     fn decode_value(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
///         self.encode_value(stored)
///     }
/// }
///
/// check_keys(&Flipped, &records()).unwrap();
/// check_values(&Flipped, &records()).unwrap();
/// assert_eq!(Flipped.encode_value(&[0x0f]), Ok(vec![0xf0]));
/// ```
pub trait Format: Sized {
    /// What an operator can set. Read from JSON; derive with `#[serde(default)]` if `{}` is to be valid, and
    /// `deny_unknown_fields` catches what is misspelt. It is stored with the volume and never changes under
    /// data that was written with it.
    type Config: serde::de::DeserializeOwned;

    /// Prepares the format. Work that depends on the configuration alone, such as tables, belongs here: an
    /// instance serves many calls. Memory that the format is to keep between calls is to be taken here, too;
    /// what is taken later and kept makes the instance grow until the host replaces it.
    ///
    /// ```
    /// use mortise_guest::format::Format;
    ///
    /// /// What an operator can set.
    /// #[derive(serde::Deserialize)]
    /// struct Config {
    ///     separator: String,
    /// }
    ///
    /// /// Knows the byte that separates the parts of a key.
    /// struct Separated(u8);
    ///
    /// impl Format for Separated {
    ///     type Config = Config;
    ///
    ///     fn new(config: Config) -> Result<Self, String> {
    ///         match config.separator.as_bytes() {
    ///             [byte] => Ok(Self(*byte)),
    ///             bytes => Err(format!("separator has {} bytes; expected one, as in \"/\"", bytes.len())),
    ///         }
    ///     }
    ///
    ///     fn keeps_order(&self) -> bool {
    ///         true
    ///     }
    /// }
    ///
    /// let refused = Separated::new(Config { separator: "::".to_owned() }).err();
    /// assert_eq!(refused.as_deref(), Some("separator has 2 bytes; expected one, as in \"/\""));
    /// ```
    ///
    /// # Errors
    /// A sentence for the operator about a configuration that cannot be used: what was expected, what was
    /// found, what to do.
    fn new(config: Self::Config) -> Result<Self, String>;

    /// Whether encoded keys are ordered as the keys are, byte by byte. Where they are not, a range of a
    /// request is the keys whose encoding lies between the encodings of its bounds.
    ///
    /// ```
    /// use mortise_guest::format::Format;
    ///
    /// /// Stores keys backwards, so that `ba` lies before `ab`.
    /// struct Backwards;
    ///
    /// impl Format for Backwards {
    ///     type Config = serde_json::Value;
    ///
    ///     fn new(_: Self::Config) -> Result<Self, String> {
    ///         Ok(Self)
    ///     }
    ///
    ///     fn keeps_order(&self) -> bool {
    ///         false
    ///     }
    ///
    ///     fn encode_key(&self, key: &[u8]) -> Result<Vec<u8>, String> {
    ///         Ok(key.iter().rev().copied().collect())
    ///     }
    ///
    ///     fn decode_key(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
    ///         self.encode_key(stored)
    ///     }
    /// }
    ///
    /// assert!(!Backwards.keeps_order());
    /// assert!(Backwards.encode_key(b"ba") < Backwards.encode_key(b"ab"));
    /// ```
    fn keeps_order(&self) -> bool;

    /// Turns a key into a stored key.
    ///
    /// ```
    /// use mortise_guest::format::Format;
    ///
    /// /// Ends keys with a zero byte, and takes none that has one.
    /// struct Terminated;
    ///
    /// impl Format for Terminated {
    ///     type Config = serde_json::Value;
    ///
    ///     fn new(_: Self::Config) -> Result<Self, String> {
    ///         Ok(Self)
    ///     }
    ///
    ///     fn keeps_order(&self) -> bool {
    ///         true
    ///     }
    ///
    ///     fn encode_key(&self, key: &[u8]) -> Result<Vec<u8>, String> {
    ///         match key.iter().position(|byte| *byte == 0) {
    ///             Some(at) => Err(format!("byte {at} of the key is zero, which ends a stored key")),
    ///             None => Ok([key, &[0]].concat()),
    ///         }
    ///     }
    ///
    ///     fn decode_key(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
    ///         match stored.split_last() {
    ///             Some((0, key)) if !key.contains(&0) => Ok(key.to_vec()),
    ///             _ => Err("a stored key has one zero byte, at its end".to_owned()),
    ///         }
    ///     }
    /// }
    ///
    /// assert_eq!(Terminated.encode_key(b"a"), Ok(b"a\0".to_vec()));
    /// assert!(Terminated.encode_key(b"a\0b").is_err());
    /// ```
    ///
    /// # Errors
    /// Why the key is refused; the client that sent it reads this.
    fn encode_key(&self, key: &[u8]) -> Result<Vec<u8>, String> {
        Ok(key.to_vec())
    }

    /// Turns a stored key back into the key.
    ///
    /// ```
    /// use mortise_guest::format::Format;
    ///
    /// /// Marks keys with a first byte.
    /// struct Marked;
    ///
    /// impl Format for Marked {
    ///     type Config = serde_json::Value;
    ///
    ///     fn new(_: Self::Config) -> Result<Self, String> {
    ///         Ok(Self)
    ///     }
    ///
    ///     fn keeps_order(&self) -> bool {
    ///         true
    ///     }
    ///
    ///     fn encode_key(&self, key: &[u8]) -> Result<Vec<u8>, String> {
    ///         Ok([&b"k"[..], key].concat())
    ///     }
    ///
    ///     fn decode_key(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
    ///         match stored.strip_prefix(b"k") {
    ///             Some(key) => Ok(key.to_vec()),
    ///             None => Err("a stored key begins with k".to_owned()),
    ///         }
    ///     }
    /// }
    ///
    /// assert_eq!(Marked.decode_key(b"kay"), Ok(b"ay".to_vec()));
    /// assert_eq!(Marked.decode_key(b"ay"), Err("a stored key begins with k".to_owned()));
    /// ```
    ///
    /// # Errors
    /// Why these bytes cannot be a stored key.
    fn decode_key(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
        Ok(stored.to_vec())
    }

    /// Turns a value into a stored value.
    ///
    /// ```
    /// use mortise_guest::format::Format;
    ///
    /// /// Stores values behind their length, in two bytes.
    /// struct Measured;
    ///
    /// impl Format for Measured {
    ///     type Config = serde_json::Value;
    ///
    ///     fn new(_: Self::Config) -> Result<Self, String> {
    ///         Ok(Self)
    ///     }
    ///
    ///     fn keeps_order(&self) -> bool {
    ///         true
    ///     }
    ///
    ///     fn encode_value(&self, value: &[u8]) -> Result<Vec<u8>, String> {
    ///         match u16::try_from(value.len()) {
    ///             Ok(length) => Ok([&length.to_be_bytes()[..], value].concat()),
    ///             Err(_) => Err(format!("the value has {} bytes; expected at most 65535", value.len())),
    ///         }
    ///     }
    ///
    ///     fn decode_value(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
    ///         match stored.split_first_chunk() {
    ///             Some((length, value)) if usize::from(u16::from_be_bytes(*length)) == value.len() => {
    ///                 Ok(value.to_vec())
    ///             }
    ///             _ => Err("a stored value is as long as its first two bytes say".to_owned()),
    ///         }
    ///     }
    /// }
    ///
    /// assert_eq!(Measured.encode_value(b"ab"), Ok(b"\0\x02ab".to_vec()));
    /// assert!(Measured.encode_value(&[0; 65_536]).is_err());
    /// ```
    ///
    /// # Errors
    /// Why the value is refused; the client that sent it reads this.
    fn encode_value(&self, value: &[u8]) -> Result<Vec<u8>, String> {
        Ok(value.to_vec())
    }

    /// Turns a stored value back into the value.
    ///
    /// ```
    /// use mortise_guest::format::Format;
    ///
    /// /// Stores values before the sum of their bytes.
    /// struct Summed;
    ///
    /// impl Format for Summed {
    ///     type Config = serde_json::Value;
    ///
    ///     fn new(_: Self::Config) -> Result<Self, String> {
    ///         Ok(Self)
    ///     }
    ///
    ///     fn keeps_order(&self) -> bool {
    ///         true
    ///     }
    ///
    ///     fn encode_value(&self, value: &[u8]) -> Result<Vec<u8>, String> {
    ///         let sum = value.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    ///         Ok([value, &[sum]].concat())
    ///     }
    ///
    ///     fn decode_value(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
    ///         let value = stored.split_last().map_or(stored, |(_, value)| value);
    ///         if self.encode_value(value)? != stored {
    ///             return Err("a stored value ends with the sum of its bytes".to_owned());
    ///         }
    ///         Ok(value.to_vec())
    ///     }
    /// }
    ///
    /// assert_eq!(Summed.decode_value(&[1, 2, 3]), Ok(vec![1, 2]));
    /// assert!(Summed.decode_value(&[1, 2, 4]).is_err());
    /// ```
    ///
    /// # Errors
    /// Why these bytes cannot be a stored value.
    fn decode_value(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
        Ok(stored.to_vec())
    }
}
