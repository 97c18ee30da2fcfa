//! Values that were decoded before they are needed.
//!
//! A transaction that orders values is applied alone, while every writer of the volume waits: a codec that is
//! called then keeps all of them waiting. So what is likely to be compared is decoded on the side of the
//! request, before its proposal, and travels beside it. Decoding is a pure function of the bytes, so whatever
//! is found here is right whenever it is looked up; what was written since is not found, and decoded then.

use std::collections::HashMap;

use bytes::Bytes;

/// Stored values, and what they stand for.
#[derive(Debug, Default)]
pub(crate) struct Decoded(HashMap<Bytes, Bytes>);

impl Decoded {
    /// Adds what each of some stored values stands for, in their order.
    pub(super) fn add(&mut self, stored: &[Bytes], values: Vec<Bytes>) {
        self.0.extend(stored.iter().cloned().zip(values));
    }

    /// What a stored value stands for, if that was asked before.
    pub(crate) fn get(&self, stored: &Bytes) -> Option<&Bytes> {
        self.0.get(stored)
    }

    /// Bytes of all of them.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|(stored, value)| stored.len() + value.len()).sum()
    }
}
