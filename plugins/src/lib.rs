//! Skeleton of the plugins that ship with Mortise: signatures that other crates build against.
#![allow(clippy::unimplemented, missing_docs)]

/// A plugin that ships with Mortise.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// Name under which it is catalogued.
    pub name: &'static str,
    /// The component.
    pub bytes: &'static [u8],
}

/// All shipped plugins; the first one, `compaction-leveled`, is the default binding.
pub fn shipped() -> &'static [Shipped] {
    unimplemented!()
}
