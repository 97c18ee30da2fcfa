//! Formats are put into quarantine and released, by an operator only (see [`super::codec_watch`] for why).
//!
//! Both hold for all volumes at once and are one write each. A format that the data of any volume is in
//! cannot be barred, so no codec in service is touched; such volumes are converted first.

use super::act::Lifecycle;
use super::choose::{self, Chosen};
use super::decide::{self, Attempt};
use crate::Result;
use crate::cause::Cause;

impl Lifecycle {
    /// Puts a version of a format into quarantine: no volume is created in it or converted to it, and none
    /// opens with it. Refused while the data of a volume is in it.
    pub(crate) async fn quarantine_format(
        &self,
        name: &str,
        version: Option<&str>,
        cause: &Cause,
    ) -> Result<Chosen> {
        let attempt = Attempt::new("plugin-quarantine", cause).plugin(name, version);
        let bar = async {
            let chosen = choose::pick(&self.catalog.model(), name, version)?;
            let (reason, unix_ms) = (cause.reason().unwrap_or("asked for"), self.clock.unix_millis());
            self.catalog.commit_for(cause, |model| decide::bar(model, &chosen, reason, unix_ms)).await?;
            let (plugin, version) = (&chosen.name, &chosen.version);
            tracing::warn!(plugin, version, reason, "the format is quarantined");
            Ok(chosen)
        };
        self.told(attempt, bar).await
    }

    /// Ends that.
    pub(crate) async fn release_format(
        &self,
        name: &str,
        version: Option<&str>,
        cause: &Cause,
    ) -> Result<Chosen> {
        let attempt = Attempt::new("plugin-release", cause).plugin(name, version);
        let release = async {
            let chosen = choose::pick(&self.catalog.model(), name, version)?;
            self.catalog.commit_for(cause, |model| decide::release(model, &chosen)).await?;
            tracing::info!(plugin = chosen.name, version = chosen.version, "the format is released");
            Ok(chosen)
        };
        self.told(attempt, release).await
    }
}
