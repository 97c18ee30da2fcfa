//! Declaring that a volume is being deleted, where the catalog may not answer.
//!
//! The next start deletes every volume whose row says so. Nobody must write to one meanwhile, or what was
//! acknowledged is lost: so either it is known that the row does not say so and never will, or the volume is
//! not served any more.

use mortise_kernel::ErrorKind;

use super::act::Volumes;
use super::decide;
use crate::cause::Cause;
use crate::{Error, Result};

/// Why a volume is not served of which nobody knows whether the catalog has it as deleted.
pub(super) const IN_DOUBT: &str = "it was to be deleted, and the catalog did not answer whether it will be; delete it \
    again, or restart the node to keep it if it is still there";

impl Volumes {
    /// Declares in the catalog that a volume is being deleted; answers its id.
    pub(super) async fn condemn(&self, name: &str, cause: &Cause) -> Result<u64> {
        let mut decided = None;
        let condemned = self.catalog.commit_for(cause, |model| {
            decided = None;
            let (change, id) = self.doom(model, name)?;
            decided = Some(id);
            Ok((change, id))
        });
        let (error, id) = match (condemned.await, decided) {
            (Ok(id), _) => return Ok(id),
            (Err(error), Some(id)) if is_in_doubt(&error) => (error, id),
            (Err(error), _) => return Err(error),
        };
        match self.catalog.commit(|model| decide::ascertain(model, name, id)).await {
            Ok(true) => Ok(id),
            Ok(false) => Err(error),
            Err(unknown) => {
                tracing::error!(volume = name, id, %unknown, "whether the volume will be deleted is not known");
                self.failed.lock().insert(name.into(), IN_DOUBT.into());
                self.withdraw(name).await;
                Err(error)
            }
        }
    }
}

/// Whether what the catalog was asked for may have been done, or may yet be.
fn is_in_doubt(error: &Error) -> bool {
    // These say for sure that nothing was done; whatever else it is may come from looking at what was.
    let refused =
        [ErrorKind::Busy, ErrorKind::InvalidArgument, ErrorKind::NotFound, ErrorKind::FailedPrecondition];
    !matches!(error, Error::Kernel(mortise_kernel::Error::NoSpace(_))) && !refused.contains(&error.kind())
}
