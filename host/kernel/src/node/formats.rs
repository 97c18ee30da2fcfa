//! What a volume's format asks of its requests, and what a conversion asks of a volume.
//!
//! Codecs run on the side of the request, before its proposal and on its answer: where they are called when
//! there is little to do and the codec has been quick so far, else where blocking is allowed. Nothing here
//! happens on a natural volume.

use std::sync::Arc;

use super::Volume;
use crate::format::{FormatId, Meter};
use crate::kv::{self, Command, CommandResponse};
use crate::seams::Deadline;
use crate::store::{Conversion, Reading, Store, Survey, Transform, Wanted};
use crate::{Error, Result};

impl Volume {
    /// The format of its keys and values.
    #[must_use]
    pub fn format(&self) -> FormatId {
        self.store.load().coder().format()
    }

    /// The transform from the present format to another, for [`Volume::rebuild`].
    ///
    /// # Errors
    /// [`crate::Error::CodecMissing`].
    pub async fn conversion(&self, to: &FormatId) -> Result<Conversion> {
        self.check_open()?;
        let (to, stores) = (to.clone(), self.shared.stores.of(self.name()));
        let path = self.home.directory().path().to_path_buf();
        let from = self.store.load().coder().clone();
        // The codec may have to be compiled first, for which no reader is to wait: it takes no slot.
        let coder = tokio::task::spawn_blocking(move || stores.coder(&to, &path)).await;
        let coder =
            coder.unwrap_or_else(|error| Err(Error::Internal(format!("a codec was not found: {error}"))));
        Ok(Conversion::new(from, coder?))
    }

    /// Counts the records that a conversion would refuse, and changes none: what is in memory is only
    /// flushed. Takes as long as reading everything; `each` is told the bytes of rows looked at, and may
    /// end this.
    ///
    /// # Errors
    /// The storage or a codec failed, or what `each` answers.
    pub async fn survey(
        &self,
        conversion: Arc<Conversion>,
        mut each: impl FnMut(u64) -> Result<()> + Send + 'static,
    ) -> Result<Survey> {
        self.flush().await?;
        let survey = move |store: &Store| {
            conversion.applies_to(store.coder())?;
            conversion.survey(&mut store.pin()?, &mut each)
        };
        self.upkeep.blocking(survey).await
    }

    /// Runs the codec before the proposal and on the answer, where it is called while there is little to do,
    /// else where blocking is allowed.
    pub(super) async fn propose_coded(
        &self,
        command: Command,
        deadline: Deadline,
    ) -> Result<CommandResponse> {
        let meter = Meter::Request(deadline);
        let is_small = kv::is_small(&command);
        let prepare = move |reading: &Reading<'_>| {
            let prepare = || reading.prepare(&command, meter);
            let prepared = if is_small { reading.store().coder().run(prepare)? } else { prepare()? };
            Ok((command, prepared))
        };
        let (command, prepared) = if is_small && self.store.load().coder().is_quick() {
            prepare(&self.store.load().reading(Wanted::ALWAYS))?
        } else {
            deadline.bound("encoding the request", self.read(prepare)).await??
        };
        let _turn = self.admit(&command, prepared.as_ref(), deadline).await?;
        let answer = self.group.propose(command, prepared, deadline).await?;
        if answer.is_small() {
            return answer.decode(meter);
        }
        deadline.bound("decoding the answer", self.read(move |_| answer.decode(meter))).await?
    }
}
