//! The metrics of plugins are those that `docs/metrics.md` states, with the labels that it states.
//!
//! A node is taken through everything that has a figure: strategies and formats serve, fault in every way
//! that there is, are swapped, shadow others and are put aside. Then the page is held against the table, in
//! both directions.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Bench, Client, Series, guests, page, sample, series, stated_metrics};
use serde_json::Value;
use tokio::time::timeout;

const END: Duration = Duration::from_secs(60);

/// What the guest `turncoat_of_choice` does by its configuration, and the kind of fault that is.
const STRATEGY_FAULTS: [(&str, &str); 7] = [
    ("trap", "trap"),
    ("loop", "deadline"),
    ("loop", "fuel"),
    ("memory", "memory"),
    ("answer", "answer-too-large"),
    ("refuse", "refused"),
    ("illegal", "illegal"),
];

/// Formats whose first large put ends in a fault of this kind.
const FORMAT_FAULTS: [(&str, &[u8], &str); 7] = [
    ("countless", guests::FORMAT_COUNTLESS, "trap"),
    ("dawdles", guests::FORMAT_DAWDLES, "deadline"),
    ("loops", guests::FORMAT_LOOP_IN_ENCODE_KEYS, "fuel"),
    ("hog", guests::FORMAT_MEMORY_HOG, "memory"),
    ("gigantic", guests::FORMAT_GIGANTIC_ANSWER, "answer-too-large"),
    ("too-few", guests::FORMAT_TOO_FEW, "invalid-answer"),
    ("inflates", guests::FORMAT_INFLATES, "illegal"),
];

/// A node that was started before, so that what it compiles is in its cache.
fn second_start() -> Result<Bench> {
    Bench::start(&[])?.restart(&["--plugin-watch", "0s"])
}

fn use_for_default(bench: &Bench, name: &str, config: &str) -> Result<()> {
    bench.plugin(&["use", name, "--volume", "default", "--config", config]).map(drop)
}

/// Waits until the strategy of the default volume has faulted.
fn wait_fault(bench: &mut Bench, kind: &str) -> Result<()> {
    bench.mortise.process().wait_line("a fault", END, |line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let told = line["message"] == "the compaction strategy faulted" && line["kind"] == kind;
        told.then_some(())
    })
}

fn metrics(bench: &Bench) -> Result<String> {
    page(&bench.mortise.http, "/metrics")
}

/// A strategy serves and faults in every way, is put into quarantine, and is taken back while it is watched.
fn strategies(bench: &mut Bench) -> Result<()> {
    bench.add("choice", guests::TURNCOAT_OF_CHOICE)?;
    for (does, kind) in STRATEGY_FAULTS {
        let fuel = if kind == "fuel" { "100000" } else { "0" };
        bench.works(&["plugin", "limits", "choice", "--fuel", fuel])?;
        use_for_default(bench, "choice", &format!("{{\"does\":\"{does}\"}}"))?;
        wait_fault(bench, kind)?;
        bench.works(&["plugin", "use", "compaction-leveled", "--volume", "default"])?;
    }
    // The shadow is asked beside what serves, which is asked when it begins to.
    bench.works(&["plugin", "shadow", "compaction-tiered", "--volume", "default"])?;
    bench.works(&["plugin", "use", "compaction-quiet", "--volume", "default"]).map(drop)
}

/// Formats serve and fault in every way.
async fn formats(bench: &Bench) -> Result<()> {
    for (name, bytes, kind) in FORMAT_FAULTS {
        bench.add(name, bytes)?;
        if kind == "deadline" {
            bench.works(&["plugin", "limits", name, "--deadline", "20ms"])?;
        }
        bench.works(&["volume", "create", name, "--format", name])?;
        let mut client = Client::connect_volume(&bench.mortise.endpoint(), name).await?;
        let put = client.put("key", "x".repeat(200_000)).await;
        ensure!(put.is_err(), "{name} takes a put");
        let labels = [("volume", name), ("world", "format"), ("plugin", name), ("kind", kind)];
        let faults = bench.metric("mortise_plugin_faults_total", &labels)?;
        ensure!(faults > 0.5, "{name}: no {kind} is counted: {:?}", series_of(&metrics(bench)?, name));
    }
    bench.add("refuse", guests::FORMAT_REFUSE)?;
    bench.works(&["volume", "create", "converted"])?;
    let refused = bench.mortise.cli(&["volume", "convert", "converted", "--to", "refuse"])?;
    ensure!(!refused.success(), "it is converted");
    // One that works, and the volume is brought into it.
    bench.works(&["volume", "convert", "converted", "--to", "format-hierarchical"])?;
    let mut client = Client::connect_volume(&bench.mortise.endpoint(), "converted").await?;
    client.put("/a/b", "value").await.ok().context("a put is accepted")?;
    client.get("/a/b").await.ok().flatten().context("it is found")?;
    Ok(())
}

fn series_of(page: &str, plugin: &str) -> Vec<Series> {
    let wanted = |series: &Series| series.labels.contains(&("plugin".to_owned(), plugin.to_owned()));
    series(page).into_iter().filter(|found| wanted(found) && !found.name.contains("_bucket")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_has_every_metric_that_the_document_states_and_no_other() -> Result<()> {
    let mut bench = second_start()?;
    strategies(&mut bench)?;
    formats(&bench).await?;
    // The shadow's view was asked about after its strategy's, so its figures may be a moment late.
    let shadowed = [("volume", "default"), ("plugin", "compaction-tiered")];
    let counted = async {
        while bench.metric("mortise_plugin_shadow_views_total", &shadowed)? < 0.5 {
            use_for_default(&bench, "compaction-quiet", "{}")?;
            use_for_default(&bench, "compaction-leveled", "{}")?;
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    timeout(END, counted).await??;

    let page = metrics(&bench)?;
    stated_metrics::is_as_stated(&page, |name| name.starts_with("mortise_plugin_"))?;

    let kinds = stated_metrics::rows(&stated_metrics::document()?, "kind of a fault");
    let kinds: BTreeSet<String> = kinds.into_iter().map(|row| row[0].clone()).collect();
    let faults = series(&page).into_iter().filter(|found| found.name == "mortise_plugin_faults_total");
    let kind =
        |found: &Series| found.labels.iter().find(|(label, _)| label == "kind").map(|(_, kind)| kind.clone());
    let shown: BTreeSet<String> = faults.filter_map(|found| kind(&found)).collect();
    ensure!(shown == kinds, "the page shows {shown:?}, the document states {kinds:?}");
    for (_, kind) in STRATEGY_FAULTS {
        let labels =
            [("volume", "default"), ("world", "compaction-strategy"), ("plugin", "choice"), ("kind", kind)];
        ensure!(sample(&page, "mortise_plugin_faults_total", &labels) > Some(0.5), "no {kind} is counted");
    }
    let refused = [("volume", "converted"), ("world", "format"), ("plugin", "refuse"), ("kind", "refused")];
    ensure!(sample(&page, "mortise_plugin_faults_total", &refused) > Some(0.5), "no refusal is counted");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn formats_have_figures_of_their_own_by_volume() -> Result<()> {
    let bench = second_start()?;
    for volume in ["one", "other"] {
        bench.works(&["volume", "create", volume, "--format", "format-dictionary"])?;
    }
    let mut client = Client::connect_volume(&bench.mortise.endpoint(), "one").await?;
    for _ in 0..3 {
        client.put("key", "value").await.ok().context("a put is accepted")?;
        client.get("key").await.ok().flatten().context("it is found")?;
    }
    let of = |volume| [("volume", volume), ("world", "format"), ("plugin", "format-dictionary")];
    let ok = |volume| [&of(volume)[..], &[("outcome", "ok")]].concat();
    let calls = bench.metric("mortise_plugin_calls_total", &ok("one"))?;
    let idle = bench.metric("mortise_plugin_calls_total", &ok("other"))?;
    // Three puts and three reads take two calls each, whatever the opening takes.
    ensure!((calls - idle - 12.0).abs() < 0.5, "{calls} calls, and {idle} of a volume that has no requests");
    let timed = bench.metric("mortise_plugin_call_duration_seconds_count", &of("one"))?;
    ensure!((timed - calls).abs() < 0.5, "{timed} of {calls} calls were timed");
    for name in ["mortise_plugin_instantiations_total", "mortise_plugin_in_bytes_total"] {
        ensure!(bench.metric(name, &[("plugin", "format-dictionary")])? > 0.5, "{name} is missing");
    }

    // A conversion is a swap; from a format to what is no plugin it is an end.
    let in_use = |volume, plugin| {
        let labels = [("volume", volume), ("world", "format"), ("plugin", plugin)];
        Ok::<_, anyhow::Error>(bench.metric("mortise_plugin_version_in_use", &labels)? > 0.5)
    };
    let swapped = |plugin| {
        let labels = [("volume", "one"), ("world", "format"), ("plugin", plugin)];
        let when = bench.metric("mortise_plugin_last_swap_timestamp_seconds", &labels)?;
        Ok::<_, anyhow::Error>((bench.metric("mortise_plugin_swaps_total", &labels)?, when))
    };
    ensure!(in_use("one", "format-dictionary")? && in_use("other", "format-dictionary")?);
    ensure!(swapped("format-dictionary")?.0 < 0.5, "nothing was swapped");
    let before = swapped("format-dictionary")?.1;
    ensure!(before > 1_700_000_000.0, "since when it serves is {before}");
    bench.works(&["volume", "convert", "one", "--to", "format-hierarchical"])?;
    ensure!(!in_use("one", "format-dictionary")? && in_use("one", "format-hierarchical")?);
    ensure!(in_use("other", "format-dictionary")?, "another volume is not touched");
    let (swaps, when) = swapped("format-hierarchical")?;
    ensure!((swaps - 1.0).abs() < 0.5 && when >= before, "{swaps} swaps, the last one at {when}");
    bench.works(&["volume", "convert", "one", "--to", "natural"])?;
    ensure!(!in_use("one", "format-hierarchical")?);
    bench.works(&["volume", "delete", "other"])?;
    ensure!(!in_use("other", "format-dictionary")?);
    Ok(())
}
