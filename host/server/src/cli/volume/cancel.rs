//! What `mortise volume job cancel` reports.
//!
//! A job can be past its point of no return, or ended long before somebody asks for that. The command
//! succeeds when the job was cancelled and the volume is as it was; else it says what the job came to and
//! fails.

use anyhow::bail;

use super::jobs::{done, job_json};
use crate::cli::client::Target;
use crate::cli::output;
use crate::pb::mortise::v1 as pb;

/// Reports what came of a job that was to be cancelled: whoever asks for that wants the volume as it was.
pub(super) fn report(target: &Target, job: &pb::Job) -> anyhow::Result<()> {
    let cancelled = job.state == "cancelled";
    if cancelled || target.output == output::Format::Json {
        target.output.emit(|| format!("job {} cancelled\n", job.id), || job_json(job))?;
    }
    match not_cancelled(job) {
        None => Ok(()),
        Some(instead) => bail!(instead),
    }
}

/// What became of a job instead of being cancelled.
fn not_cancelled(job: &pb::Job) -> Option<String> {
    let id = job.id;
    Some(match job.state.as_str() {
        "cancelled" => return None,
        "done" => format!("job {id} could not be cancelled any more: it is done; {}", done(job).trim_end()),
        "running" => format!("job {id} has not ended yet; `mortise volume job watch {id}` tells how it does"),
        state if job.detail.is_empty() => format!("job {id} was not cancelled: it is {state}"),
        state => format!("job {id} was not cancelled: it is {state}: {}", job.detail),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_was_not_cancelled_is_not_said_to_be() {
        let job =
            |state: &str| pb::Job { id: 9, state: state.into(), volume: "v".into(), ..Default::default() };
        assert_eq!(not_cancelled(&job("cancelled")), None);
        for state in ["done", "running", "failed", "interrupted"] {
            let text = not_cancelled(&job(state)).expect("it was not");
            assert!(text.contains("job 9") && text.contains("not"), "{text}");
        }
    }
}
