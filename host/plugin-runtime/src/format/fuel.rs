//! How much fuel a call of a format has.
//!
//! A call gets what its records are worth, so that what passes alone also passes in company. Besides, an
//! instance may do work that is not any record's, at its start or when a function is first used: tables that
//! are built once, an interpreter that comes up. For that each instance has a *reserve*, from which it draws
//! whatever a call takes beyond its due, until it is used up.
//!
//! What passed for a request must pass when the log is replayed, on an instance that may be a fresh one.
//! Therefore the reserve inside apply is much larger than a request's, and an operator's limit, which binds
//! requests, can only raise what apply gets: one that is lowered after writes were logged doesn't hold them.
//! The same goes for the other limits, see [`in_apply`].

use std::time::Duration;

use super::codec::{Mode, Part};
use crate::runtime::Bound;
use crate::{Limits, MAX_ANSWER_BYTES, MAX_MEMORY_BYTES};

/// Fuel for a record, milliseconds of work: a codec needs a thousandth, an interpreter at first most of it.
const RECORD_FUEL: u64 = 20_000_000;

/// Fuel for each byte of a record.
const BYTE_FUEL: u64 = 2_000;

/// Fuel for each byte of the configuration, which is read once and may be larger than a record.
const CONFIG_FUEL: u64 = 200;

/// What an instance may draw beyond its due for requests: about a tenth of a second of work.
const REQUEST_RESERVE: u64 = 200_000_000;

/// The same inside apply. A large record's due may have paid for what an instance built once, hence so much.
const APPLY_RESERVE: u64 = 1_000_000_000;

/// Fuel for each nanosecond of the plugin's deadline that an instance may draw inside apply, should that be
/// more: a request had so much time to use a record's due for something else.
const RESERVE_PER_NANO: u64 = 1;

/// Time that a call inside apply may take at least. Fuel bounds what a plugin does, not what the host does
/// for it or how fast the machine is; a call that takes so long without using up its fuel has found something
/// that costs time and no fuel, or the machine stands still. It ends in a fault, which apply holds and tries
/// again, so that the clock decides when an entry is applied and never what becomes of it. A full part of
/// work that a request was granted takes less, as a request had no more than its deadline for each record
/// and usually takes microseconds; records that take too long together are tried one by one.
const BACKSTOP: Duration = Duration::from_secs(10);

/// The backstop is at least so many deadlines: a request was granted one of them.
const BACKSTOP_DEADLINES: u32 = 3;

/// The fuel of one call, before it is known which instance serves it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fuel {
    due: u64,
    reserve: u64,
    most: u64,
}

impl Fuel {
    /// For a call with these records.
    pub(super) fn of(part: Part<'_>, config: &str, limits: &Limits, mode: Mode) -> Self {
        let config = config.len() as u64 * CONFIG_FUEL;
        let of_record = |record: &[u8]| RECORD_FUEL + config + record.len() as u64 * BYTE_FUEL;
        let due = part.records().map(of_record).fold(0, u64::saturating_add);
        match mode {
            Mode::Request { .. } => Self { due, reserve: REQUEST_RESERVE, most: limits.tank() },
            Mode::Apply => Self {
                due: due.max(limits.fuel.unwrap_or(0)),
                reserve: apply_reserve(limits),
                most: u64::MAX,
            },
        }
    }

    /// What an instance gets that has drawn so much from its reserve.
    pub(super) fn tank(self, drawn: u64) -> u64 {
        self.due.saturating_add(self.reserve.saturating_sub(drawn)).min(self.most)
    }

    /// What a call that burnt so much draws from the reserve.
    pub(super) fn draw(self, burnt: u64) -> u64 {
        burnt.saturating_sub(self.due)
    }
}

fn apply_reserve(limits: &Limits) -> u64 {
    let nanos = u64::try_from(limits.deadline.as_nanos()).unwrap_or(u64::MAX);
    APPLY_RESERVE.max(nanos.saturating_mul(RESERVE_PER_NANO)).max(limits.fuel.unwrap_or(0))
}

/// What ends the start of an instance inside apply.
pub(super) fn start_in_apply(limits: &Limits) -> Bound {
    Bound::Fuel { fuel: apply_reserve(limits), backstop: backstop(limits) }
}

/// The time that a call inside apply may take.
pub(super) fn backstop(limits: &Limits) -> Duration {
    BACKSTOP.max(limits.deadline.saturating_mul(BACKSTOP_DEADLINES))
}

/// The limits of a call inside apply: the most that can be granted, because whatever is replayed was accepted
/// under limits that may have been lowered since.
pub(super) fn in_apply(limits: &Limits) -> Limits {
    Limits {
        memory_bytes: MAX_MEMORY_BYTES.max(limits.memory_bytes),
        answer_bytes: MAX_ANSWER_BYTES.max(limits.answer_bytes),
        ..*limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(records: &[&[u8]], fuel: Option<u64>, mode: Mode) -> Fuel {
        let limits = Limits { fuel, ..Limits::default() };
        Fuel::of(Part { keys: records, values: &[] }, "{}", &limits, mode)
    }

    #[test]
    fn apply_grants_more_than_any_request_had_whatever_the_limit_is_now() {
        let records = [&b"a"[..], &[0; 1_000]];
        for then in [None, Some(0), Some(1_000_000), Some(5_000_000_000)] {
            for now in [None, Some(1)] {
                let (request, apply) = (of(&records, then, Mode::REQUEST), of(&records, now, Mode::Apply));
                // A warm instance has drawn what it needed; a fresh one has all before it.
                for drawn in [0, REQUEST_RESERVE / 2, REQUEST_RESERVE] {
                    assert!(request.tank(drawn) < apply.tank(drawn), "{then:?}, {now:?}, {drawn}");
                    assert!(request.tank(0) + 4 * REQUEST_RESERVE <= apply.tank(0) || drawn > 0);
                }
            }
        }
        let raised = of(&records, Some(5_000_000_000), Mode::Apply);
        assert!(raised.tank(0) >= 10_000_000_000, "a limit that is raised helps apply, too");
    }

    #[test]
    fn the_reserve_is_drawn_once() {
        let fuel = of(&[b"a"], None, Mode::REQUEST);
        let first = fuel.tank(0);
        let drawn = fuel.draw(first - 1_000);
        assert_eq!(fuel.tank(drawn), first - REQUEST_RESERVE + 1_000);
        assert_eq!(fuel.draw(RECORD_FUEL), 0, "what is due draws nothing");
        assert_eq!(fuel.tank(u64::MAX), first - REQUEST_RESERVE);
    }

    #[test]
    fn company_changes_nothing() {
        let (one, two) = (of(&[b"a"], None, Mode::Apply), of(&[b"a", b"a"], None, Mode::Apply));
        assert_eq!(two.due, 2 * one.due);
    }
}
