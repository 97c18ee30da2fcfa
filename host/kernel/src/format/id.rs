//! The name of a format.
//!
//! A generation states its format in its `FORMAT` file, and the catalog names formats by the same type, so
//! its fields are read by later versions of the program. What decides is the digest with the configuration:
//! name and version are for people. Configurations are compared as texts, so that two spellings of the same
//! JSON are two formats.
//!
//! Where a codec comes from is not known here; see `codec`.

use std::fmt;

use serde::{Deserialize, Serialize};

const NATURAL: &str = "natural";
const NATURAL_VERSION: &str = "1";
const NO_CONFIG: &str = "{}";

/// Names a format so exactly that equal ids mean equal bytes: a codec is a pure function of its code, which
/// the digest stands for, its config and its input.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FormatId {
    /// The format's name, such as `natural` or `hierarchical`.
    pub name: String,
    /// The codec's version, for people; the digest is what counts.
    pub version: String,
    /// SHA-256 of the codec's component, in lower-case hexadecimal digits; `None` for a native codec.
    pub digest: Option<String>,
    /// JSON text handed to the codec with every call.
    pub config: String,
}

impl FormatId {
    /// The format that stores bytes as they are.
    #[must_use]
    pub fn natural() -> Self {
        let (name, version) = (NATURAL.to_owned(), NATURAL_VERSION.to_owned());
        Self { name, version, digest: None, config: NO_CONFIG.to_owned() }
    }

    /// Whether this is the format that stores bytes as they are.
    #[must_use]
    pub fn is_natural(&self) -> bool {
        self.name == NATURAL && self.version == NATURAL_VERSION && self.digest.is_none()
    }
}

impl Default for FormatId {
    fn default() -> Self {
        Self::natural()
    }
}

impl fmt::Display for FormatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)?;
        match &self.digest {
            Some(digest) => write!(f, " (codec {digest})"),
            None => Ok(()),
        }
    }
}
