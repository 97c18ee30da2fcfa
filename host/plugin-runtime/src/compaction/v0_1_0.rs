//! World `compaction-strategy` as it was in version 0.1.0, on the newest types.
//!
//! Its view had less and its answer gave no reason. The view is lent, not copied: what both versions have in
//! common has the same types in both.

use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, ComponentType, Instance, Lower};

use super::{Level, Said, View};
use crate::Call;
use crate::bindings::exports::mortise::plugin::compaction::{Decision, Step};
use crate::runtime::CallState;

/// The view of version 0.1.0.
#[derive(ComponentType, Lower)]
#[component(record)]
struct OldView<'a> {
    levels: &'a [Level],
    #[component(name = "memtable-bytes")]
    memtable_bytes: u64,
    #[component(name = "write-rate")]
    write_rate: u64,
    #[component(name = "free-disk")]
    free_disk: u64,
}

/// Calls `decide` of a component that was built for version 0.1.0.
pub(super) fn decide(
    instance: &Instance,
    store: &mut Store<CallState>,
    function: &ComponentExportIndex,
    call: &Call,
    view: &View,
) -> wasmtime::Result<Said> {
    let View { levels, memtable_bytes, write_rate, free_disk, guard_l0_runs: _, previous: _ } = view;
    let view =
        OldView { levels, memtable_bytes: *memtable_bytes, write_rate: *write_rate, free_disk: *free_disk };
    let decide =
        instance.get_typed_func::<(&Call, &OldView<'_>), (Result<Step, String>,)>(&mut *store, function)?;
    let (step,) = decide.call(store, (call, &view))?;
    Ok(said(step))
}

/// An answer of version 0.1.0, which is a step and no reason, in the newest version's words.
pub fn said(answer: Result<Step, String>) -> Said {
    answer.map(|step| Decision { step, reason: String::new() })
}
