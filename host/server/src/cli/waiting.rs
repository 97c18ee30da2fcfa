//! Shows at a terminal that a command waits for the daemon, and for how long.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::output::Format;

/// How often the time is shown anew.
const TICK: Duration = Duration::from_millis(200);

/// Waits for `work`. Standard error says what is waited for when a person looks at it; it is blank again when
/// that has ended.
pub(super) async fn shown<T>(what: String, output: Format, work: impl Future<Output = T>) -> T {
    let person = output == Format::Table && std::io::stderr().is_terminal();
    let bar = if person { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar.enable_steady_tick(TICK);
    let done = work.await;
    bar.finish_and_clear();
    done
}
