//! Messages to the host's log.
//!
//! The host keeps 16 messages of a call and 1 KiB of each message, and may drop more when a plugin logs at
//! every call. Natively, in tests, messages go nowhere.
//!
//! ```
//! use mortise_guest::{log, testkit::view};
//!
//! let tree = view().runs(2, 3, 1 << 20).build();
//! if let Some(level) = tree.crowded_level() {
//!     log::info(&format!("level {level} has {} runs; was the tree restored?", tree.runs(level)));
//! }
//! assert_eq!(tree.crowded_level(), Some(2));
//! ```

#[cfg(target_arch = "wasm32")]
use crate::bindings::mortise::plugin::log as host;

/// Of use to the author of the plugin only.
///
/// ```
/// use mortise_guest::{log, testkit::view};
///
/// let tree = view().runs(0, 3, 1 << 20).build();
/// assert_eq!(tree.all_runs(), 3);
/// log::debug(&format!("asked about {} runs", tree.all_runs()));
/// ```
pub fn debug(message: &str) {
    #[cfg(target_arch = "wasm32")]
    host::write(host::Level::Debug, message);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = message;
}

/// Worth knowing in normal operation.
///
/// ```
/// use mortise_guest::{Call, log};
///
/// let call = Call { now: 1_700_000_000_000, seed: 7 };
/// let hour = call.now / 3_600_000 % 24;
/// assert_eq!(hour, 22);
/// log::info(&format!("hour {hour} is quiet, so the tree is rewritten"));
/// ```
pub fn info(message: &str) {
    #[cfg(target_arch = "wasm32")]
    host::write(host::Level::Info, message);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = message;
}

/// Something an operator should look at.
///
/// ```
/// use mortise_guest::{log, testkit::view};
///
/// let tree = view().runs(0, 19, 1 << 20).build();
/// assert_eq!(tree.runs_to_guard(), 1);
/// log::warn(&format!("level 0 may grow by {} runs only", tree.runs_to_guard()));
/// ```
pub fn warn(message: &str) {
    #[cfg(target_arch = "wasm32")]
    host::write(host::Level::Warn, message);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = message;
}

/// The plugin could not do its work.
///
/// ```
/// use mortise_guest::{log, testkit::view};
///
/// let tree = view().free_disk(1 << 20).run(6, 1 << 30).build();
/// assert!(tree.free_disk < tree.bytes());
/// log::error("the disk has no room for a rewrite");
/// ```
pub fn error(message: &str) {
    #[cfg(target_arch = "wasm32")]
    host::write(host::Level::Error, message);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = message;
}
