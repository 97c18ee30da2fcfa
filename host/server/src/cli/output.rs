//! What commands print: aligned tables for people, JSON for programs.
//!
//! Standard output is written through here alone, so that a reader that has gone (`| head`) is noticed and
//! ends the command quietly.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;

/// How a command answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// An aligned table.
    #[default]
    Table,
    /// JSON.
    Json,
}

impl Format {
    /// Prints one of the two.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub(super) fn emit(
        self,
        table: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> anyhow::Result<()> {
        match self {
            Self::Table => print(&table()),
            Self::Json => print(&format!("{:#}\n", json())),
        }
    }
}

/// Writes `text` to standard output.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    print_bytes(text.as_bytes())
}

/// Writes `bytes` to standard output as they are.
pub(super) fn print_bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}

/// Whether `error` only says that nobody reads standard output any more.
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Lays out rows below a head; columns named in `right` hold numbers.
pub(super) fn table(head: &[&str], right: &[usize], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.to_vec()).add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    trimmed(&table.to_string())
}

/// Lays out names and what they stand for.
pub(super) fn pairs(rows: Vec<(&str, String)>) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.into_iter()
        .map(|(name, value)| format!("{name:width$}  {value}").trim_end().to_owned() + "\n")
        .collect()
}

fn trimmed(text: &str) -> String {
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// Bytes as text where they are text, else escaped.
pub(super) fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

/// Bytes for JSON, as etcd's own client writes them.
pub(super) fn base64(bytes: &[u8]) -> Value {
    Value::String(STANDARD.encode(bytes))
}

/// A size for people: `16.0 MiB`.
pub(super) fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).to_string()
}

/// A time since the Unix epoch for people: `2026-01-31 12:00:00 UTC`.
pub(super) fn time(unix_ms: u64) -> String {
    let at = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_millis(unix_ms));
    // Beyond the year 9999 there is no such text; no clock that is right gets there.
    match at {
        Some(at) if unix_ms > 0 && unix_ms < 253_402_300_800_000 => {
            let text = humantime::format_rfc3339_seconds(at).to_string();
            text.replace('T', " ").replace('Z', " UTC")
        }
        _ => "-".to_owned(),
    }
}

/// `text`, or a dash where there is none.
pub(super) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_have_no_trailing_blanks() {
        let rows = vec![vec!["a".to_owned(), "7".to_owned()], vec!["longer".to_owned(), "1234".to_owned()]];
        assert_eq!(table(&["NAME", "COUNT"], &[1], rows), "NAME    COUNT\na           7\nlonger   1234\n");
    }

    #[test]
    fn pairs_are_aligned() {
        let rows = vec![("a", "1".to_owned()), ("long name", String::new())];
        assert_eq!(pairs(rows), "a          1\nlong name\n");
    }

    #[test]
    fn bytes_that_are_not_text_are_escaped() {
        assert_eq!(readable("grüße".as_bytes()), "grüße");
        assert_eq!(readable(b"\xff\x00a"), "\\xff\\x00a");
        assert_eq!(readable(b"two\nlines"), "two\\nlines");
        assert_eq!(base64(b"\xff\x00a"), Value::String("/wBh".to_owned()));
    }

    #[test]
    fn sizes_and_times_are_for_people() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(16 * 1024 * 1024), "16.0 MiB");
        assert_eq!(time(1_769_860_800_000), "2026-01-31 12:00:00 UTC");
        assert_eq!(time(0), "-");
        assert_eq!(time(u64::MAX), "-");
    }
}
