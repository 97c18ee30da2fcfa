//! Formats are put into quarantine and released, by an operator only (see [`super::codec_watch`] for why).

use super::act::Lifecycle;
use super::choose::{self, Chosen};
use super::decide;
use crate::Result;

impl Lifecycle {
    /// Puts a version of a format into quarantine: no volume is created in it or converted to it, and none
    /// opens with it. Refused while the data of a volume is in it.
    pub(crate) async fn quarantine_format(
        &self,
        name: &str,
        version: Option<&str>,
        reason: &str,
    ) -> Result<Chosen> {
        let chosen = choose::pick(&self.catalog.model(), name, version)?;
        let unix_ms = self.clock.unix_millis();
        self.catalog.commit(|model| decide::bar(model, &chosen, reason, unix_ms)).await?;
        tracing::warn!(plugin = chosen.name, version = chosen.version, reason, "the format is quarantined");
        Ok(chosen)
    }

    /// Ends that.
    pub(crate) async fn release_format(&self, name: &str, version: Option<&str>) -> Result<Chosen> {
        let chosen = choose::pick(&self.catalog.model(), name, version)?;
        self.catalog.commit(|model| decide::release(model, &chosen)).await?;
        tracing::info!(plugin = chosen.name, version = chosen.version, "the format is released");
        Ok(chosen)
    }
}
