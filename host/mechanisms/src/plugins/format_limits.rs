//! The limits of formats: the least that one can serve with, and how a change reaches those that serve.
//!
//! A record may be as large as a request, so limits on memory and answers below the world's defaults are
//! refused for a format; rows from before that rule are read as if they had the defaults. A format serves for
//! as long as its volume is open. Its limits are therefore shared with the catalog's side and hold for every
//! call that begins after a change, on all volumes at once.
//!
//! Lowering them cannot stop a volume's replay: what calls inside apply get is bounded from below by the
//! plugin runtime.

use std::sync::Arc;

use mortise_plugin_runtime::{Limits, World};

use super::act::Lifecycle;
use super::choose::{Chosen, pick};
use super::codec_watch::CodecWatch;
use crate::catalog::{Model, PluginRow};
use crate::{Error, Result};

/// The limits that a plugin's calls run under: those of its row, and for a format at least [`least`].
pub(super) fn effective(row: &PluginRow) -> Limits {
    let least = least();
    let Limits { memory_bytes, answer_bytes, .. } = row.limits;
    if row.world == World::Format.as_str() {
        Limits {
            memory_bytes: memory_bytes.max(least.memory_bytes),
            answer_bytes: answer_bytes.max(least.answer_bytes),
            ..row.limits
        }
    } else {
        row.limits
    }
}

/// What a format needs: one record may be as large as a request, and its stored form larger.
fn least() -> Limits {
    World::Format.default_limits()
}

/// Checks limits that are to be set.
///
/// # Errors
/// [`Error::Limits`], [`Error::NoSuchPlugin`].
pub(super) fn check(model: &Model, name: &str, limits: &Limits) -> Result<()> {
    limits.validate().map_err(|error| Error::Limits(error.to_string()))?;
    if pick(model, name, None)?.row.world != World::Format.as_str() {
        return Ok(());
    }
    let least = least();
    for (limit, found, least) in [
        ("memory", limits.memory_bytes, least.memory_bytes),
        ("answer", limits.answer_bytes as u64, least.answer_bytes as u64),
    ] {
        if found < least {
            return Err(Error::Limits(format!(
                "{name} is a format, and a limit on {limit} of {found} bytes is too low for one; expected at \
                 least {least}, because a record may be as large as a request, and its stored form larger"
            )));
        }
    }
    Ok(())
}

impl Lifecycle {
    /// Lets the codecs that serve have the limits that the catalog has for them now.
    pub(super) fn renew_format_limits(&self) {
        // Whoever comes last here has read the newest rows.
        let codecs = self.codecs.lock();
        let model = self.catalog.model();
        for watch in codecs.values() {
            let chosen = watch.chosen();
            let row = model.plugins.get(&(chosen.name.clone(), chosen.version.clone()));
            let Some(row) = row.filter(|row| row.digest == chosen.row.digest) else { continue };
            if let Err(error) = watch.limits().set(effective(row)) {
                let plugin = &chosen.name;
                tracing::warn!(plugin, %error, "the catalog's limits cannot be used; the earlier ones stay");
            }
        }
    }

    /// Who watches over the codec of a component, known by this row from now on.
    pub(super) fn watch(&self, chosen: Chosen) -> Arc<CodecWatch> {
        let mut codecs = self.codecs.lock();
        let known = codecs.get(&chosen.row.digest);
        if let Some(known) = known.filter(|known| known.chosen().is_same_as(&chosen)) {
            return Arc::clone(known);
        }
        // Another row vouches for the same bytes now; those that serve already go on to be told their limits.
        let limits = known.map_or_else(|| effective(&chosen.row).into(), |known| known.limits().clone());
        let (clock, catalog) = (self.clock.clone(), Arc::clone(&self.catalog));
        let digest = chosen.row.digest.clone();
        let watch = CodecWatch::new(chosen, limits, clock, catalog, Arc::clone(&self.faults));
        let watch = Arc::new(watch);
        codecs.insert(digest, Arc::clone(&watch));
        watch
    }
}
