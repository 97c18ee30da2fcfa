//! Messages to the host's log.
//!
//! The host keeps 16 messages of a call and 1 KiB of each message, and may drop more when a plugin logs at
//! every call. Natively, in tests, messages go nowhere.

#[cfg(target_arch = "wasm32")]
use crate::bindings::mortise::plugin::log as host;

/// Of use to the author of the plugin only.
pub fn debug(message: &str) {
    #[cfg(target_arch = "wasm32")]
    host::write(host::Level::Debug, message);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = message;
}

/// Worth knowing in normal operation.
pub fn info(message: &str) {
    #[cfg(target_arch = "wasm32")]
    host::write(host::Level::Info, message);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = message;
}

/// Something an operator should look at.
pub fn warn(message: &str) {
    #[cfg(target_arch = "wasm32")]
    host::write(host::Level::Warn, message);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = message;
}

/// The plugin could not do its work.
pub fn error(message: &str) {
    #[cfg(target_arch = "wasm32")]
    host::write(host::Level::Error, message);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = message;
}
