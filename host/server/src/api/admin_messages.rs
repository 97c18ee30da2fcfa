//! What the mechanisms tell about volumes and plugins, as messages. Field for field, nothing is decided.
//!
//! What is not known or not there becomes an empty text or 0, as the `.proto` files say of each field; where
//! those would be values of their own, the field is left out. Words such as states and stages are passed on
//! as the mechanisms have them.

use mortise_mechanisms::{
    Activation, BindingInfo, CandidateInfo, Capability, FaultInfo, HistoryInfo, Judged, Limits, PluginDetail,
    PluginInfo, QuarantineInfo, SignatureState, StandingInfo, StrategyInfo, Usage, VolumeInfo, VolumeReport,
};

use super::{jobs, recording};
use crate::pb::mortise::v1 as pb;

pub(super) fn volume(info: VolumeInfo) -> pb::Volume {
    pb::Volume {
        name: info.name,
        id: info.id,
        created_unix_ms: info.created_unix_ms,
        generation: info.generation,
        format: info.format,
        state: info.state,
        problem: info.problem.unwrap_or_default(),
    }
}

pub(super) fn volume_status(report: VolumeReport) -> pb::VolumeStatusResponse {
    let (status, counters) = (report.status, report.counters);
    let levels = report.shape.levels.iter().map(|level| {
        let runs = level.runs.iter().map(|run| pb::Run {
            tables: run.tables.len() as u64,
            bytes: run.bytes(),
            entries: run.tables.iter().map(|table| table.entries).sum(),
            tombstones: run.tables.iter().map(|table| table.tombstones).sum(),
        });
        pb::Level { runs: runs.collect() }
    });
    pb::VolumeStatusResponse {
        volume: Some(volume(report.info)),
        revision: status.revision,
        compact_revision: status.compact_revision,
        raft_term: status.raft_term,
        raft_index: status.raft_index,
        raft_applied_index: status.raft_applied_index,
        flushed_index: status.flushed_index,
        leader: status.leader.unwrap_or_default(),
        node_id: status.node_id,
        disk_bytes: status.disk_bytes,
        memtable_bytes: status.memtable_bytes,
        sealed_memtables: report.shape.sealed_memtables as u64,
        levels: levels.collect(),
        counters: Some(pb::Counters {
            commands: counters.commands,
            written_bytes: counters.written_bytes,
            flushed_bytes: counters.flushed_bytes,
            compaction_in_bytes: counters.compaction_in_bytes,
            compaction_out_bytes: counters.compaction_out_bytes,
            slowed_writes: counters.slowed_writes,
        }),
        write_rate: report.write_rate,
        write_amplification: report.write_amplification,
        strategy: Some(binding(report.strategy)),
        format: Some(jobs::format(report.format)),
        previous: report.kept.map(|kept| pb::PreviousGeneration {
            generation: kept.generation,
            format: Some(jobs::format(kept.format)),
            until_unix_ms: kept.until_unix_ms,
        }),
        job: report.job.map(jobs::job),
    }
}

pub(super) fn plugin(info: PluginInfo) -> pb::Plugin {
    pb::Plugin {
        name: info.name,
        version: info.version,
        digest: info.digest,
        world: info.world,
        wit_version: info.wit_version,
        bytes: info.bytes,
        added_unix_ms: info.added_unix_ms,
        origin: info.origin,
        summary: info.summary,
        limits: info.limits.map(limits),
        serves: info.serves,
        quarantined: info.quarantined,
        stage: info.stage,
        standings: info.standings.into_iter().map(standing).collect(),
        signature: info.signature.map(signature),
        grants: names(&info.grants),
        wants: names(&info.wants),
        usage: info.usage.map(usage),
    }
}

/// The verdict about a component that was not added.
pub(super) fn judged(judged: Judged) -> pb::CheckPluginResponse {
    let Judged { world, wit_version, capabilities, identity, admission, refusal } = judged;
    let who = identity.unwrap_or_default();
    let mut plugin = pb::Plugin {
        name: who.name,
        version: who.version,
        world: world.unwrap_or_default(),
        wit_version: wit_version.unwrap_or_default(),
        summary: who.summary,
        wants: names(&capabilities),
        ..Default::default()
    };
    let known = admission.as_ref().is_some_and(|admission| admission.known);
    if let Some(admission) = admission {
        plugin.name = admission.name;
        plugin.version = admission.version;
        plugin.grants = names(&admission.grants);
        plugin.limits = Some(limits(admission.limits));
        plugin.signature = Some(signature(admission.signature));
    }
    let refusal = refusal.map(|refusal| pb::Refusal {
        step: refusal.step.map(|step| step.to_string()).unwrap_or_default(),
        ground: refusal.ground.map(|ground| ground.to_string()).unwrap_or_default(),
        reason: refusal.reason,
    });
    pb::CheckPluginResponse { plugin: Some(plugin), known, refusal }
}

fn names(capabilities: &[Capability]) -> Vec<String> {
    capabilities.iter().map(ToString::to_string).collect()
}

fn standing(info: StandingInfo) -> pb::Standing {
    pb::Standing {
        volume: info.volume,
        world: info.world,
        stage: info.stage,
        since_unix_ms: info.since_unix_ms,
        reason: info.reason,
    }
}

fn signature(state: SignatureState) -> pb::Signature {
    let (state, key_id, trusted_comment) = match state {
        SignatureState::Unsigned => ("unsigned", String::new(), String::new()),
        SignatureState::Unchecked { key_id } => ("unchecked", key_id, String::new()),
        SignatureState::Signed { key_id, trusted_comment } => ("signed", key_id, trusted_comment),
    };
    pb::Signature { state: state.into(), key_id, trusted_comment }
}

fn limits(limits: Limits) -> pb::Limits {
    pb::Limits {
        memory_bytes: limits.memory_bytes,
        deadline_ms: u64::try_from(limits.deadline.as_millis()).unwrap_or(u64::MAX),
        answer_bytes: limits.answer_bytes as u64,
        fuel: limits.fuel,
    }
}

fn usage(usage: Usage) -> pb::Usage {
    pb::Usage {
        calls: usage.calls,
        instantiations: usage.instantiations,
        peak_memory_bytes: usage.peak_memory_bytes,
        peak_fuel: usage.peak_fuel,
        total_fuel: usage.total_fuel,
        p50_us: usage.p50_us,
        p99_us: usage.p99_us,
        longest_us: usage.longest_us,
        bytes_in: usage.bytes_in,
        bytes_out: usage.bytes_out,
        peak_answer_bytes: usage.peak_answer_bytes,
        faults: usage.faults.into_iter().collect(),
    }
}

pub(super) fn plugin_detail(detail: PluginDetail) -> pb::ShowPluginResponse {
    pb::ShowPluginResponse {
        name: detail.name,
        versions: detail.versions.into_iter().map(plugin).collect(),
        bindings: detail.bindings.into_iter().map(binding).collect(),
        quarantines: detail.quarantines.into_iter().map(quarantine).collect(),
        faults: detail.faults.into_iter().map(fault).collect(),
        history: detail.history.into_iter().map(history_row).collect(),
    }
}

fn binding(info: BindingInfo) -> pb::Binding {
    pb::Binding {
        volume: info.volume,
        world: info.world,
        serving: Some(strategy(info.serving)),
        bound: Some(strategy(info.bound)),
        problem: info.problem.unwrap_or_default(),
        since_unix_ms: info.since_unix_ms,
        explicit: info.explicit,
        previous: info.previous.into_iter().map(strategy).collect(),
        candidate: info.candidate.map(candidate),
        watched_until_unix_ms: info.watched_until_unix_ms.unwrap_or_default(),
        answer: info.answer.map(recording::decision),
        step: info.step.map(recording::decision),
        recording: Some(recording::recording(info.recording)),
    }
}

fn candidate(info: CandidateInfo) -> pb::Candidate {
    pb::Candidate {
        strategy: Some(strategy(info.strategy)),
        stage: info.stage,
        since_unix_ms: info.since_unix_ms,
    }
}

pub(super) fn strategy(info: StrategyInfo) -> pb::Strategy {
    pb::Strategy { plugin: info.plugin, version: info.version, digest: info.digest, config_json: info.config }
}

fn quarantine(info: QuarantineInfo) -> pb::Quarantine {
    pb::Quarantine {
        volume: info.volume,
        version: info.version,
        digest: info.digest,
        since_unix_ms: info.since_unix_ms,
        reason: info.reason,
    }
}

fn fault(info: FaultInfo) -> pb::PluginFault {
    pb::PluginFault {
        unix_ms: info.unix_ms,
        volume: info.volume,
        plugin: info.plugin,
        version: info.version,
        kind: info.kind,
        detail: info.detail,
    }
}

pub(super) fn history_row(info: HistoryInfo) -> pb::HistoryRow {
    let config = info.config.as_ref();
    pb::HistoryRow {
        unix_ms: info.unix_ms,
        actor: info.actor,
        action: info.action,
        volume: info.volume.unwrap_or_default(),
        plugin: info.plugin.unwrap_or_default(),
        version: info.version.unwrap_or_default(),
        digest: info.digest.unwrap_or_default(),
        reason: info.reason,
        outcome: info.outcome,
        operator: info.operator.unwrap_or_default(),
        peer: info.peer.unwrap_or_default(),
        operator_reason: info.operator_reason.unwrap_or_default(),
        grants: info.grants.unwrap_or_default(),
        signature_state: info.signature.unwrap_or_default(),
        key_id: info.key_id.unwrap_or_default(),
        config_json: config.and_then(|config| config.json.clone()).unwrap_or_default(),
        config_sha256: config.and_then(|config| config.sha256.clone()).unwrap_or_default(),
        config_bytes: config.map_or(0, |config| config.bytes),
        refused: info.refused,
        from_stage: info.from.unwrap_or_default(),
        to_stage: info.to.unwrap_or_default(),
    }
}

pub(super) fn activation(activation: Activation) -> pb::Activation {
    pb::Activation {
        volume: activation.volume,
        serving: Some(strategy(activation.serving)),
        replaced: Some(strategy(activation.replaced)),
        rehearsed_views: activation.rehearsed_views as u64,
        changed: activation.changed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That the figures are those of the calls is asserted where they are gathered, with known durations;
    /// here each has to come into its own field.
    #[test]
    fn every_figure_of_what_was_used_is_told_as_what_it_is() {
        let known = Usage {
            calls: 1,
            instantiations: 2,
            peak_memory_bytes: 3,
            peak_fuel: 4,
            total_fuel: 5,
            p50_us: 6,
            p99_us: 7,
            longest_us: 8,
            bytes_in: 9,
            bytes_out: 10,
            peak_answer_bytes: 11,
            faults: [("trap".to_owned(), 12)].into(),
        };
        let expected = pb::Usage {
            calls: 1,
            instantiations: 2,
            peak_memory_bytes: 3,
            peak_fuel: 4,
            total_fuel: 5,
            p50_us: 6,
            p99_us: 7,
            longest_us: 8,
            bytes_in: 9,
            bytes_out: 10,
            peak_answer_bytes: 11,
            faults: [("trap".to_owned(), 12)].into(),
        };
        assert_eq!(usage(known), expected);
    }
}
