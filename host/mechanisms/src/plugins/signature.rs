//! Signatures: who vouches for a component, checked before any of it is looked at.
//!
//! Signatures are minisign's: ed25519 over the component's BLAKE2b hash, with a trusted comment that is
//! signed, too. [`Trust`] holds the keys that the operator trusts. A signature that is given and does not
//! hold is always refused; without a signature a component is refused only where the operator requires one.
//! What is required holds for what is in the catalog already, too: what may not come in may not run either.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign_verify::{PublicKey, Signature};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Largest signature file, in bytes; minisign's own have a few hundred.
const MAX_SIGNATURE_BYTES: usize = 8 * 1024;

/// Where the key's id is in a key and in a signature, behind two bytes that name the algorithm.
const KEY_ID: std::ops::Range<usize> = 2..10;

/// What is known of a component's signature; stored with the plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SignatureState {
    /// There was none.
    #[default]
    Unsigned,
    /// There was one, and this node had no trusted keys to check it with.
    Unchecked {
        /// Key that it claims to be made with.
        key_id: String,
    },
    /// It holds.
    Signed {
        /// Key that it was made with.
        key_id: String,
        /// The comment that is part of what was signed.
        trusted_comment: String,
    },
}

/// A key that an operator trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    key: PublicKey,
    id: String,
}

impl TrustedKey {
    /// Reads a key as minisign prints it: one line of base64, or a whole `.pub` file.
    ///
    /// # Errors
    /// [`Error::TrustedKey`].
    pub fn parse(text: &str) -> Result<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let encoded = match lines.as_slice() {
            [only] => *only,
            [comment, encoded] if comment.starts_with("untrusted comment:") => *encoded,
            _ => return Err(refused_key(text, "it is neither one line of base64 nor a minisign key file")),
        };
        let key =
            PublicKey::from_base64(encoded).map_err(|error| refused_key(encoded, &error.to_string()))?;
        let id = key_id(encoded).ok_or_else(|| refused_key(encoded, "it has no key id"))?;
        Ok(Self { key, id })
    }

    /// The key's id as minisign prints it, sixteen hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

fn refused_key(text: &str, detail: &str) -> Error {
    Error::TrustedKey { found: text.chars().take(80).collect(), detail: detail.into() }
}

/// The id in a key or a signature that is encoded like this.
fn key_id(encoded: &str) -> Option<String> {
    let bytes = STANDARD.decode(encoded.trim()).ok()?;
    let id: [u8; 8] = bytes.get(KEY_ID)?.try_into().ok()?;
    Some(format!("{:016X}", u64::from_le_bytes(id)))
}

/// Whom a node trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Keys that may sign components.
    pub keys: Vec<TrustedKey>,
    /// Whether a component must be signed by one of them. Those that come with the program need not.
    pub required: bool,
}

impl Trust {
    /// Checks what came with a component.
    ///
    /// # Errors
    /// [`Error::Unsigned`] where a signature is required and missing; [`Error::WrongSignature`] where it does
    /// not hold, is by another key, or cannot be read.
    pub(crate) fn check(&self, component: &[u8], signature: Option<&str>) -> Result<SignatureState> {
        let Some(text) = signature else {
            if self.required {
                return Err(Error::Unsigned { expected: self.ids() });
            }
            return Ok(SignatureState::Unsigned);
        };
        let wrong = |found: String| Error::WrongSignature { expected: self.ids(), found };
        if text.len() > MAX_SIGNATURE_BYTES {
            let found = format!("a signature of {} bytes; at most {MAX_SIGNATURE_BYTES}", text.len());
            return Err(wrong(found));
        }
        let unreadable = || wrong("something that is no minisign signature".into());
        let id = text.lines().nth(1).and_then(key_id).ok_or_else(unreadable)?;
        let signature = Signature::decode(text).map_err(|_| unreadable())?;
        if self.keys.is_empty() && !self.required {
            return Ok(SignatureState::Unchecked { key_id: id });
        }
        let Some(key) = self.keys.iter().find(|key| key.id == id) else {
            return Err(wrong(format!("a signature by key {id}")));
        };
        key.key.verify(component, &signature, false).map_err(|error| match error {
            minisign_verify::Error::InvalidSignature => {
                wrong(format!("a signature by key {id} that does not hold for these bytes"))
            }
            other => wrong(format!("a signature by key {id} that cannot be used ({other})")),
        })?;
        // Only here is it certain that the comment has the form that the library expects.
        let trusted_comment = signature.trusted_comment().to_owned();
        Ok(SignatureState::Signed { key_id: id, trusted_comment })
    }

    /// Whether a component that came in with this signature may run.
    ///
    /// # Errors
    /// [`Error::Unsigned`] and [`Error::WrongSignature`], where a signature is required.
    pub(crate) fn permits(&self, state: &SignatureState) -> Result<()> {
        match state {
            _ if !self.required => Ok(()),
            SignatureState::Signed { key_id, .. } if self.keys.iter().any(|key| key.id == *key_id) => Ok(()),
            SignatureState::Signed { key_id, .. } => Err(Error::WrongSignature {
                expected: self.ids(),
                found: format!("a signature by key {key_id}, which is not trusted any more"),
            }),
            SignatureState::Unchecked { key_id } => Err(Error::WrongSignature {
                expected: self.ids(),
                found: format!("a signature by key {key_id} that was never checked; add the plugin again"),
            }),
            SignatureState::Unsigned => Err(Error::Unsigned { expected: self.ids() }),
        }
    }

    fn ids(&self) -> String {
        let ids: Vec<_> = self.keys.iter().map(TrustedKey::id).collect();
        if ids.is_empty() { "no key at all".into() } else { format!("key {}", ids.join(" or ")) }
    }
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
