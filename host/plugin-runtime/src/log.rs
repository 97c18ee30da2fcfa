//! The only import that plugins are granted: messages to the host's log.
//!
//! A plugin is not trusted with the log either. Each call keeps [`MESSAGES_PER_CALL`] messages of
//! [`SHOWN_BYTES`](crate::present::SHOWN_BYTES) bytes, each component [`MESSAGES_PER_WINDOW`] messages in any
//! [`WINDOW`], wherever that begins, and what could pass for another line of the log is escaped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{debug, error, info, warn};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, WasmStr};

use crate::Digest;
use crate::bindings::mortise::plugin::log::Level;
use crate::hostcall::{MESSAGE_FUEL, TEXT_BYTE_FUEL, charge};
use crate::present::{SHOWN_BYTES, presentable};
use crate::runtime::CallState;
use crate::world::ContractVersion;

pub(crate) const MESSAGES_PER_CALL: u32 = 16;
const MESSAGES_PER_WINDOW: usize = 100;
const WINDOW: Duration = Duration::from_secs(10);

/// What the calls of one component share about logging.
#[derive(Debug)]
pub(crate) struct LogGate {
    digest: Digest,
    flow: Mutex<Flow>,
}

/// What became of a component's messages lately.
#[derive(Debug, Default)]
struct Flow {
    /// When the latest messages were let through, never more than may pass in one window.
    passed: VecDeque<Instant>,
    /// When it was told last that messages are dropped.
    told: Option<Instant>,
    /// Messages dropped so far.
    dropped: u64,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    Drop,
    /// It is dropped, and that is worth a line of its own.
    Tell,
}

impl Flow {
    /// A message passes if fewer than [`MESSAGES_PER_WINDOW`] did in the [`WINDOW`] that ends with it.
    fn take(&mut self, now: Instant) -> Verdict {
        let is_old = |at: &Instant| now.saturating_duration_since(*at) >= WINDOW;
        if self.passed.len() < MESSAGES_PER_WINDOW {
            self.passed.push_back(now);
            return Verdict::Pass;
        }
        if self.passed.front().is_some_and(is_old) {
            self.passed.pop_front();
            self.passed.push_back(now);
            return Verdict::Pass;
        }
        self.dropped += 1;
        if self.told.as_ref().is_none_or(is_old) {
            self.told = Some(now);
            return Verdict::Tell;
        }
        Verdict::Drop
    }
}

impl LogGate {
    pub(crate) fn new(digest: Digest) -> Self {
        Self { digest, flow: Mutex::default() }
    }

    /// Whether one of the component's messages may pass.
    fn admit(&self, now: Instant) -> bool {
        let mut flow = self.flow.lock();
        let verdict = flow.take(now);
        let dropped = flow.dropped;
        drop(flow);
        if verdict == Verdict::Tell {
            let plugin = &self.digest;
            warn!(target: "mortise::plugin", %plugin, dropped, "logs too much; messages are dropped");
        }
        verdict == Verdict::Pass
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

    /// Whether anything of a message of this level would be kept. Depends on the call alone.
    fn wants(&self, level: Level) -> bool {
        self.left > 0 || level == Level::Error
    }

    fn write(&mut self, level: Level, message: String) {
        self.keep(level, &message);
        if level == Level::Error {
            self.last_error = Some(message);
        }
    }

    fn keep(&mut self, level: Level, message: &str) {
        if self.left == 0 {
            return;
        }
        // One that the gate holds back counts, too: what a call may do must not depend on other calls.
        self.left -= 1;
        if !self.gate.admit(Instant::now()) {
            return;
        }
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

/// Gives components the log, in all versions of the contract: its types have been the same ever since.
pub(crate) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    for version in ContractVersion::ALL {
        linker.instance(&version.interface("log"))?.func_wrap("write", write)?;
    }
    Ok(())
}

/// Takes a message. Its text is looked at only if something of it is kept, and paid for by its length.
fn write(mut call: StoreContextMut<'_, CallState>, (level, text): (Level, WasmStr)) -> wasmtime::Result<()> {
    charge(&mut call, 1, MESSAGE_FUEL)?;
    if !call.data().log.wants(level) {
        return Ok(());
    }
    let text = text.to_str(&call)?;
    let (bytes, start) = (text.len() as u64, beginning(&text));
    charge(&mut call, bytes, TEXT_BYTE_FUEL)?;
    call.data_mut().log.write(level, start);
    Ok(())
}

/// As much of a text as can be shown, and enough to see that it was longer.
fn beginning(text: &str) -> String {
    const LONGEST_CHARACTER: usize = 4;
    text[..text.floor_char_boundary(SHOWN_BYTES + LONGEST_CHARACTER)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> LogGate {
        LogGate::new(Digest::of(b"x"))
    }

    #[test]
    fn a_component_that_logs_too_much_is_silenced_until_its_messages_are_old() {
        let gate = gate();
        let start = Instant::now();
        let admitted = (0..1_000).filter(|_| gate.admit(start)).count();
        assert_eq!(admitted, MESSAGES_PER_WINDOW);
        assert!(!gate.admit(start + WINDOW - Duration::from_nanos(1)));
        assert!(gate.admit(start + WINDOW));
    }

    #[test]
    fn no_boundary_lets_more_through() {
        let gate = gate();
        let start = Instant::now();
        let admits = |at: Duration, tries: usize| (0..tries).filter(|_| gate.admit(start + at)).count();
        let ms = Duration::from_millis;
        // One message opens the window, the others come right before its end: a window that began anew there
        // would let as many pass again.
        assert_eq!(admits(ms(0), 1), 1);
        assert_eq!(admits(ms(9_999), 1_000), MESSAGES_PER_WINDOW - 1);
        assert_eq!(admits(ms(10_001), 1_000), 1, "only the first one is old by now");
        assert_eq!(admits(ms(19_998), 1_000), 0);
        assert_eq!(admits(ms(19_999), 1_000), MESSAGES_PER_WINDOW - 1);
    }

    #[test]
    fn every_window_of_a_steady_flood_has_as_many_as_are_promised() {
        let gate = gate();
        let start = Instant::now();
        let times = (0..4_000_u64).map(|number| Duration::from_millis(number * 17));
        let admitted: Vec<_> = times.filter(|at| gate.admit(start + *at)).collect();
        for (number, first) in admitted.iter().enumerate() {
            let within = admitted[number..].iter().take_while(|at| **at < *first + WINDOW).count();
            assert!(within <= MESSAGES_PER_WINDOW, "{within} messages from {first:?} on");
        }
        assert!(admitted.len() > 6 * MESSAGES_PER_WINDOW, "{} messages in 68 s", admitted.len());
    }

    #[test]
    fn that_messages_are_dropped_is_told_once_in_a_while() {
        let mut flow = Flow::default();
        let start = Instant::now();
        let told = |flow: &mut Flow, at: Instant| (0..500).filter(|_| flow.take(at) == Verdict::Tell).count();
        assert_eq!(told(&mut flow, start), 1);
        assert_eq!(told(&mut flow, start + WINDOW / 2), 0);
        assert_eq!(told(&mut flow, start + WINDOW), 1);
        assert_eq!(flow.dropped, 500 + 2 * (500 - MESSAGES_PER_WINDOW as u64));
    }
}
