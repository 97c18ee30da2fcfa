//! What the host's functions cost a plugin, in fuel.
//!
//! The engine counts the instructions of a plugin, and a call of the host is one of them, whatever the host
//! does for it. A loop around a function that copies megabytes would be nearly free, and where fuel is the
//! only bound it would never end. So each function whose work grows with what it is given takes fuel for it,
//! by rules that depend on nothing but the call: the same call costs the same on every node.

use wasmtime::{StoreContextMut, Trap};

use crate::runtime::CallState;

/// Fuel for a message to the log, besides its bytes.
pub(crate) const MESSAGE_FUEL: u64 = 1_000;

/// Fuel for each byte of text that the host reads: it is checked, perhaps translated, and copied.
pub(crate) const TEXT_BYTE_FUEL: u64 = 4;

/// Fuel for each byte of randomness, which is a hash.
pub(crate) const RANDOM_BYTE_FUEL: u64 = 16;

/// Fuel for each handle in a list of them.
pub(crate) const HANDLE_FUEL: u64 = 100;

/// Takes fuel from the call for `count` things at `each`.
///
/// # Errors
/// There is not so much left, which ends the call as the plugin's own instructions would.
pub(crate) fn charge(
    call: &mut StoreContextMut<'_, CallState>,
    count: u64,
    each: u64,
) -> wasmtime::Result<()> {
    let left = call.get_fuel()?.checked_sub(count.saturating_mul(each));
    call.set_fuel(left.unwrap_or(0))?;
    if left.is_some() { Ok(()) } else { Err(Trap::OutOfFuel.into()) }
}
