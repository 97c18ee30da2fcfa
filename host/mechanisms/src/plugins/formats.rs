//! Components of the world `format`: found by digest, made ready to encode.
//!
//! A volume's data can be read by exactly the component that wrote it, so the digest decides and the name
//! only chooses among rows for the same bytes. The catalog must vouch for that component: it is there, of the
//! right world, trusted by the node's keys and not in quarantine. Otherwise there is no codec, and the text
//! says what an operator can do.
//!
//! Finding one may read a file and compile it. That blocks, on a thread where it may, and one component is
//! compiled at a time.

use std::sync::Arc;

use mortise_kernel::format::{Codec, FormatId};
use mortise_plugin_runtime::World;
use tokio::runtime::Handle;

use super::act::Lifecycle;
use super::choose::{Chosen, bearer, format_name};
use super::compiled::Compiling;
use super::stage::Stage;
use crate::catalog::{Model, Origin, PluginRow};
use crate::rebuild::FormatCodec;
use crate::telemetry::{self, ServiceMetrics};

impl Lifecycle {
    /// The codec of a format for a volume. Blocks, on a thread where that is allowed.
    ///
    /// # Errors
    /// Why there is none, and what would help.
    pub(crate) fn codec(&self, volume: &str, format: &FormatId) -> Result<Arc<dyn Codec>, String> {
        let model = self.catalog.model();
        let trusted =
            |row: &PluginRow| row.origin == Origin::Shipped || self.trust.permits(&row.signature).is_ok();
        let chosen = choose(&model, format, trusted)?;
        let row = &chosen.row;
        // What comes with the program is trusted like the program.
        if row.origin != Origin::Shipped {
            self.trust.permits(&row.signature).map_err(|error| error.to_string())?;
        }
        if format.digest.is_none() {
            return Err(format!("{format} names no component, and this version has no such native format"));
        }
        let runtime = Handle::try_current().map_err(|error| error.to_string())?;
        let component = runtime.block_on(self.compiled(&chosen, Compiling::Awaited));
        let component = component.map_err(|error| error.to_string())?;
        let (name, version) = telemetry::labelled(&chosen.name, &chosen.version);
        component.name_for_metrics(name, version);
        let watch = self.watch(chosen.clone());
        self.renew_format_limits();
        let served = component.format(watch.limits().clone(), &format.config);
        let served = served.map_err(|error| error.to_string())?;
        let metrics = ServiceMetrics::new(volume, World::Format, &chosen.name, &chosen.version);
        let codec = FormatCodec::new(format.clone(), served, watch, metrics);
        Ok(Arc::new(codec.map_err(|fault| format!("its component does not serve: {fault}"))?))
    }

    /// What there is to say against the codec of a format that serves, if anything.
    pub(crate) fn suspicion(&self, format: &FormatId) -> Option<String> {
        let watch = self.codecs.lock().get(format.digest.as_deref()?).cloned();
        watch?.suspicion()
    }
}

/// The component that encodes a format, if the catalog lets it. One that is trusted is taken before others.
fn choose(model: &Model, format: &FormatId, trusted: impl Fn(&PluginRow) -> bool) -> Result<Chosen, String> {
    let digest = format.digest.as_deref().unwrap_or_default();
    let Some(chosen) = bearer(model, format, trusted) else {
        let mut there = model.plugins.iter().filter(|(_, row)| row.stage != Stage::Removed);
        let other =
            there.find(|((name, version), _)| format_name(name) == format.name && *version == format.version);
        return Err(match other {
            Some((_, row)) => format!(
                "the plugin {} {} that is here has digest {}, and the data was written by {digest}; \
                 add that very component with `mortise plugin add`",
                format.name, format.version, row.digest
            ),
            None => format!(
                "no plugin has digest {digest}; add the component of {} {} with `mortise plugin add`",
                format.name, format.version
            ),
        });
    };
    let Chosen { name, version, row } = &chosen;
    if row.world != World::Format.as_str() {
        return Err(format!("plugin {name} {version} is of world {}, not `format`", row.world));
    }
    let convicted = model
        .quarantines
        .iter()
        .find(|((_, world, convicted), _)| world == World::Format.as_str() && convicted == digest);
    if let Some((_, quarantine)) = convicted {
        return Err(format!(
            "plugin {name} {version} is in quarantine ({}); `mortise plugin release {name}` ends that",
            quarantine.reason
        ));
    }
    Ok(chosen)
}

#[cfg(test)]
#[path = "formats_tests.rs"]
mod tests;
