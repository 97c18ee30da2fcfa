//! Calls of a format: a batch goes in parts that fit the plugin's memory and the limit of its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{ComponentExportIndex, ComponentType, Lift};

use super::warm::{Lease, Warm, WarmPool};
use crate::exports::Interface;
use crate::log::presentable;
use crate::runtime::Bound;
use crate::{Component, Fault, FaultKind, Limits, Result};

/// One answer for each record, in their order: its bytes, or one line that says why it is refused.
pub type Answers = Vec<Result<Vec<u8>, String>>;

/// Bytes of the records that one call of the plugin carries, unless a single record has more.
const PART_BYTES: usize = 256 * 1024;

/// Records that one call of the plugin carries.
const PART_RECORDS: usize = 256;

/// Fuel for a record, milliseconds of work: a codec needs a thousandth, an interpreter at first most of it.
const RECORD_FUEL: u64 = 20_000_000;

/// Fuel for each byte of a record.
const BYTE_FUEL: u64 = 2_000;

/// Fuel for each byte of the configuration, which is read once and may be larger than a record.
const CONFIG_FUEL: u64 = 200;

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

/// What bounds a call. Fuel does in either mode, and a batch gets what its records would get one by one: what
/// passes for a request passes again in apply, alone or in company.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The clock, for a request that can be refused: the whole batch gets so much time at most, and each part
    /// of it no more than the deadline of the plugin's limits.
    Request {
        /// Time that the request has left.
        within: Duration,
    },
    /// Fuel alone, for what must come to the same end whatever else the machine does.
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
/// it for as long as the [`Mode`] allows. An answer has as many records as the batch, in the same order.
#[derive(Clone)]
pub struct Format(Arc<Inner>);

struct Inner {
    component: Component,
    exports: CodecExports,
    limits: Limits,
    config: String,
    pool: Arc<WarmPool>,
}

/// Where a component has the functions of the world.
#[derive(Clone)]
pub(crate) struct CodecExports {
    pub(super) properties: ComponentExportIndex,
    /// By [`Function`].
    pub(super) batches: [ComponentExportIndex; 4],
}

impl CodecExports {
    pub(crate) fn find(codec: &Interface<'_>) -> Result<Self> {
        Ok(Self {
            properties: codec.function("get-properties")?,
            batches: [
                codec.function("encode-keys")?,
                codec.function("decode-keys")?,
                codec.function("encode-values")?,
                codec.function("decode-values")?,
            ],
        })
    }
}

/// The functions that take a batch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Function {
    EncodeKeys,
    DecodeKeys,
    EncodeValues,
    DecodeValues,
}

impl Format {
    pub(crate) fn new(component: Component, exports: CodecExports, limits: Limits, config: &str) -> Self {
        let pool = Arc::new(WarmPool::default());
        component.shared().register(&pool);
        Self(Arc::new(Inner { component, exports, limits, config: config.to_owned(), pool }))
    }

    /// The component behind it.
    #[must_use]
    pub fn component(&self) -> &Component {
        &self.0.component
    }

    /// The limits that its calls run under.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
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
        let bound = Bound::Deadline(self.0.limits.deadline);
        let answer = self.with_instance(bound, self.0.limits.deadline, |warm| {
            warm.properties(&self.0.component, &self.0.limits, bound, &self.0.config)
        })?;
        answer.map_err(|refusal| {
            self.0.component.count_fault(FaultKind::Refused);
            let detail = format!("the plugin refused: {}", presentable(&refusal));
            Fault::new(FaultKind::Refused, detail)
        })
    }

    /// Turns keys into stored keys.
    ///
    /// # Errors
    /// The plugin's fault, and then there is no answer to any record of the batch; [`FaultKind::Busy`] when
    /// no instance was free in time.
    pub fn encode_keys<R: AsRef<[u8]>>(&self, keys: &[R], mode: Mode) -> Result<Answers, Fault> {
        self.run(Function::EncodeKeys, keys, mode)
    }

    /// Turns stored keys back into keys.
    ///
    /// # Errors
    /// As for [`Format::encode_keys`].
    pub fn decode_keys<R: AsRef<[u8]>>(&self, stored: &[R], mode: Mode) -> Result<Answers, Fault> {
        self.run(Function::DecodeKeys, stored, mode)
    }

    /// Turns values into stored values.
    ///
    /// # Errors
    /// As for [`Format::encode_keys`].
    pub fn encode_values<R: AsRef<[u8]>>(&self, values: &[R], mode: Mode) -> Result<Answers, Fault> {
        self.run(Function::EncodeValues, values, mode)
    }

    /// Turns stored values back into values.
    ///
    /// # Errors
    /// As for [`Format::encode_keys`].
    pub fn decode_values<R: AsRef<[u8]>>(&self, stored: &[R], mode: Mode) -> Result<Answers, Fault> {
        self.run(Function::DecodeValues, stored, mode)
    }

    fn run<R: AsRef<[u8]>>(&self, function: Function, records: &[R], mode: Mode) -> Result<Answers, Fault> {
        let begun = Instant::now();
        let records: Vec<&[u8]> = records.iter().map(AsRef::as_ref).collect();
        let mut answers = Answers::with_capacity(records.len());
        let (mut rest, mut most) = (&records[..], PART_RECORDS);
        while !rest.is_empty() {
            let (part, after) = rest.split_at(part_of(rest).min(most));
            match self.part(function, part, mode, begun) {
                Ok(some) => {
                    answers.extend(some);
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
    fn part(&self, function: Function, part: &[&[u8]], mode: Mode, begun: Instant) -> Result<Answers, Fault> {
        let limits = &Limits { fuel: Some(self.fuel(part)), ..self.0.limits };
        let (bound, patience) = match mode {
            Mode::Request { within } => {
                let left = within.saturating_sub(begun.elapsed()).min(limits.deadline);
                if left.is_zero() {
                    let detail = format!("the request's {within:?} were over before all records were done");
                    return Err(Fault::new(FaultKind::Deadline, detail));
                }
                (Bound::Deadline(left), left)
            }
            Mode::Apply => (Bound::Fuel(limits.tank()), APPLY_PATIENCE),
        };
        let answers = self.with_instance(bound, patience, |warm| {
            let answers = warm.batch(&self.0.component, limits, bound, function, &self.0.config, part)?;
            if answers.len() != part.len() {
                let detail = format!(
                    "the plugin answered {} records, expected {}, one for each",
                    answers.len(),
                    part.len()
                );
                self.0.component.count_fault(FaultKind::InvalidAnswer);
                return Err(Fault::new(FaultKind::InvalidAnswer, detail));
            }
            Ok(answers)
        })?;
        let one_line = |answer: Result<_, String>| answer.map_err(|refusal| presentable(&refusal));
        Ok(answers.into_iter().map(one_line).collect())
    }

    /// Fuel for a part: in proportion to what it holds, and at most what the limits say.
    fn fuel(&self, part: &[&[u8]]) -> u64 {
        let config = self.0.config.len() as u64 * CONFIG_FUEL;
        let of_record = |record: &&[u8]| RECORD_FUEL + config + record.len() as u64 * BYTE_FUEL;
        let fuel = part.iter().map(of_record).fold(0, u64::saturating_add);
        fuel.min(self.0.limits.tank())
    }

    /// Lends an instance to a call. It goes back to the others unless the call ended in a fault.
    fn with_instance<T>(
        &self,
        bound: Bound,
        patience: Duration,
        call: impl FnOnce(&mut Warm) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let Lease { instance, place } = self.0.pool.take(patience)?;
        let mut warm = match instance {
            Some(warm) => warm,
            None => Warm::start(&self.0.component, &self.0.exports, &self.0.limits, bound)?,
        };
        let answer = call(&mut warm)?;
        place.give_back(warm);
        Ok(answer)
    }
}

/// How many records a call carries.
fn part_of(records: &[&[u8]]) -> usize {
    let mut bytes = 0_usize;
    let fit = records.iter().take_while(|record| {
        bytes = bytes.saturating_add(record.len());
        bytes <= PART_BYTES
    });
    fit.count().max(1)
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
        let (small, large) = (vec![0_u8; 100_000], vec![0_u8; PART_BYTES + 1]);
        assert_eq!(part_of(&[&small, &small, &small]), 2);
        assert_eq!(part_of(&[&small, &large, &small]), 1);
        assert_eq!(part_of(&[&large, &small]), 1, "a record goes somewhere, however large");
        assert_eq!(part_of(&[&[][..]; 5_000]), 5_000, "the number of records has a bound of its own");
    }
}
