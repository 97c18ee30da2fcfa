//! The history of a format through the command line: which volumes came into it and left it, for whom, why,
//! and what came of it; refused, failed and cancelled conversions included.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Bench, Client, Mortise, Process, guests, mortise_binary};
use serde_json::Value;

const FORMAT: &str = "format-hierarchical";
const END: Duration = Duration::from_secs(120);

/// Gives a command as alice, for a reason; whether it succeeded.
fn alice(bench: &Bench, arguments: &[&str]) -> Result<bool> {
    let stated = ["--operator", "alice", "--reason", "ticket 7"];
    Ok(bench.mortise.cli(&[arguments, &stated].concat())?.success())
}

/// Who did what where, and what came of it, the oldest first; what everyone's row must have is looked at.
fn told(bench: &Bench, plugin: &str) -> Result<Vec<[String; 4]>> {
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or("?").to_owned();
    let mut told = Vec::new();
    for row in bench.history(Some(plugin))?.iter().rev() {
        if text(row, "action") == "plugin-add" {
            continue;
        }
        let who = row["operator"].as_str().map_or_else(|| text(row, "actor"), str::to_owned);
        let asked = who == "alice";
        ensure!((row["operator_reason"] == "ticket 7") == asked, "{row}");
        ensure!((row["peer"] == "127.0.0.1") == asked && text(row, "digest").len() == 64, "{row}");
        told.push([who, text(row, "action"), text(row, "volume"), text(row, "outcome")]);
    }
    Ok(told)
}

fn expect(found: &[[String; 4]], expected: &[[&str; 4]]) -> Result<()> {
    for (found, expected) in found.iter().zip(expected) {
        let same = found.iter().zip(expected).all(|(found, expected)| match expected.strip_suffix('…') {
            Some(begin) => found.starts_with(begin),
            None => found == expected,
        });
        ensure!(same, "{found:?} instead of {expected:?}");
    }
    ensure!(found.len() == expected.len(), "{found:#?}");
    Ok(())
}

#[test]
fn a_format_s_history_tells_which_volumes_are_in_it_for_whom_and_why() -> Result<()> {
    let bench = Bench::start(&[])?;
    let convert = ["volume", "convert", "default"];
    ensure!(alice(&bench, &["volume", "create", "tree", "--format", "hierarchical"])?);
    ensure!(!alice(&bench, &["volume", "create", "tree", "--format", "hierarchical"])?, "it exists");
    ensure!(alice(&bench, &[&convert[..], &["--to", "hierarchical", "--dry-run"]].concat())?);
    ensure!(alice(&bench, &[&convert[..], &["--to", "hierarchical", "--keep-previous", "1h"]].concat())?);
    ensure!(!alice(&bench, &[&convert[..], &["--to", "hierarchical"]].concat())?, "it is in that format");
    ensure!(alice(&bench, &[&convert[..], &["--undo"]].concat())?);
    ensure!(!alice(&bench, &[&convert[..], &["--undo"]].concat())?, "nothing is kept");
    ensure!(alice(&bench, &["volume", "delete", "tree"])?);
    let expected = [
        ["alice", "volume-create", "tree", "in use"],
        ["alice", "volume-create", "tree", "refused: volume \"tree\" exists…"],
        ["alice", "volume-convert", "default", "job 1 began, a dry run"],
        ["node", "volume-convert", "default", "done: it could be done, and nothing was changed"],
        ["alice", "volume-convert", "default", "job 2 began"],
        ["node", "volume-convert", "default", "done: in use"],
        ["alice", "volume-convert", "default", "refused: …"],
        ["alice", "volume-undo", "default", "job 3 began"],
        ["node", "volume-undo", "default", "done: no longer in use"],
        ["alice", "volume-delete", "tree", "the volume was deleted"],
    ];
    expect(&told(&bench, FORMAT)?, &expected)?;
    // The table has the settings' place, the reason and the name, as for bindings.
    let shown = bench.plugin(&["history", FORMAT])?;
    for part in ["alice@127.0.0.1", "why: ticket 7", "job 2: from natural 1", "hierarchical"] {
        ensure!(shown.contains(part), "{part} is missing in {shown}");
    }
    // On a format that nobody has it is found by that name; what breaks the rules is refused with the rule.
    ensure!(!alice(&bench, &["volume", "create", "x", "--format", "nobody"])?);
    ensure!(bench.history(Some("nobody"))?.len() == 1, "one row");
    let bad = ["volume", "create", "x", "--format", "hierarchical", "--reason", "a\tb"];
    ensure!(bench.mortise.cli(&bad)?.stderr.contains("control character"), "refused for its reason");
    let row = bench.history(Some(FORMAT))?.remove(0);
    ensure!(row["outcome"].as_str().is_some_and(|text| text.contains("control character")), "{row}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn conversions_that_fail_or_are_cancelled_are_told_with_who_ended_them() -> Result<()> {
    let bench = Bench::start(&[])?;
    let mut client = Client::connect(&bench.mortise.endpoint()).await?;
    for number in 0..1000 {
        client.put(format!("/key/{number}"), vec![b'v'; 1000]).await.ok().context("a put")?;
    }
    for (id, name, bytes) in [(1, "refuses", guests::FORMAT_REFUSE), (2, "few", guests::FORMAT_TOO_FEW)] {
        bench.add(name, bytes)?;
        ensure!(!alice(&bench, &["volume", "convert", "default", "--to", name])?, "{name} cannot hold it");
        let begun = format!("job {id} began");
        let expected = [
            ["alice", "volume-convert", "default", &begun],
            ["node", "volume-convert", "default", "failed: …"],
        ];
        expect(&told(&bench, name)?, &expected)?;
    }
    let mut job = slow_conversion(&bench.mortise)?;
    ensure!(alice(&bench, &["volume", "job", "cancel", "3"])?);
    job.wait_end(END)?;
    let mut job = slow_conversion(&bench.mortise)?;
    job.interrupt()?;
    job.wait_end(END)?;
    let rows = bench.history(Some(FORMAT))?;
    let fields = ["operator", "outcome", "operator_reason"];
    let told = |row: &Value| fields.map(|field| row[field].as_str().unwrap_or_default().to_owned());
    let found = rows.iter().rev().filter(|row| row["action"] != "plugin-add").map(told);
    let expected = [
        ["alice", "job 3 began", "ticket 7"],
        ["alice", "cancelled", "ticket 7"],
        ["alice", "job 4 began", "ticket 7"],
        // The reason to begin it is none to end it.
        ["alice", "cancelled", ""],
    ];
    ensure!(found.collect::<Vec<_>>() == expected.map(|row| row.map(str::to_owned)), "{rows:#?}");
    bench.mortise.stop()
}

/// A conversion that copies, and does so for as long as any test looks.
fn slow_conversion(mortise: &Mortise) -> Result<Process> {
    let mut command = Command::new(mortise_binary()?);
    command.args(["volume", "convert", "default", "--to", "hierarchical", "--rate", "16KiB/s"]);
    command.args(["--operator", "alice", "--reason", "ticket 7", "--endpoint", &mortise.endpoint()]);
    let mut process = Process::spawn("a conversion", &mut command)?;
    process.wait_line("that it copies", END, |line| line.starts_with("copying").then_some(()))?;
    Ok(process)
}
