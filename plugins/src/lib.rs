//! The plugins that ship with Mortise, as components.
//!
//! Each is a crate below `guests/`, written with the guest SDK and built by this crate's build script. A new
//! one is added there, to the workspace of the guests, and to the list below.

macro_rules! shipped {
    ($($(#[$doc:meta])* $constant:ident = $name:literal of $world:literal;)*) => {
        $(
            $(#[$doc])*
            pub const $constant: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".wasm"));
        )*

        const SHIPPED: &[Shipped] = &[$(Shipped { name: $name, world: $world, bytes: $constant }),*];
    };
}

shipped! {
    /// Levelled compaction; the default.
    COMPACTION_LEVELED = "compaction-leveled" of "compaction-strategy";
    /// Size-tiered compaction.
    COMPACTION_TIERED = "compaction-tiered" of "compaction-strategy";
    /// Levelled compaction that yields to writers.
    COMPACTION_QUIET = "compaction-quiet" of "compaction-strategy";
    /// Keys ordered by depth first, so that the direct children of a directory are one range.
    FORMAT_HIERARCHICAL = "format-hierarchical" of "format";
    /// Values compressed against a dictionary.
    FORMAT_DICTIONARY = "format-dictionary" of "format";
}

/// A plugin that ships with Mortise.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// Name under which it is catalogued.
    pub name: &'static str,
    /// World that it is of.
    pub world: &'static str,
    /// The component.
    pub bytes: &'static [u8],
}

/// All shipped plugins; the first one, `compaction-leveled`, is the default binding.
#[must_use]
pub fn shipped() -> &'static [Shipped] {
    SHIPPED
}
