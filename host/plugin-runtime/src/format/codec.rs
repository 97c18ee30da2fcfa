//! Calls of a format: a batch goes in parts that fit the plugin's memory and the limit of its answer.
//!
//! A batch has one answer for each record, in order, or none at all: a fault of one part is the fault of the
//! batch. A part that wants too much memory or too large an answer is halved and tried again, down to a
//! single record. Calls run on the calling thread and block it; the first call of an instance takes longer
//! than the others.
//!
//! Inside apply a call is bounded by fuel, so that it ends alike on every node, and by time only as a
//! backstop. What the answers mean, and whether decoding leads back, is not judged here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{ComponentExportIndex, ComponentType, Lift};

use super::fuel::{self, Fuel};
use super::warm::{CallTerms, Lease, Warm, WarmPool};
use crate::exports::Interface;
use crate::present::presentable;
use crate::runtime::Bound;
use crate::{Component, Fault, FaultKind, Limits, Result, SharedLimits};

/// One answer for each record, in their order: its bytes, or one line that says why it is refused.
pub type Answers = Vec<Result<Vec<u8>, String>>;

/// The answers to a batch: those to its keys and those to its values.
#[derive(Clone, Debug, Default, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct Translated {
    /// What became of the keys.
    pub keys: Answers,
    /// What became of the values.
    pub values: Answers,
}

impl Translated {
    /// What the host makes of an answer to so many keys and values: there is one for each, and refusals are
    /// one line.
    ///
    /// # Errors
    /// [`FaultKind::InvalidAnswer`] when there are more or fewer.
    pub fn heard(self, keys: usize, values: usize) -> Result<Self, Fault> {
        for (what, answers, given) in [("keys", &self.keys, keys), ("values", &self.values, values)] {
            if answers.len() != given {
                let detail = format!(
                    "the plugin answered {} {what}, expected {given}, one answer for each",
                    answers.len(),
                );
                return Err(Fault::new(FaultKind::InvalidAnswer, detail));
            }
        }
        let presented = |answers: Answers| -> Answers {
            answers.into_iter().map(|answer| answer.map_err(|refusal| presentable(&refusal))).collect()
        };
        Ok(Self { keys: presented(self.keys), values: presented(self.values) })
    }
}

/// Keys and values of one call.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) keys: &'a [&'a [u8]],
    pub(super) values: &'a [&'a [u8]],
}

impl<'a> Part<'a> {
    pub(super) fn records(self) -> impl Iterator<Item = &'a [u8]> {
        self.keys.iter().chain(self.values).copied()
    }

    pub(super) fn len(self) -> usize {
        self.keys.len() + self.values.len()
    }

    /// Bytes of all records.
    pub(super) fn bytes(self) -> usize {
        self.records().map(<[u8]>::len).sum()
    }

    /// The first records of both lists, keys first, and the others.
    fn split_at(self, count: usize) -> (Self, Self) {
        let of_keys = count.min(self.keys.len());
        let (keys, more_keys) = self.keys.split_at(of_keys);
        let (values, more_values) = self.values.split_at(count - of_keys);
        (Self { keys, values }, Self { keys: more_keys, values: more_values })
    }

    /// How many records one call carries.
    fn fitting(self) -> usize {
        let mut bytes = 0_usize;
        let fit = self.records().take_while(|record| {
            bytes = bytes.saturating_add(record.len());
            bytes <= PART_BYTES
        });
        fit.count().max(1)
    }
}

/// Bytes of the records that one call of the plugin carries, unless a single record has more.
const PART_BYTES: usize = 256 * 1024;

/// Records that one call of the plugin carries.
const PART_RECORDS: usize = 256;

/// Longest wait for an instance in [`Mode::Apply`]. Whoever has one is bounded, so it comes to an end.
const APPLY_PATIENCE: Duration = Duration::from_secs(60);

/// What a format promises under its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct Properties {
    /// Whether encoded keys are ordered as the keys are, byte by byte.
    #[component(name = "keeps-order")]
    pub keeps_order: bool,
}

/// What bounds a call. Fuel does in either mode: a batch gets what its records would get one by one, and in
/// apply more than for a request, so that what passes for a request passes again in apply, alone or in
/// company, on an instance that served before or on a fresh one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The clock, for a request that can be refused: the whole batch gets so much time at most, and each part
    /// of it no more than the deadline of the plugin's limits.
    Request {
        /// Time that the request has left.
        within: Duration,
    },
    /// Fuel, for what must come to the same end whatever else the machine does. The clock ends only a call
    /// that takes longer than all its fuel could last; such a call is to be tried again.
    Apply,
}

impl Mode {
    /// A request that has all the time that the plugin's limits allow.
    pub const REQUEST: Self = Self::Request { within: Duration::MAX };
}

/// A component that serves as format under given limits and one configuration. Cheap to clone; clones share
/// their instances.
///
/// Calls run on the calling thread and take a few microseconds for a record; a plugin that misbehaves holds
/// it for as long as the [`Mode`] allows. There are as many answers as records, in the same order.
#[derive(Clone)]
pub struct Format(Arc<Inner>);

struct Inner {
    component: Component,
    exports: CodecExports,
    limits: SharedLimits,
    config: String,
    pool: Arc<WarmPool>,
}

/// Where a component has the functions of the world.
#[derive(Clone)]
pub(crate) struct CodecExports {
    pub(super) properties: ComponentExportIndex,
    /// By [`Function`].
    pub(super) batches: [ComponentExportIndex; 2],
}

impl CodecExports {
    pub(crate) fn find(codec: &Interface<'_>) -> Result<Self> {
        Ok(Self {
            properties: codec.function("get-properties")?,
            batches: [codec.function("encode")?, codec.function("decode")?],
        })
    }
}

/// The functions that take a batch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Function {
    Encode,
    Decode,
}

impl Format {
    pub(crate) fn new(
        component: Component,
        exports: CodecExports,
        limits: SharedLimits,
        config: &str,
    ) -> Self {
        let pool = Arc::new(WarmPool::default());
        component.shared().register(&pool);
        Self(Arc::new(Inner { component, exports, limits, config: config.to_owned(), pool }))
    }

    /// The component behind it.
    #[must_use]
    pub fn component(&self) -> &Component {
        &self.0.component
    }

    /// The limits that the next call runs under.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.0.limits.get()
    }

    /// The configuration that its calls carry.
    #[must_use]
    pub fn config(&self) -> &str {
        &self.0.config
    }

    /// What the format promises under its configuration; the way to find out whether it can use that.
    ///
    /// # Errors
    /// The plugin's fault; [`FaultKind::Refused`] when it cannot use the configuration.
    pub fn properties(&self) -> Result<Properties, Fault> {
        let limits = self.limits();
        let terms = || Ok(CallTerms { limits, bound: Bound::Deadline(limits.deadline) });
        let answer = self.with_instance(terms, limits.deadline, |warm, terms| {
            warm.properties(&self.0.component, terms, &self.0.config)
        })?;
        answer.map_err(|refusal| {
            self.0.component.count_fault(FaultKind::Refused);
            let detail = format!("the plugin refused: {}", presentable(&refusal));
            Fault::new(FaultKind::Refused, detail)
        })
    }

    /// Turns keys and values into stored ones.
    ///
    /// # Errors
    /// The plugin's fault, and then there is no answer to any record of the batch; [`FaultKind::Busy`] when
    /// no instance was free in time.
    pub fn encode<R: AsRef<[u8]>>(&self, keys: &[R], values: &[R], mode: Mode) -> Result<Translated, Fault> {
        self.run(Function::Encode, keys, values, mode)
    }

    /// Turns stored keys and values back.
    ///
    /// # Errors
    /// As for [`Format::encode`].
    pub fn decode<R: AsRef<[u8]>>(&self, keys: &[R], values: &[R], mode: Mode) -> Result<Translated, Fault> {
        self.run(Function::Decode, keys, values, mode)
    }

    fn run<R: AsRef<[u8]>>(
        &self,
        function: Function,
        keys: &[R],
        values: &[R],
        mode: Mode,
    ) -> Result<Translated, Fault> {
        let begun = Instant::now();
        let records: Vec<&[u8]> = keys.iter().chain(values).map(AsRef::as_ref).collect();
        let (keys, values) = records.split_at(keys.len());
        let mut answers = Translated::default();
        let (mut rest, mut most) = (Part { keys, values }, PART_RECORDS);
        while rest.len() > 0 {
            let (part, after) = rest.split_at(rest.fitting().min(most));
            match self.part(function, part, mode, begun) {
                Ok(some) => {
                    answers.keys.extend(some.keys);
                    answers.values.extend(some.values);
                    rest = after;
                }
                // Together they want too much; that may be true of one record, too, but of one only.
                Err(fault)
                    if part.len() > 1
                        && matches!(fault.kind, FaultKind::AnswerTooLarge | FaultKind::Memory) =>
                {
                    most = part.len() / 2;
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(answers)
    }

    /// Calls the plugin once.
    fn part(
        &self,
        function: Function,
        part: Part<'_>,
        mode: Mode,
        begun: Instant,
    ) -> Result<Translated, Fault> {
        let limits = self.limits();
        let fuel = Fuel::of(part, &self.0.config, &limits, mode);
        // Asked anew after each wait: what was waited for an instance is not left for the call.
        let terms = || match mode {
            Mode::Request { within } => {
                let left = within.saturating_sub(begun.elapsed()).min(limits.deadline);
                if left.is_zero() {
                    let detail = format!("the request's {within:?} were over before all records were done");
                    return Err(Fault::new(FaultKind::Deadline, detail));
                }
                Ok(CallTerms { limits, bound: Bound::Deadline(left) })
            }
            Mode::Apply => {
                Ok(CallTerms { limits: fuel::in_apply(&limits), bound: fuel::start_in_apply(&limits) })
            }
        };
        let patience = match terms()?.bound {
            Bound::Deadline(left) => left,
            Bound::Fuel { .. } => APPLY_PATIENCE,
        };
        self.with_instance(terms, patience, |warm, terms| {
            let answers = warm.batch(&self.0.component, terms, fuel, function, &self.0.config, part)?;
            let heard = answers.heard(part.keys.len(), part.values.len());
            heard.inspect_err(|fault| self.0.component.count_fault(fault.kind))
        })
    }

    /// Lends an instance to a call. It goes back to the others unless the call ended in a fault.
    fn with_instance<T>(
        &self,
        terms: impl Fn() -> Result<CallTerms, Fault>,
        patience: Duration,
        call: impl FnOnce(&mut Warm, &CallTerms) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let Lease { instance, place } = self.0.pool.take(patience)?;
        let limits = terms()?.limits;
        let mut warm = match instance.filter(|warm| warm.fits(&limits)) {
            Some(warm) => warm,
            None => Warm::start(&self.0.component, &self.0.exports, &terms()?)?,
        };
        let answer = call(&mut warm, &terms()?)?;
        place.give_back(warm);
        Ok(answer)
    }
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Inner { component, limits, config, .. } = &*self.0;
        f.debug_struct("Format")
            .field("component", component)
            .field("limits", limits)
            .field("config", config)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_bounded_and_never_empty() {
        let (small, large) = (&vec![0_u8; 100_000][..], &vec![0_u8; PART_BYTES + 1][..]);
        let fitting = |keys: &[&[u8]], values: &[&[u8]]| Part { keys, values }.fitting();
        assert_eq!(fitting(&[small, small], &[small]), 2);
        assert_eq!(fitting(&[small], &[large, small]), 1);
        assert_eq!(fitting(&[], &[large, small]), 1, "a record goes somewhere, however large");
        let empty = [&[][..]; 5_000];
        assert_eq!(fitting(&empty, &empty[..5]), 5_005, "the number of records has a bound of its own");
    }

    #[test]
    fn a_part_takes_keys_before_values() {
        let records = [&b"a"[..], b"b", b"c", b"d"];
        let all = Part { keys: &records[..2], values: &records[2..] };
        for (count, keys, values) in [(1, 1, 0), (2, 2, 0), (3, 2, 1), (4, 2, 2)] {
            let (part, rest) = all.split_at(count);
            assert_eq!((part.keys.len(), part.values.len()), (keys, values));
            assert_eq!((rest.keys.len(), rest.values.len()), (2 - keys, 2 - values));
        }
    }
}
