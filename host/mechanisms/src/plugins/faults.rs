//! The latest faults of plugins, for people. They are kept in memory: what is to be remembered longer has a
//! row in the history, and what is to be counted a metric.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::system::FaultInfo;

/// Faults that are remembered per node.
const REMEMBERED: usize = 256;

/// The latest faults, newest last.
#[derive(Default)]
pub(crate) struct RememberedFaults(Mutex<VecDeque<FaultInfo>>);

impl RememberedFaults {
    pub(crate) fn push(&self, fault: FaultInfo) {
        let mut faults = self.0.lock();
        if faults.len() == REMEMBERED {
            faults.pop_front();
        }
        faults.push_back(fault);
    }

    /// Those of a plugin, newest first.
    pub(crate) fn of(&self, plugin: &str) -> Vec<FaultInfo> {
        self.0.lock().iter().rev().filter(|fault| fault.plugin == plugin).cloned().collect()
    }
}
