//! What becomes of plugins and bindings: functions of the catalog's model.
//!
//! They return the [`Change`](crate::catalog::Change) that
//! [`Catalog::commit`](crate::catalog::Catalog::commit) makes; each is decided anew when the catalog changed
//! meanwhile. Every change of a version's stage is asked
//! of [`Stage::after`](super::stage::Stage::after) first and leaves an audit row.
//!
//! | file | what |
//! |---|---|
//! | `admit` | a component arrives, and comes in or is refused; limits |
//! | `bar` | a format is put into quarantine, or released |
//! | `bind` | a volume gets another strategy |
//! | `format` | what is told of a format that a volume's data comes into, or leaves |
//! | `retreat` | it gets an earlier one back |
//! | `convict` | a version that faulted too often is put aside, or taken back while it is watched |
//! | `record` | how much of what a strategy is asked is kept |
//! | `shadow` | a version is asked beside what serves |
//! | `remove` | versions go |
//! | `leave` | a volume goes, and ends what its plugins did there |
//! | `refuse` | what is told of attempts that came to nothing |

mod admit;
mod bar;
mod bind;
mod convict;
mod format;
mod leave;
mod record;
mod refuse;
mod remove;
mod retreat;
mod shadow;

pub(crate) use admit::{Inspected, Refused, admit, arrive, inherited, interrupted_arrivals, limit, refuse};
pub(crate) use bar::{bar, release};
pub(crate) use bind::{Place, Start, abandon, activate, config_text, exact, interrupted_candidates, propose};
pub(crate) use convict::{Convict, Penalty, quarantine, take_back};
pub(crate) use format::about_format;
pub(crate) use leave::leave;
pub(crate) use record::record;
pub(crate) use refuse::{Attempt, in_words, refused};
pub(crate) use remove::{clear_removed, mark_removed};
pub(crate) use retreat::roll_back;
pub(crate) use shadow::{end_shadow, shadow};

use super::stage::{Event, Stage};
use super::stage_error::StageError;
use crate::Result;

/// The stage after an event, as an error of this crate where there is none.
fn after(stage: Stage, event: Event) -> Result<Stage> {
    stage.after(event).map_err(|illegal| StageError::from(illegal).into())
}
