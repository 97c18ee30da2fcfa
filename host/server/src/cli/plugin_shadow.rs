//! `mortise plugin shadow` and `mortise plugin promote`: a candidate beside what serves a volume, what it has
//! shown, and its promotion.
//!
//! Asking for the report of a volume without a shadow is answered and no error, so that a script can ask; its
//! JSON is `null` then. Shares are of the views that both were asked about, and skipped views are beside
//! them. Durations include waiting for a thread.

use clap::Args;
use serde_json::{Value, json};
use tonic::transport::Channel;

use super::client::{Target, refused};
use super::output::{given, line_width, or_dash, pairs, table as laid_out, time, wrapped};
use super::plugin::{VolumeFlag, report};
use super::plugin_author::grouped;
use super::plugin_limits::milliseconds;
use super::plugin_tables::strategy_json;
use super::stated::{Stated, Work};
use crate::pb::mortise::v1 as pb;
use crate::pb::mortise::v1::shadows_client::ShadowsClient;

/// Run a candidate beside what serves a volume: it is asked about every view, and nothing that it says is
/// acted upon. Without NAME it is shown how the shadow of the volume compares so far.
#[derive(Debug, Args)]
pub(super) struct Shadow {
    /// Name of the plugin.
    name: Option<String>,
    /// The version; without it the newest.
    #[arg(long, requires = "name")]
    version: Option<String>,
    /// Settings for the plugin, a JSON object.
    #[arg(long, value_name = "JSON", requires = "name")]
    config: Option<String>,
    /// End the shadow of the volume, and show how it compared.
    #[arg(long, conflicts_with_all = ["version", "config"])]
    stop: bool,
    #[command(flatten)]
    volume: VolumeFlag,
    #[command(flatten)]
    stated: Stated,
    #[command(flatten)]
    target: Target,
}

/// Put the plugin that shadows a volume into service. Returns when it decides.
#[derive(Debug, Args)]
pub(super) struct Promote {
    /// Name of the plugin.
    name: String,
    #[command(flatten)]
    volume: VolumeFlag,
    #[command(flatten)]
    stated: Stated,
    #[command(flatten)]
    target: Target,
}

async fn client(target: &Target) -> anyhow::Result<ShadowsClient<Channel>> {
    Ok(ShadowsClient::new(target.connect().await?))
}

impl Shadow {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self { name, version, config, stop, volume, stated, target } = self;
        let reason = stated.reason();
        let volume = volume.volume;
        let mut client = client(&target).await?;
        let (head, shadow) = match name {
            name if stop => {
                let message = pb::EndShadowRequest { volume, name: name.unwrap_or_default(), reason };
                let request = stated.request(&target, Work::Usual, message)?;
                let answer = client.end_shadow(request).await.map_err(refused)?;
                ("the shadow is ended; this is what it has shown", answer.into_inner().shadow)
            }
            Some(name) => {
                let message = pb::CastShadowRequest {
                    name,
                    version: version.unwrap_or_default(),
                    volume,
                    config_json: config.unwrap_or_default(),
                    reason,
                };
                let request = stated.request(&target, Work::Compiles, message)?;
                let answer = client.cast_shadow(request).await.map_err(refused)?;
                let shadow = answer.into_inner().shadow.unwrap_or_default();
                return target.output.emit(|| begun(&shadow), || shadow_json(&shadow));
            }
            None => {
                let message = pb::ShowShadowRequest { volume: volume.clone() };
                let answer = client.show_shadow(target.request(None, message)?).await.map_err(refused)?;
                let Some(shadow) = answer.into_inner().shadow else {
                    let told = || {
                        format!(
                            "nothing shadows volume {volume}; begin with: mortise plugin shadow NAME \
                             --volume {volume}\n"
                        )
                    };
                    return target.output.emit(told, || Value::Null);
                };
                ("", Some(shadow))
            }
        };
        let shadow = shadow.unwrap_or_default();
        let told = || if head.is_empty() { table(&shadow) } else { format!("{head}\n\n{}", table(&shadow)) };
        target.output.emit(told, || shadow_json(&shadow))
    }
}

impl Promote {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (name, volume, reason) = (self.name, self.volume.volume, self.stated.reason());
        let message = pb::PromoteShadowRequest { name, volume, reason };
        let request = self.stated.request(&self.target, Work::Usual, message)?;
        let answer = client(&self.target).await?.promote_shadow(request).await.map_err(refused)?;
        report(&self.target, &answer.into_inner().activation.unwrap_or_default())
    }
}

fn named(strategy: Option<&pb::Strategy>) -> String {
    strategy.map_or(String::new(), |it| format!("{} {}", it.plugin, it.version).trim_end().to_owned())
}

fn begun(shadow: &pb::Shadow) -> String {
    let (volume, plugin) = (&shadow.volume, &shadow.candidate.clone().unwrap_or_default().plugin);
    format!(
        "{} shadows {} on volume {volume} now; nothing that it says is acted upon\n\
         see how it compares: mortise plugin shadow --volume {volume}\n\
         let it decide:       mortise plugin promote {plugin} --volume {volume}\n",
        named(shadow.candidate.as_ref()),
        named(shadow.against.as_ref()),
    )
}

fn table(shadow: &pb::Shadow) -> String {
    let mut text = pairs(vec![
        ("volume", shadow.volume.clone()),
        ("serves", named(shadow.against.as_ref())),
        ("shadow", format!("{} since {}", named(shadow.candidate.as_ref()), time(shadow.since_unix_ms))),
        ("config", or_dash(&shadow.candidate.clone().unwrap_or_default().config_json)),
        ("counted", format!("since {}, in memory only", time(shadow.counting_since_unix_ms))),
        ("views", grouped(shadow.calls)),
        ("agreed", share(shadow.agreements, shadow.calls)),
        ("differed", share(shadow.differences, shadow.calls)),
        ("faults", faults(shadow)),
        ("unmatched", format!("{} (what serves gave no answer)", grouped(shadow.unmatched))),
        ("skipped", format!("{} more (the shadow was busy)", grouped(shadow.skipped))),
    ]);
    let row = |name: &str, times: Option<pb::CallTimes>| {
        let times = times.unwrap_or_default();
        let micros = [times.p50_us, times.p99_us, times.longest_us];
        std::iter::once(name.to_owned()).chain(micros.map(milliseconds)).collect::<Vec<_>>()
    };
    let rows = vec![row("what serves", shadow.active_times), row("the shadow", shadow.candidate_times)];
    text += "\n";
    text += &laid_out(&["TIME OF CALLS", "P50", "P99", "LONGEST"], &[1, 2, 3], rows);
    if !shadow.examples.is_empty() {
        let rows = shadow.examples.iter().map(|example| {
            let pb::ShadowExample { unix_ms, shape, active, candidate } = example.clone();
            vec![time(unix_ms), shape, active, candidate]
        });
        let head = ["WHEN", "TREE", "WHAT SERVES SAID", "THE SHADOW SAID"];
        text += "\nthe latest differences\n";
        text += &wrapped(&head, &[], &[1, 2, 3], rows.collect(), line_width());
    }
    text
}

/// A number, and its share of all where there are any.
fn share(part: u64, of: u64) -> String {
    if of == 0 {
        return grouped(part);
    }
    let permille = u128::from(part) * 1000 / u128::from(of);
    format!("{} ({}.{} %)", grouped(part), permille / 10, permille % 10)
}

fn faults(shadow: &pb::Shadow) -> String {
    let mut kinds: Vec<_> = shadow.faults.iter().collect();
    kinds.sort_unstable();
    let kinds: Vec<_> = kinds.into_iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if kinds.is_empty() { "none".to_owned() } else { format!("{}; {}", kinds.join(", "), shadow.last_fault) }
}

fn shadow_json(shadow: &pb::Shadow) -> Value {
    let times = |times: Option<pb::CallTimes>| {
        let times = times.unwrap_or_default();
        json!({ "p50_us": times.p50_us, "p99_us": times.p99_us, "longest_us": times.longest_us })
    };
    let example = |example: &pb::ShadowExample| {
        let pb::ShadowExample { unix_ms, shape, active, candidate } = example;
        json!({ "unix_ms": unix_ms, "shape": shape, "active": active, "candidate": candidate })
    };
    json!({
        "volume": shadow.volume,
        "candidate": shadow.candidate.as_ref().map(strategy_json),
        "against": shadow.against.as_ref().map(strategy_json),
        "since_unix_ms": shadow.since_unix_ms,
        "counting_since_unix_ms": shadow.counting_since_unix_ms,
        "calls": shadow.calls,
        "agreements": shadow.agreements,
        "differences": shadow.differences,
        "unmatched": shadow.unmatched,
        "skipped": shadow.skipped,
        "faults": shadow.faults,
        "last_fault": given(&shadow.last_fault),
        "examples": shadow.examples.iter().map(example).collect::<Vec<_>>(),
        "active_times": times(shadow.active_times),
        "candidate_times": times(shadow.candidate_times),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strategy(plugin: &str) -> Option<pb::Strategy> {
        Some(pb::Strategy { plugin: plugin.into(), version: "1.0.0".into(), ..Default::default() })
    }

    #[test]
    fn a_comparison_is_told_with_shares_faults_and_examples() {
        let example = pb::ShadowExample {
            shape: "level 0: 5 runs".into(),
            active: "merge level 0 into level 6".into(),
            candidate: "wait".into(),
            ..Default::default()
        };
        let shadow = pb::Shadow {
            volume: "default".into(),
            candidate: strategy("mine"),
            against: strategy("yours"),
            calls: 3000,
            agreements: 2000,
            differences: 999,
            faults: [("trap".to_owned(), 1)].into(),
            last_fault: "trap: unreachable".into(),
            skipped: 7,
            examples: vec![example],
            candidate_times: Some(pb::CallTimes { p50_us: 1500, p99_us: 2000, longest_us: 25_000 }),
            ..Default::default()
        };
        let text = table(&shadow);
        for part in [
            "2,000 (66.6 %)",
            "999 (33.3 %)",
            "1 trap; trap: unreachable",
            "7 more",
            "25.000 ms",
            "merge level 0 into",
            "in memory only",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        let empty = table(&pb::Shadow::default());
        assert!(!empty.contains('%') && !empty.contains("the latest differences"), "{empty}");
        assert_eq!(shadow_json(&shadow)["faults"]["trap"], 1);
    }

    #[test]
    fn the_beginning_says_what_comes_next() {
        let candidate = strategy("mine");
        let shadow =
            pb::Shadow { volume: "v".into(), candidate, against: strategy("yours"), ..Default::default() };
        let text = begun(&shadow);
        assert!(text.starts_with("mine 1.0.0 shadows yours 1.0.0 on volume v now"), "{text}");
        assert!(text.contains("mortise plugin promote mine --volume v"), "{text}");
    }
}
