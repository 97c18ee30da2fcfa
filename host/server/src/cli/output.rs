//! What commands print: aligned tables for people, JSON for programs.
//!
//! Standard output is written through here alone, so that a reader that has gone (`| head`) is noticed and
//! ends the command quietly.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use comfy_table::{CellAlignment, ColumnConstraint, Table, Width, presets};
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

/// How the answer is printed.
#[derive(Debug, Args)]
pub(super) struct Output {
    /// A table for people or JSON for programs.
    #[arg(long, short = 'o', value_enum, value_name = "FORMAT", default_value = "table")]
    pub(super) output: Format,
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

/// What a message says, for JSON: an empty text in a message means that there is none, and JSON says null.
pub(super) fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// The same for a time, size or number of which 0 means that there is none.
pub(super) fn some_number(number: u64) -> Option<u64> {
    (number > 0).then_some(number)
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

/// Blanks between two columns of a table.
const GAP: usize = 2;
/// The same, in the table library's terms.
const PADDING: u16 = GAP as u16;
/// A column is never made narrower than this.
const NARROW: usize = 16;

/// Characters that a line of a table may have: as many as the terminal shows, or 100 where there is none.
pub(super) fn line_width() -> usize {
    let terminal = terminal_size::terminal_size_of(std::io::stdout());
    terminal.map_or(100, |(width, _)| usize::from(width.0).max(60))
}

/// Lays out rows below a head; columns named in `right` hold numbers. Nothing is broken or cut.
pub(super) fn table(head: &[&str], right: &[usize], rows: Vec<Vec<String>>) -> String {
    laid_out(head, right, &[], rows)
}

/// Like [`table`], with the columns in `long` broken into lines so that the table has `width` characters.
pub(super) fn wrapped(
    head: &[&str],
    right: &[usize],
    long: &[usize],
    rows: Vec<Vec<String>>,
    width: usize,
) -> String {
    let shares = shares(head, long, &rows, width);
    laid_out(head, right, &shares, rows)
}

/// Like [`table`], with the cells in the columns `long` cut so that the table has `width` characters. Where
/// something was cut an ellipsis stands, and a line below says how to see all.
pub(super) fn cut(
    head: &[&str],
    right: &[usize],
    long: &[usize],
    mut rows: Vec<Vec<String>>,
    width: usize,
) -> String {
    let mut whole = true;
    for (column, share) in shares(head, long, &rows, width) {
        for row in &mut rows {
            if row[column].chars().count() > share {
                row[column] = row[column].chars().take(share - 1).chain(['…']).collect();
                whole = false;
            }
        }
    }
    let note = if whole { "" } else { "(cut where … stands; --output json has all of it)\n" };
    table(head, right, rows) + note
}

/// Splits what `width` leaves beside the other columns among those in `long`: pairs of a column and its
/// width. A column that needs little leaves the rest to the others.
fn shares(head: &[&str], long: &[usize], rows: &[Vec<String>], width: usize) -> Vec<(usize, usize)> {
    let wanted = |column: usize| {
        let lines = rows.iter().flat_map(|row| row[column].lines());
        lines.map(|line| line.chars().count()).chain([head[column].len()]).max().unwrap_or(0)
    };
    let others = (0..head.len()).filter(|column| !long.contains(column));
    let mut left = width.saturating_sub(others.map(|column| wanted(column) + GAP).sum());
    let mut ascending: Vec<_> = long.iter().map(|column| (wanted(*column), *column)).collect();
    ascending.sort_unstable();
    let count = ascending.len();
    let share = |(done, (wanted, column)): (usize, (usize, usize))| {
        let share = wanted.min((left / (count - done)).saturating_sub(GAP).max(NARROW));
        left = left.saturating_sub(share + GAP);
        (column, share)
    };
    ascending.into_iter().enumerate().map(share).collect()
}

fn laid_out(head: &[&str], right: &[usize], widths: &[(usize, usize)], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.to_vec()).add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, PADDING));
        if right.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if let Some((_, width)) = widths.iter().find(|(of, _)| *of == index) {
            let width = u16::try_from(width + GAP).unwrap_or(u16::MAX);
            column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(width)));
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
    fn long_cells_are_broken_or_cut_so_that_the_line_fits() {
        let rows = || {
            let text = "a sentence that is much too long for the line that it stands on";
            vec![vec!["k".to_owned(), text.to_owned(), "7".to_owned()]]
        };
        let head = ["KEY", "VALUE", "N"];
        let text = wrapped(&head, &[2], &[1], rows(), 40);
        let expected = [
            "KEY  VALUE                           N",
            "k    a sentence that is much too     7",
            "     long for the line that it",
            "     stands on",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        let text = cut(&head, &[2], &[1], rows(), 40);
        let expected = [
            "KEY  VALUE                           N",
            "k    a sentence that is much too l…  7",
            "(cut where … stands; --output json has all of it)",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        assert_eq!(cut(&head, &[2], &[1], rows(), 100), table(&head, &[2], rows()));
        // What one long column does not need is the other's.
        let two = vec![vec!["x".repeat(90), "y".repeat(20)]];
        assert_eq!(shares(&["A", "B"], &[0, 1], &two, 80), [(1, 20), (0, 56)]);
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
