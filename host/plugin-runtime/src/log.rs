//! The only import that plugins are granted: messages to the host's log.
//!
//! A plugin is not trusted with the log either. Each call keeps [`MESSAGES_PER_CALL`] messages of
//! [`MESSAGE_BYTES`] bytes, each component [`MESSAGES_PER_WINDOW`] messages in any [`WINDOW`], and control
//! characters are escaped so that no message can pass for another line of the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{debug, error, info, warn};
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use crate::Digest;
use crate::bindings::mortise::plugin::log::{Host, Level};
use crate::world::ContractVersion;

pub(crate) const MESSAGES_PER_CALL: u32 = 16;
pub(crate) const MESSAGE_BYTES: usize = 1024;
const MESSAGES_PER_WINDOW: u32 = 100;
const WINDOW: Duration = Duration::from_secs(10);

/// What the calls of one component share about logging.
#[derive(Debug)]
pub(crate) struct LogGate {
    digest: Digest,
    window: Mutex<Option<(Instant, u32)>>,
}

impl LogGate {
    pub(crate) fn new(digest: Digest) -> Self {
        Self { digest, window: Mutex::new(None) }
    }

    /// Takes one of the component's messages, and tells how many were dropped when a window begins anew.
    fn admit(&self, now: Instant) -> bool {
        let mut window = self.window.lock();
        match &mut *window {
            Some((start, count)) if now.duration_since(*start) < WINDOW => {
                *count = count.saturating_add(1);
                if *count == MESSAGES_PER_WINDOW + 1 {
                    let plugin = &self.digest;
                    warn!(target: "mortise::plugin", %plugin, "logs too much; messages are dropped");
                }
                *count <= MESSAGES_PER_WINDOW
            }
            window => {
                *window = Some((now, 1));
                true
            }
        }
    }
}

/// The log as one call sees it.
#[derive(Debug)]
pub(crate) struct CallLog {
    gate: Arc<LogGate>,
    left: u32,
    last_error: Option<String>,
}

impl CallLog {
    pub(crate) fn new(gate: Arc<LogGate>) -> Self {
        Self { gate, left: MESSAGES_PER_CALL, last_error: None }
    }

    /// Another call of the same instance begins.
    pub(crate) fn begin(&mut self) {
        self.left = MESSAGES_PER_CALL;
        self.last_error = None;
    }

    /// The last message that the plugin logged as an error, which tells more about a trap than the trap does.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.last_error.as_deref().map(presentable)
    }

    /// Takes a line that the plugin printed. What it prints as an error is mostly why it fails, and the first
    /// line says it.
    pub(crate) fn printed(&mut self, as_error: bool, line: &str) {
        if as_error && self.last_error.is_none() {
            self.last_error = Some(line.to_owned());
        }
        self.keep(if as_error { Level::Warn } else { Level::Info }, line);
    }

    fn keep(&mut self, level: Level, message: &str) {
        if self.left == 0 || !self.gate.admit(Instant::now()) {
            return;
        }
        self.left -= 1;
        let message = presentable(message);
        let plugin = &self.gate.digest;
        match level {
            Level::Debug => debug!(target: "mortise::plugin", %plugin, "{message}"),
            Level::Info => info!(target: "mortise::plugin", %plugin, "{message}"),
            Level::Warn => warn!(target: "mortise::plugin", %plugin, "{message}"),
            Level::Error => error!(target: "mortise::plugin", %plugin, "{message}"),
        }
    }
}

impl Host for CallLog {
    fn write(&mut self, level: Level, message: String) {
        self.keep(level, &message);
        if level == Level::Error {
            self.last_error = Some(message);
        }
    }
}

/// The log of version 0.1.0, whose types are today's under an older name.
pub(crate) struct OldLog;

impl OldLog {
    pub(crate) fn add_to_linker<T: 'static>(
        linker: &mut Linker<T>,
        log: impl Fn(&mut T) -> &mut CallLog + Send + Sync + 'static,
    ) -> wasmtime::Result<()> {
        linker.instance(&ContractVersion::V0_1_0.interface("log"))?.func_wrap(
            "write",
            move |mut context: StoreContextMut<'_, T>, (level, message): (Level, String)| {
                log(context.data_mut()).write(level, message);
                Ok(())
            },
        )
    }
}

/// The beginning of a text from a plugin, on one line.
pub(crate) fn presentable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(MESSAGE_BYTES));
    for character in text.chars() {
        let before = shown.len();
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
        if shown.len() > MESSAGE_BYTES {
            shown.truncate(before);
            shown.push('…');
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_and_stay_on_one_line() {
        assert_eq!(presentable("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        for character in ["x", "ü", "\n", "\u{1b}", "a\u{9f}"] {
            let long = presentable(&character.repeat(5_000));
            assert!(long.len() <= MESSAGE_BYTES + '…'.len_utf8() && long.ends_with('…'), "{long}");
        }
        assert_eq!(presentable(&"x".repeat(MESSAGE_BYTES)), "x".repeat(MESSAGE_BYTES));
    }

    #[test]
    fn a_component_that_logs_too_much_is_silenced_until_the_next_window() {
        let gate = LogGate::new(Digest::of(b"x"));
        let start = Instant::now();
        let admitted = (0..1_000).filter(|_| gate.admit(start)).count();
        assert_eq!(admitted, MESSAGES_PER_WINDOW as usize);
        assert!(gate.admit(start + WINDOW));
    }
}
