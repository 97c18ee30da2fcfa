//! What `docs/metrics.md` states about metrics, and whether a page of them is as it states.
//!
//! The document is read as it stands: its tables are found by their headings, nothing is repeated here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::pages::{Series, series};

/// What the document says about one metric.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stated {
    /// `counter`, `gauge` or `histogram`.
    kind: String,
    labels: BTreeSet<String>,
}

/// The document.
///
/// # Errors
/// It cannot be read.
pub fn document() -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// The rows of every table whose heading begins with this cell, cell by cell, without backticks.
#[must_use]
pub fn rows(document: &str, heading: &str) -> Vec<Vec<String>> {
    let heading = format!("| {heading} |");
    let mut rows = Vec::new();
    let mut lines = document.lines();
    while lines.by_ref().any(|line| line.starts_with(&heading)) {
        let table = lines.by_ref().skip(1).take_while(|line| line.starts_with('|'));
        rows.extend(table.map(cells));
    }
    rows
}

fn cells(line: &str) -> Vec<String> {
    line.split('|').skip(1).map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
}

/// Holds the metrics of a page whose names are `told` against the document, in both directions: name, type,
/// labels, a help text, and whether everything is spelled as everywhere else.
///
/// # Errors
/// They differ, or the page cannot be understood.
pub fn is_as_stated(page: &str, told: impl Fn(&str) -> bool) -> Result<()> {
    let mut stated = BTreeMap::new();
    for row in rows(&document()?, "metric").into_iter().filter(|row| told(&row[0])) {
        let labels = row[2].split(", ").filter(|label| *label != "none").map(Into::into).collect();
        let former = stated.insert(row[0].clone(), Stated { kind: row[1].clone(), labels });
        ensure!(former.is_none(), "{} is stated twice", row[0]);
    }
    ensure!(stated.len() > 10, "the tables were not found: {stated:?}");
    let kinds = comments(page, "TYPE");
    let helps = comments(page, "HELP");
    let mut seen = BTreeSet::new();
    for found in series(page).into_iter().filter(|found| found.name.starts_with("mortise_")) {
        let name = metric(&found.name, &kinds);
        if !told(&name) {
            continue;
        }
        let kind = kinds.get(&name).with_context(|| format!("{name} has no type"))?;
        let expected = stated.get(&name).with_context(|| format!("{name} is not in the document"))?;
        ensure!(expected.kind == *kind, "{name} is a {kind}, the document states a {}", expected.kind);
        ensure!(helps.get(&name).is_some_and(|help| !help.is_empty()), "{name} has no help text");
        ensure!(name.ends_with("_total") == (kind == "counter"), "{name} is a {kind}");
        let own = found.labels.iter().map(|(label, _)| label.clone()).filter(|label| label != "le");
        let own: BTreeSet<String> = own.collect();
        ensure!(own == expected.labels, "{found:?}: the document states {:?}", expected.labels);
        is_spelled_as_in_json(&found)?;
        seen.insert(name);
    }
    let missing: Vec<_> = stated.keys().filter(|name| !seen.contains(*name)).collect();
    ensure!(missing.is_empty(), "the document states what the page has not: {missing:?}");
    Ok(())
}

/// Words of ours, as values of labels, are in kebab case.
fn is_spelled_as_in_json(found: &Series) -> Result<()> {
    for (label, value) in &found.labels {
        let ours = ["by", "kind", "outcome", "phase", "stage", "step", "world"].contains(&label.as_str());
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(!ours || value.chars().all(kebab), "{found:?}: {label} is not spelled as elsewhere");
    }
    Ok(())
}

/// The metric that a series belongs to: a histogram's have endings of their own.
fn metric(series: &str, kinds: &BTreeMap<String, String>) -> String {
    match series.rsplit_once('_') {
        Some((name, "bucket" | "sum" | "count")) if kinds.contains_key(name) => name.to_owned(),
        _ => series.to_owned(),
    }
}

/// What `# TYPE` or `# HELP` says, by metric.
fn comments(page: &str, word: &str) -> BTreeMap<String, String> {
    let start = format!("# {word} ");
    let lines = page.lines().filter_map(|line| line.strip_prefix(&start)?.split_once(' '));
    lines.map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}
