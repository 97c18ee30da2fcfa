//! Reading what a component says about itself, without running or compiling any of it.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// SHA-256 of a component's bytes; shows as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest's own 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// A contract that a plugin can implement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum World {
    /// Keeps the tree of a volume in shape.
    CompactionStrategy,
}

impl World {
    /// Name of the world in the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CompactionStrategy => "compaction-strategy",
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a component says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// SHA-256 of the component.
    pub digest: Digest,
    /// Size of the component in bytes.
    pub bytes: u64,
    /// The world that it implements.
    pub world: World,
    /// Version of the contract that it was built for.
    pub wit_version: String,
    /// Names of its imports.
    pub imports: Vec<String>,
}
