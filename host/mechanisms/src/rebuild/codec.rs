//! Components of the world `format` as the kernel's codecs.
//!
//! The kernel asks [`FormatCodecs`] for the codec of a format whenever it opens a volume. What it gets is the
//! component with exactly the digest that wrote the volume's bytes, under the limits that the catalog has for
//! it. A component that is not in the catalog, not on the disk or in quarantine is none, and the answer says
//! what would help.
//!
//! Nothing is judged here: the kernel checks every answer of a codec.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use mortise_kernel::format::{Codec, CodecFault, Codecs, FormatId, Meter, Recoded};
use mortise_plugin_runtime::format::{Answers, Format, Mode};
use mortise_plugin_runtime::{Fault, FaultKind};

use crate::plugins::Lifecycle;

/// A format's component as the codec of one format.
pub(crate) struct FormatCodec {
    id: FormatId,
    keeps_order: bool,
    format: Format,
}

impl FormatCodec {
    /// Asks the component what it promises under the format's configuration. Blocks.
    ///
    /// # Errors
    /// It cannot use the configuration, or faults.
    pub(crate) fn new(id: FormatId, format: Format) -> Result<Self, Fault> {
        let keeps_order = format.properties()?.keeps_order;
        Ok(Self { id, keeps_order, format })
    }
}

fn mode(meter: Meter) -> Mode {
    match meter {
        Meter::Request(deadline) => Mode::Request { within: deadline.wait() },
        Meter::Apply => Mode::Apply,
    }
}

fn recoded(answers: Result<Answers, Fault>) -> Result<Vec<Recoded>, CodecFault> {
    let answers = answers.map_err(told)?;
    Ok(answers.into_iter().map(|answer| answer.map(Bytes::from)).collect())
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

    fn encode_keys(&self, keys: &[Bytes], meter: Meter) -> Result<Vec<Recoded>, CodecFault> {
        recoded(self.format.encode_keys(keys, mode(meter)))
    }

    fn decode_keys(&self, keys: &[Bytes], meter: Meter) -> Result<Vec<Recoded>, CodecFault> {
        recoded(self.format.decode_keys(keys, mode(meter)))
    }

    fn encode_values(&self, values: &[Bytes], meter: Meter) -> Result<Vec<Recoded>, CodecFault> {
        recoded(self.format.encode_values(values, mode(meter)))
    }

    fn decode_values(&self, values: &[Bytes], meter: Meter) -> Result<Vec<Recoded>, CodecFault> {
        recoded(self.format.decode_values(values, mode(meter)))
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
    fn codec(&self, format: &FormatId) -> Result<Arc<dyn Codec>, String> {
        match self.plugins.get() {
            Some(plugins) => plugins.codec(format),
            None => Err("the plugins are not known yet".to_owned()),
        }
    }
}
