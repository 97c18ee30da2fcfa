//! Components of the world `format` as the kernel's codecs.
//!
//! The kernel asks [`FormatCodecs`] for the codec of a format whenever it opens a volume. What it gets is the
//! component with exactly the digest that wrote the volume's bytes, under the limits that the catalog has for
//! it. A component that is not in the catalog, not on the disk or in quarantine is none, and the answer says
//! what would help.
//!
//! Nothing is judged here: the kernel checks every answer of a codec. Faults, and what the kernel finds
//! wrong, are told to whoever watches over the component.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use mortise_kernel::format::{Codec, CodecFault, Codecs, FormatId, Meter, RecodedRecords, Records};
use mortise_plugin_runtime::format::{Answers, Format, Mode, Translated};
use mortise_plugin_runtime::{Fault, FaultKind, ILLEGAL};

use crate::plugins::{CodecWatch, Lifecycle};
use crate::telemetry::ServiceMetrics;

/// A format's component as the codec of one format.
pub(crate) struct FormatCodec {
    id: FormatId,
    keeps_order: bool,
    format: Format,
    watch: Arc<CodecWatch>,
    /// Where the calls of one volume are counted.
    metrics: ServiceMetrics,
}

impl FormatCodec {
    /// Asks the component what it promises under the format's configuration. Blocks.
    ///
    /// # Errors
    /// It cannot use the configuration, or faults.
    pub(crate) fn new(
        id: FormatId,
        format: Format,
        watch: Arc<CodecWatch>,
        metrics: ServiceMetrics,
    ) -> Result<Self, Fault> {
        let begun = Instant::now();
        let properties = format.properties();
        count(&metrics, begun, properties.as_ref().err());
        Ok(Self { id, keeps_order: properties?.keeps_order, format, watch, metrics })
    }

    /// Counts a call and brings its answers into the kernel's words.
    fn recoded(
        &self,
        begun: Instant,
        meter: Meter,
        answers: Result<Translated, Fault>,
    ) -> Result<RecodedRecords, CodecFault> {
        count(&self.metrics, begun, answers.as_ref().err());
        recoded(answers.inspect_err(|fault| {
            if is_its_own(fault.kind, meter) {
                self.watch.fault(fault.kind.as_str(), &fault.detail);
            }
        }))
    }
}

/// The answers of a format's component, or its fault, in the kernel's words.
///
/// # Errors
/// The fault.
pub fn recoded(answers: Result<Translated, Fault>) -> Result<RecodedRecords, CodecFault> {
    let Translated { keys, values } = answers.map_err(told)?;
    let bytes = |answers: Answers| answers.into_iter().map(|answer| answer.map(Bytes::from)).collect();
    Ok(RecodedRecords { keys: bytes(keys), values: bytes(values) })
}

/// Whether a fault is the component's: a busy runtime is not, nor is a request that had no time left.
fn is_its_own(kind: FaultKind, meter: Meter) -> bool {
    match (kind, meter) {
        (FaultKind::Busy, _) => false,
        (FaultKind::Deadline, Meter::Request(deadline)) => !deadline.left().is_zero(),
        _ => true,
    }
}

/// Counts a call that has ended. To be busy is nobody's fault.
fn count(metrics: &ServiceMetrics, begun: Instant, fault: Option<&Fault>) {
    let Some(fault) = fault else { return metrics.call("ok", begun.elapsed()) };
    metrics.call(fault.kind.as_str(), begun.elapsed());
    if fault.kind != FaultKind::Busy {
        metrics.fault(fault.kind.as_str());
    }
}

fn mode(meter: Meter) -> Mode {
    match meter {
        Meter::Request(deadline) => Mode::Request { within: deadline.left() },
        Meter::Apply => Mode::Apply,
    }
}

/// A fault of the component in the kernel's words.
fn told(fault: Fault) -> CodecFault {
    match fault.kind {
        FaultKind::Busy => CodecFault::Busy(fault.detail),
        FaultKind::Deadline => CodecFault::TimedOut,
        FaultKind::Fuel => CodecFault::OutOfFuel,
        FaultKind::InvalidAnswer => CodecFault::Broken(fault.detail),
        _ => CodecFault::Failed(fault.detail),
    }
}

impl Codec for FormatCodec {
    fn id(&self) -> &FormatId {
        &self.id
    }

    fn keeps_order(&self) -> bool {
        self.keeps_order
    }

    fn encode(&self, records: Records<'_>, meter: Meter) -> Result<RecodedRecords, CodecFault> {
        let begun = Instant::now();
        self.recoded(begun, meter, self.format.encode(records.keys, records.values, mode(meter)))
    }

    fn decode(&self, stored: Records<'_>, meter: Meter) -> Result<RecodedRecords, CodecFault> {
        let begun = Instant::now();
        self.recoded(begun, meter, self.format.decode(stored.keys, stored.values, mode(meter)))
    }

    fn found_wrong(&self, detail: &str) {
        self.format.component().count_illegal();
        self.metrics.fault(ILLEGAL);
        self.watch.fault(ILLEGAL, detail);
    }
}

/// Finds the codecs of a node among its plugins. The node is opened before its plugins are known, because
/// they are named in one of its volumes; until then there is none.
#[derive(Default)]
pub struct FormatCodecs {
    plugins: OnceLock<Arc<Lifecycle>>,
}

impl FormatCodecs {
    /// Knows no plugins yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Lets codecs be found among these plugins from now on.
    pub(crate) fn serve(&self, plugins: &Arc<Lifecycle>) {
        // A second call would be a second system over the same node, which shares its plugins.
        drop(self.plugins.set(Arc::clone(plugins)));
    }
}

impl std::fmt::Debug for FormatCodecs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FormatCodecs").finish_non_exhaustive()
    }
}

impl Codecs for FormatCodecs {
    fn codec(&self, volume: &str, format: &FormatId) -> Result<Arc<dyn Codec>, String> {
        match self.plugins.get() {
            Some(plugins) => plugins.codec(volume, format),
            None => Err("the plugins are not known yet".to_owned()),
        }
    }
}
