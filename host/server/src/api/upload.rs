//! Components as they come in, part by part.
//!
//! What has come of a component is in memory, and whoever sends it may stop half-way. So there are few
//! uploads at a time, each has an end, and none is larger than the largest component: neither by its bytes
//! nor by what is said of it.
//!
//! An upload that comes to nothing is counted and logged. One that was too slow had a place for minutes, so
//! there cannot be many of them, and the history tells of each. One that found no place, or broke off, can
//! come any number of times in a second and nothing is known of its component: it leaves no row.

use std::time::Duration;

use futures::{Stream, StreamExt as _, pin_mut};
use metrics::counter;
use mortise_mechanisms::{MAX_COMPONENT_BYTES, NewPlugin};
use tokio::sync::Semaphore;
use tonic::Status;

use super::who::given;
use crate::pb::mortise::v1::AddPluginRequest;

/// Uploads under way at once.
const UPLOADS: usize = 4;

/// Time that one may take: the largest component at 1 Mbit/s.
const LONGEST: Duration = Duration::from_secs(300);

/// Parts without bytes of the component that one may have.
const EMPTY_PARTS: usize = 16;

/// Capabilities that one may name, and the longest name; there are far fewer, and none is as long.
const GRANTS: usize = 64;
const GRANT_BYTES: usize = 64;
/// Characters of a name that are logged before it is judged.
const LOGGED_CHARS: usize = 63;
/// Counts uploads that came to nothing.
pub(crate) const REFUSED: &str = "mortise_plugin_uploads_refused_total";

/// The uploads under way.
pub(super) struct Uploads(Semaphore);

/// What was sent.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// The component; of one that is too large, no more than shows it.
    pub(super) new: NewPlugin,
    /// Why it is to come in.
    pub(super) reason: Option<String>,
}

/// Why an upload came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Too many were under way.
    Busy,
    /// It did not come to its end in time.
    Slow,
    /// Its stream ended with an error, or is none of a component.
    Broken,
}

/// An upload that came to nothing.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) why: Why,
    /// What was sent until then.
    pub(super) part: Received,
    /// The answer.
    pub(super) status: Status,
}

impl Why {
    const ALL: [Self; 3] = [Self::Busy, Self::Slow, Self::Broken];

    fn counted(self) -> metrics::Counter {
        let why = match self {
            Self::Busy => "busy",
            Self::Slow => "slow",
            Self::Broken => "broken",
        };
        counter!(REFUSED, "why" => why)
    }
}

impl Default for Uploads {
    fn default() -> Self {
        // What has not happened yet is there to be watched, too.
        Why::ALL.iter().for_each(|why| why.counted().absolute(0));
        Self(Semaphore::new(UPLOADS))
    }
}

impl Uploads {
    /// What is sent in these parts.
    ///
    /// # Errors
    /// `ResourceExhausted` when too many are under way, `DeadlineExceeded` when it does not come to its end,
    /// `InvalidArgument` when more is said of it than there is to say, and what the stream itself ends with.
    pub(super) async fn receive(
        &self,
        parts: impl Stream<Item = Result<AddPluginRequest, Status>>,
    ) -> Result<Received, Box<Refused>> {
        let mut part = Received::default();
        let (why, status) = match self.0.try_acquire() {
            Err(_) => (
                Why::Busy,
                Status::resource_exhausted(format!(
                    "{UPLOADS} components are being sent already, which is the most at once; try again"
                )),
            ),
            Ok(_slot) => match tokio::time::timeout(LONGEST, collect(parts, &mut part)).await {
                Ok(Ok(())) => return Ok(part),
                Ok(Err(status)) => (Why::Broken, status),
                Err(_) => {
                    let seconds = LONGEST.as_secs();
                    let status = format!("expected the whole component within {seconds} s; send it again");
                    (Why::Slow, Status::deadline_exceeded(status))
                }
            },
        };
        why.counted().increment(1);
        // Nobody has judged the name yet, and it may be as long as a message.
        let name: String = part.new.name.iter().flat_map(|name| name.chars().take(LOGGED_CHARS)).collect();
        let bytes = part.new.bytes.len();
        tracing::warn!(?why, name, bytes, answer = status.message(), "a component was not received");
        Err(Box::new(Refused { why, part, status }))
    }
}

async fn collect(
    parts: impl Stream<Item = Result<AddPluginRequest, Status>>,
    into: &mut Received,
) -> Result<(), Status> {
    let Received { new, reason } = into;
    let mut empty = 0;
    pin_mut!(parts);
    while let Some(part) = parts.next().await.transpose()? {
        empty += usize::from(part.chunk.is_empty());
        if empty > EMPTY_PARTS {
            return Err(Status::invalid_argument(format!(
                "expected parts of a component, found more than {EMPTY_PARTS} without bytes of it"
            )));
        }
        if new.grants.len() + part.grants.len() > GRANTS
            || part.grants.iter().any(|grant| grant.len() > GRANT_BYTES)
        {
            return Err(Status::invalid_argument(format!(
                "expected at most {GRANTS} capabilities with names of at most {GRANT_BYTES} bytes, found \
                 more; name each capability once"
            )));
        }
        new.name = new.name.take().or_else(|| given(&part.name));
        new.signature = new.signature.take().or_else(|| given(&part.signature));
        *reason = reason.take().or_else(|| given(&part.reason));
        new.grants.extend(part.grants);
        new.bytes.extend_from_slice(&part.chunk);
        if new.bytes.len() > MAX_COMPONENT_BYTES {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use tonic::Code;

    use super::*;

    fn part(chunk: &[u8]) -> Result<AddPluginRequest, Status> {
        Ok(AddPluginRequest { chunk: chunk.to_vec().into(), ..AddPluginRequest::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_stops_half_way_is_not_waited_for_for_ever() {
        let uploads = Uploads::default();
        let halved = stream::iter([part(b"half of it")]).chain(stream::pending());
        let refused = uploads.receive(halved).await.expect_err("it never ends");
        assert_eq!((refused.why, refused.status.code()), (Why::Slow, Code::DeadlineExceeded), "{refused:?}");
        assert_eq!(refused.part.new.bytes, b"half of it", "what came is known to whoever tells of it");
        let whole = uploads.receive(stream::iter([part(b"one, "), part(b"two")])).await.expect("it ends");
        assert_eq!(whole.new.bytes, b"one, two");
        let broken = stream::iter([part(b"half"), Err(Status::cancelled("gone"))]);
        let refused = uploads.receive(broken).await.expect_err("it breaks off");
        assert_eq!((refused.why, refused.status.code()), (Why::Broken, Code::Cancelled), "{refused:?}");
    }

    #[tokio::test]
    async fn what_is_said_of_a_component_is_bounded_as_its_bytes_are() {
        let uploads = Uploads::default();
        let read = std::sync::atomic::AtomicUsize::new(0);
        let flood = |grants: Vec<String>, chunk: &'static [u8]| {
            read.store(0, std::sync::atomic::Ordering::Relaxed);
            let count = |_: &Result<_, _>| {
                read.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            };
            let part = AddPluginRequest { grants, chunk: chunk.into(), ..AddPluginRequest::default() };
            uploads.receive(stream::repeat_with(move || Ok(part.clone())).inspect(count))
        };
        for (grants, chunk) in [
            (vec!["log".to_owned()], &b""[..]),
            (vec!["log".to_owned()], &b"."[..]),
            (vec!["x".repeat(GRANT_BYTES + 1)], &b"."[..]),
            (Vec::new(), &b""[..]),
        ] {
            let refused = flood(grants, chunk).await.expect_err("it never ends");
            assert_eq!(
                (refused.why, refused.status.code()),
                (Why::Broken, Code::InvalidArgument),
                "{refused:?}"
            );
            let read = read.load(std::sync::atomic::Ordering::Relaxed);
            assert!(read <= GRANTS + 1, "{read} parts were read");
        }
    }

    #[tokio::test]
    async fn few_come_at_once_and_make_room_when_they_end() {
        let uploads = Uploads::default();
        let mut open: Vec<_> = (0..UPLOADS).map(|_| Box::pin(uploads.receive(stream::pending()))).collect();
        for upload in &mut open {
            assert!(futures::poll!(upload.as_mut()).is_pending());
        }
        let refused = uploads.receive(stream::empty()).await.expect_err("there are enough");
        assert_eq!((refused.why, refused.status.code()), (Why::Busy, Code::ResourceExhausted), "{refused:?}");
        open.pop();
        uploads.receive(stream::empty()).await.expect("one has gone");
    }
}
