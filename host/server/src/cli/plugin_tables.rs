//! How plugins, bindings and swaps are shown. Pure functions of the daemon's answers.
//!
//! Tables fit the terminal and cut digests and second lines; JSON has every field in full, under names that
//! scripts rely on: fields may be added and keep their meaning. A table for which there are no rows is left
//! out with its title.

use serde_json::{Value, json};

use super::output::{given, line_width, or_dash, pairs, size, some_number, time, wrapped};
use super::plugin_record::recording_json;
use super::{plugin_decisions as decisions, plugin_history as history, plugin_limits as limits};
use crate::pb::mortise::v1 as pb;

pub(super) fn list(plugins: &[pb::Plugin]) -> String {
    let rows = plugins.iter().map(|plugin| {
        vec![
            plugin.name.clone(),
            plugin.version.clone(),
            plugin.world.clone(),
            plugin.origin.clone(),
            or_dash(&plugin.stage),
            size(plugin.bytes),
            or_dash(&plugin.serves.join(", ")),
            or_dash(&plugin.quarantined.join(", ")),
        ]
    });
    let head = ["NAME", "VERSION", "WORLD", "ORIGIN", "STAGE", "SIZE", "SERVES", "QUARANTINED FOR"];
    wrapped(&head, &[5], &[6, 7], rows.collect(), line_width())
}

pub(super) fn detail(plugin: &pb::ShowPluginResponse) -> String {
    let newest = plugin.versions.first().cloned().unwrap_or_default();
    let limits = match newest.limits {
        Some(_) => "below, with what was used".to_owned(),
        None => "none: it is part of the daemon".to_owned(),
    };
    let mut text = pairs(vec![
        ("plugin", plugin.name.clone()),
        ("about", or_dash(&newest.summary)),
        ("world", newest.world.clone()),
        ("limits", limits),
        ("capabilities", or_dash(&newest.grants.join(", "))),
        ("signature", signature(&newest)),
        ("serves", or_dash(&newest.serves.join(", "))),
    ]);
    // What is part of the daemon has no component, and so no version, size or digest.
    if !newest.digest.is_empty() {
        text += &format!("\n{}\n{}", versions(&plugin.versions), limits::table(&plugin.versions));
    }
    for (title, part) in [
        ("stages", standings(&plugin.versions)),
        ("bindings", bindings(&plugin.bindings)),
        ("decisions", decisions::table(&plugin.bindings)),
        ("quarantine", quarantines(&plugin.quarantines)),
        ("faults since the daemon started", faults(&plugin.faults)),
        ("history", history::short(&plugin.history)),
    ] {
        if let Some(part) = part {
            text += &format!("\n{title}\n{part}");
        }
    }
    text
}

/// The origin of what comes with the daemon.
const SHIPPED: &str = "shipped";

/// Characters of a digest that tables show; JSON has all 64.
pub(super) const DIGEST: usize = 12;

fn versions(versions: &[pb::Plugin]) -> String {
    let rows = versions.iter().map(|version| {
        vec![
            version.version.clone(),
            version.origin.clone(),
            version.stage.clone(),
            vouched(version).map_or("-", |signature| &signature.state).to_owned(),
            size(version.bytes),
            time(version.added_unix_ms),
            version.wit_version.clone(),
            or_dash(&version.serves.join(", ")),
            version.digest.chars().take(DIGEST).collect(),
        ]
    });
    let head = ["VERSION", "ORIGIN", "STAGE", "SIGNATURE", "SIZE", "ADDED", "CONTRACT", "SERVES", "DIGEST"];
    wrapped(&head, &[4], &[7], rows.collect(), line_width())
}

/// The signature of what came from outside. What comes with the daemon is trusted like it and needs none.
fn vouched(plugin: &pb::Plugin) -> Option<&pb::Signature> {
    plugin.signature.as_ref().filter(|_| plugin.origin != SHIPPED)
}

fn signature(plugin: &pb::Plugin) -> String {
    let Some(signature) = vouched(plugin) else {
        let shipped = plugin.origin == SHIPPED;
        return if shipped { "none needed: shipped with this binary".into() } else { "-".into() };
    };
    match signature.state.as_str() {
        "signed" => format!("by key {}: {}", signature.key_id, or_dash(&signature.trusted_comment)),
        "unchecked" => format!("by key {}, not checked: this node trusts no keys", signature.key_id),
        state => state.to_owned(),
    }
}

fn standings(versions: &[pb::Plugin]) -> Option<String> {
    let rows = versions.iter().flat_map(|version| {
        version.standings.iter().map(|standing| {
            vec![
                standing.volume.clone(),
                version.version.clone(),
                standing.stage.clone(),
                time(standing.since_unix_ms),
                or_dash(&standing.reason),
            ]
        })
    });
    some(&["VOLUME", "VERSION", "STAGE", "SINCE", "WHY"], &[4], rows.collect())
}

fn bindings(bindings: &[pb::Binding]) -> Option<String> {
    let rows = bindings.iter().map(|binding| {
        let bound = binding.bound.clone().unwrap_or_default();
        vec![
            binding.volume.clone(),
            or_dash(&bound.version),
            if binding.explicit { "explicit" } else { "default" }.to_owned(),
            time(binding.since_unix_ms),
            or_dash(&bound.config_json),
            state(binding),
        ]
    });
    some(&["VOLUME", "VERSION", "BINDING", "SINCE", "CONFIG", "STATE"], &[4, 5], rows.collect())
}

/// What serves, and what may come.
fn state(binding: &pb::Binding) -> String {
    let mut state = if binding.problem.is_empty() { "serves".to_owned() } else { binding.problem.clone() };
    if binding.watched_until_unix_ms > 0 {
        state += &format!("; watched until {}", time(binding.watched_until_unix_ms));
    }
    if let Some(candidate) = &binding.candidate {
        let strategy = candidate.strategy.clone().unwrap_or_default();
        state += &format!("; {} {} is {}", strategy.plugin, strategy.version, candidate.stage);
    }
    state
}

fn quarantines(quarantines: &[pb::Quarantine]) -> Option<String> {
    let rows = quarantines.iter().map(|row| {
        vec![row.volume.clone(), row.version.clone(), time(row.since_unix_ms), row.reason.clone()]
    });
    some(&["VOLUME", "VERSION", "SINCE", "REASON"], &[3], rows.collect())
}

fn faults(faults: &[pb::PluginFault]) -> Option<String> {
    let rows = faults.iter().map(|row| {
        let detail = row.detail.lines().next().unwrap_or_default().to_owned();
        vec![time(row.unix_ms), row.volume.clone(), row.version.clone(), row.kind.clone(), detail]
    });
    some(&["WHEN", "VOLUME", "VERSION", "KIND", "DETAIL"], &[4], rows.collect())
}

pub(super) fn some(head: &[&str], long: &[usize], rows: Vec<Vec<String>>) -> Option<String> {
    (!rows.is_empty()).then(|| wrapped(head, &[], long, rows, line_width()))
}

pub(super) fn activation(activation: &pb::Activation) -> String {
    let named = |strategy: &Option<pb::Strategy>| {
        let strategy = strategy.clone().unwrap_or_default();
        format!("{} {}", strategy.plugin, strategy.version).trim_end().to_owned()
    };
    let (serving, replaced) = (named(&activation.serving), named(&activation.replaced));
    if !activation.changed {
        return format!("{serving} served volume {} already\n", activation.volume);
    }
    let rehearsal = match activation.rehearsed_views {
        0 => String::new(),
        views => format!(", rehearsed on {views} views"),
    };
    format!("{serving} serves volume {} now, in place of {replaced}{rehearsal}\n", activation.volume)
}

pub(super) fn plugin_json(plugin: &pb::Plugin) -> Value {
    json!({
        "name": plugin.name,
        "version": given(&plugin.version),
        "digest": given(&plugin.digest),
        "world": plugin.world,
        "wit_version": given(&plugin.wit_version),
        "bytes": some_number(plugin.bytes),
        "added_unix_ms": some_number(plugin.added_unix_ms),
        "origin": plugin.origin,
        "summary": given(&plugin.summary),
        "limits": plugin.limits.map(limits::limits_json),
        "usage": plugin.usage.as_ref().map(limits::usage_json),
        "serves": plugin.serves,
        "quarantined": plugin.quarantined,
        "stage": given(&plugin.stage),
        "standings": plugin.standings.iter().map(standing_json).collect::<Vec<_>>(),
        "signature": plugin.signature.as_ref().map(signature_json),
        "grants": plugin.grants,
        "wants": plugin.wants,
    })
}

fn standing_json(standing: &pb::Standing) -> Value {
    json!({
        "volume": standing.volume,
        "world": standing.world,
        "stage": standing.stage,
        "since_unix_ms": some_number(standing.since_unix_ms),
        "reason": given(&standing.reason),
    })
}

fn signature_json(signature: &pb::Signature) -> Value {
    json!({
        "state": signature.state,
        "key_id": given(&signature.key_id),
        "trusted_comment": given(&signature.trusted_comment),
    })
}

pub(super) fn binding_json(binding: &pb::Binding) -> Value {
    json!({
        "volume": binding.volume,
        "world": binding.world,
        "serving": binding.serving.as_ref().map(strategy_json),
        "bound": binding.bound.as_ref().map(strategy_json),
        "problem": given(&binding.problem),
        "since_unix_ms": some_number(binding.since_unix_ms),
        "explicit": binding.explicit,
        "watched_until_unix_ms": some_number(binding.watched_until_unix_ms),
        "previous": binding.previous.iter().map(strategy_json).collect::<Vec<_>>(),
        "candidate": binding.candidate.as_ref().map(|candidate| json!({
            "strategy": candidate.strategy.as_ref().map(strategy_json),
            "stage": candidate.stage,
            "since_unix_ms": candidate.since_unix_ms,
        })),
        "answer": binding.answer.as_ref().map(decisions::decision_json),
        "step": binding.step.as_ref().map(decisions::decision_json),
        "recording": binding.recording.as_ref().map(recording_json),
    })
}

pub(super) fn strategy_json(strategy: &pb::Strategy) -> Value {
    json!({
        "plugin": strategy.plugin,
        "version": given(&strategy.version),
        "digest": given(&strategy.digest),
        "config": given(&strategy.config_json),
    })
}

pub(super) fn detail_json(plugin: &pb::ShowPluginResponse) -> Value {
    let quarantine = |row: &pb::Quarantine| {
        json!({
            "volume": row.volume, "version": row.version, "digest": row.digest,
            "since_unix_ms": row.since_unix_ms, "reason": row.reason,
        })
    };
    let fault = |row: &pb::PluginFault| {
        json!({
            "unix_ms": row.unix_ms, "volume": row.volume, "plugin": row.plugin, "version": given(&row.version),
            "kind": row.kind, "detail": row.detail,
        })
    };
    json!({
        "name": plugin.name,
        "versions": plugin.versions.iter().map(plugin_json).collect::<Vec<_>>(),
        "bindings": plugin.bindings.iter().map(binding_json).collect::<Vec<_>>(),
        "quarantines": plugin.quarantines.iter().map(quarantine).collect::<Vec<_>>(),
        "faults": plugin.faults.iter().map(fault).collect::<Vec<_>>(),
        "history": plugin.history.iter().map(history::row_json).collect::<Vec<_>>(),
    })
}

pub(super) fn activation_json(activation: &pb::Activation) -> Value {
    json!({
        "volume": activation.volume,
        "serving": activation.serving.as_ref().map(strategy_json),
        "replaced": activation.replaced.as_ref().map(strategy_json),
        "rehearsed_views": activation.rehearsed_views,
        "changed": activation.changed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strategy(plugin: &str, version: &str) -> Option<pb::Strategy> {
        Some(pb::Strategy { plugin: plugin.into(), version: version.into(), ..Default::default() })
    }

    #[test]
    fn a_swap_is_told_in_one_sentence() {
        let mut swap = pb::Activation {
            volume: "default".into(),
            serving: strategy("compaction-tiered", "0.1.0"),
            replaced: strategy("native", ""),
            rehearsed_views: 8,
            changed: true,
        };
        assert_eq!(
            activation(&swap),
            "compaction-tiered 0.1.0 serves volume default now, in place of native, rehearsed on 8 views\n"
        );
        swap.changed = false;
        assert_eq!(activation(&swap), "compaction-tiered 0.1.0 served volume default already\n");
    }

    #[test]
    fn empty_parts_of_a_plugin_are_left_out() {
        let plugin = pb::ShowPluginResponse { name: "mine".into(), ..Default::default() };
        let text = detail(&plugin);
        assert!(text.contains("mine") && !text.contains("faults") && !text.contains("history"), "{text}");
        let fault =
            pb::PluginFault {
                kind: "trap".into(), detail: "unreachable\nat …".into(), ..Default::default()
            };
        let text = detail(&pb::ShowPluginResponse { faults: vec![fault], ..plugin });
        assert!(text.contains("trap") && text.contains("unreachable") && !text.contains("at …"), "{text}");
    }

    #[test]
    fn what_is_shipped_is_not_called_unsigned() {
        let unsigned = Some(pb::Signature { state: "unsigned".into(), ..Default::default() });
        let text = |origin: &str| {
            let version = pb::Plugin {
                digest: "0f".into(),
                origin: origin.into(),
                signature: unsigned.clone(),
                ..Default::default()
            };
            detail(&pb::ShowPluginResponse { versions: vec![version], ..Default::default() })
        };
        assert!(text("shipped").contains("none needed: shipped with this binary"), "{}", text("shipped"));
        assert!(!text("shipped").contains("unsigned"), "{}", text("shipped"));
        assert_eq!(text("added").matches("unsigned").count(), 2, "above and in its line: {}", text("added"));
    }

    #[test]
    fn the_built_in_strategy_is_described_without_a_component() {
        let native = pb::Plugin {
            name: "native".into(),
            origin: "built-in".into(),
            summary: "Leveled compaction.".into(),
            serves: vec!["tenant".into()],
            ..Default::default()
        };
        let shown =
            pb::ShowPluginResponse { name: "native".into(), versions: vec![native], ..Default::default() };
        let text = detail(&shown);
        for word in ["Leveled compaction.", "part of the daemon", "tenant"] {
            assert!(text.contains(word), "{word} is missing in {text}");
        }
        assert!(!text.contains("DIGEST"), "{text}");
    }
}
