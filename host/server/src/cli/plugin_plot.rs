//! How `plugin simulate` shows figures: one table for all strategies, and a plot of each one's tree over
//! time.
//!
//! In a plot time goes from left to right. Each row has a scale of its own, because a level holds some ten
//! times what the one above it holds; the largest value stands at its end.

use mortise_mechanisms::simulate::{Report, Sample};

use super::output;
use super::plugin_author::grouped;

/// Columns of the names at the left of a plot.
const LEFT: usize = 12;
/// Heights of a column of a plot; nothing at all is a dot.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One row for each strategy; the best of each column is marked.
pub(super) fn table(reports: &[Report]) -> String {
    let least = |value: fn(&Report) -> f64| reports.iter().map(value).fold(f64::INFINITY, f64::min);
    let mark = |value: f64, least: f64| if shown(value) == shown(least) { "*" } else { " " };
    let columns: [fn(&Report) -> f64; 4] = [
        |report| report.write_amplification,
        |report| report.read_amplification.mean,
        |report| report.space_amplification.mean,
        |report| report.stalls.seconds,
    ];
    let best = columns.map(least);
    let row = |report: &Report| {
        let [write, read, space, stalls] = columns.map(|value| value(report));
        let steps = &report.steps;
        let counts = [steps.partial, steps.merge, steps.r#move, steps.major, steps.guard];
        let mut cells = vec![
            report.strategy.clone(),
            format!("{}{}", shown(write), mark(write, best[0])),
            format!("{}{}", shown(read), mark(read, best[1])),
            format!("{:.0}", report.read_amplification.most),
            format!("{}{}", shown(space), mark(space, best[2])),
            shown(report.space_amplification.most),
            format!("{}{}", stalled(report), mark(stalls, best[3])),
        ];
        cells.extend(counts.map(|count| if count == 0 { "-".to_owned() } else { grouped(count) }));
        cells
    };
    let head = [
        "STRATEGY", "WRITE", "READ", "MOST", "SPACE", "MOST", "STALLED", "PARTIAL", "MERGE", "MOVE", "MAJOR",
        "GUARD",
    ];
    let right: Vec<usize> = (1..head.len()).collect();
    let table = output::table(&head, &right, reports.iter().map(row).collect());
    table + "WRITE, READ, SPACE: amplification, less is better; * the least; GUARD: steps of the guard rail\n"
}

fn shown(value: f64) -> String {
    format!("{value:.2}")
}

fn stalled(report: &Report) -> String {
    match report.stalls.seconds {
        0.0 => "0".to_owned(),
        seconds if seconds < 10.0 => format!("{seconds:.1} s"),
        seconds => format!("{seconds:.0} s"),
    }
}

/// The plot of one strategy, at most `width` characters wide.
pub(super) fn panel(report: &Report, width: usize) -> String {
    let samples = &report.samples;
    let fits = width.saturating_sub(LEFT + 28).clamp(20, samples.len().max(20));
    let mut text = format!("{}\n", report.strategy);
    let mut row = |name: &str, values: Vec<f64>, end: &dyn Fn(f64) -> String| {
        let (line, most) = sparkline(&values, fits);
        text += format!("  {name:width$}{line}  {}", end(most), width = LEFT - 2).trim_end();
        text.push('\n');
    };
    #[expect(clippy::cast_precision_loss, reason = "a plot is an estimate")]
    let each = |value: &dyn Fn(&Sample) -> u64| samples.iter().map(|sample| value(sample) as f64).collect();
    let levels = samples.iter().map(|sample| sample.levels.len()).max().unwrap_or(0);
    row("L0 runs", each(&|sample| sample.most_l0_runs), &|most| format!("at most {most:.0}"));
    for level in 1..levels {
        let bytes = each(&|sample: &Sample| sample.levels.get(level).map_or(0, |level| level.bytes));
        if bytes.iter().all(|bytes| *bytes == 0.0) {
            continue;
        }
        let last = samples.last().and_then(|sample| sample.levels.get(level)).copied().unwrap_or_default();
        let end = format!("{} in {} tables", output::size(last.bytes), grouped(last.tables));
        row(&format!("L{level}"), bytes, &|_| {
            if last.tables == 0 { "empty at the end".into() } else { end.clone() }
        });
    }
    row("space", samples.iter().map(space).collect(), &|most| format!("at most {most:.2} x live"));
    let waits: Vec<f64> = samples.iter().map(|sample| sample.stalled_seconds).collect();
    if report.stalls.seconds > 0.0 {
        row("stalls", waits, &|_| stalls(report));
    }
    text + &remarks(report)
}

#[expect(clippy::cast_precision_loss, reason = "a plot is an estimate")]
fn space(sample: &Sample) -> f64 {
    let disk: u64 = sample.levels.iter().map(|level| level.bytes).sum();
    if sample.live_bytes == 0 { 0.0 } else { disk as f64 / sample.live_bytes as f64 }
}

fn stalls(report: &Report) -> String {
    let stalls = &report.stalls;
    let share = 100.0 * stalls.seconds / report.seconds.max(f64::MIN_POSITIVE);
    format!("{share:.1} % of the time, at most {:.0} ms", stalls.longest_ms)
}

fn remarks(report: &Report) -> String {
    let mut text = String::new();
    for fault in report.faults.iter().take(3) {
        text +=
            &format!("  fault after {} writes ({}): {}\n", grouped(fault.write), fault.kind, fault.detail);
    }
    if report.fault_count > 3 {
        text += &format!("  … {} faults in all\n", grouped(report.fault_count));
    }
    if let Some(write) = report.quarantined_at {
        text += &format!(
            "  quarantined after {} writes; from there on the figures are the native strategy's\n",
            grouped(write)
        );
    }
    if report.steps.futile > 0 {
        text += &format!("  {} steps changed nothing\n", grouped(report.steps.futile));
    }
    text
}

/// Values as a line of blocks, and the largest of them. What does not fit is gathered: a column shows the
/// largest of its values.
fn sparkline(values: &[f64], columns: usize) -> (String, f64) {
    let most = values.iter().copied().fold(0.0, f64::max);
    let columns = columns.min(values.len());
    let line = (0..columns).map(|column| {
        let (from, to) = (column * values.len() / columns, (column + 1) * values.len() / columns);
        let value = values[from..to.max(from + 1)].iter().copied().fold(0.0, f64::max);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 8")]
        let height = (value / most * HEIGHTS.len() as f64).ceil() as usize;
        if value > 0.0 { HEIGHTS[height.clamp(1, HEIGHTS.len()) - 1] } else { '·' }
    });
    (line.collect(), most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_follow_the_values() {
        assert_eq!(sparkline(&[0.0, 1.0, 4.0, 8.0], 10), ("·▁▄█".to_owned(), 8.0));
        assert_eq!(sparkline(&[0.0; 3], 3).0, "···");
        assert_eq!(sparkline(&[1.0, 9.0, 1.0, 1.0], 2).0, "█▁");
        assert_eq!(sparkline(&[], 5).0, "");
    }
}
