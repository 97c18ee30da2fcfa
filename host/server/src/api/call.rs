//! What a call brings along besides its message: a deadline, and the volume it means.
//!
//! A volume is chosen by the `mortise-volume` header, else by the first label of the host name that the
//! client dialled when a volume has that name, else it is the default one. An unknown name in the header is
//! an error, an unknown label is not: host names exist for many reasons. Host names are compared without
//! regard to case, as DNS does. IP addresses and `localhost` never choose. [`Dialled`] carries the host from
//! the door, where it is visible, to here.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use mortise_kernel::node::{Volume, VolumeId};
use mortise_kernel::seams::Deadline;
use mortise_mechanisms::System;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Status};

use super::{Context, errors};

/// Request header that names a volume.
pub(crate) const VOLUME_HEADER: &str = "mortise-volume";

/// Part of a client's deadline that is kept back so that our answer arrives before it gives up.
const MARGIN: Duration = Duration::from_millis(5);

/// The host that the client dialled, where it could name a volume.
#[derive(Clone, Debug)]
pub(super) struct Dialled(Authority);

impl Dialled {
    /// Keeps `authority` when its first label could name a volume.
    pub(super) fn from_authority(authority: &Authority) -> Option<Self> {
        first_label(authority.host()).map(|_| Self(authority.clone()))
    }

    /// The name of the volume that it may mean; names of volumes have no capitals.
    fn label(&self) -> Option<Cow<'_, str>> {
        let label = first_label(self.0.host())?;
        let capital = label.bytes().any(|byte| byte.is_ascii_uppercase());
        Some(if capital { Cow::Owned(label.to_ascii_lowercase()) } else { Cow::Borrowed(label) })
    }
}

/// The first label of a host name.
fn first_label(host: &str) -> Option<&str> {
    if host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    let label = host.split('.').next().unwrap_or_default();
    (!label.is_empty() && !label.eq_ignore_ascii_case("localhost")).then_some(label)
}

/// When a call has to be answered, and whose wish that is.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallDeadline {
    /// The instant.
    pub(super) deadline: Deadline,
    /// Whether the client asked for it; else it is the node's default.
    pub(super) from_client: bool,
}

impl CallDeadline {
    /// The deadline in `metadata`, else `default` from now.
    ///
    /// # Errors
    /// `DeadlineExceeded` when the client's time is over already: nothing is begun that nobody waits for.
    pub(super) fn read(metadata: &MetadataMap, default: Duration) -> Result<Self, Status> {
        let asked =
            metadata.get("grpc-timeout").and_then(|value| value.to_str().ok()).and_then(parse_grpc_timeout);
        match asked {
            Some(Duration::ZERO) => {
                Err(Status::deadline_exceeded("the deadline had passed when the call arrived"))
            }
            Some(wait) => {
                let wait = wait - MARGIN.min(wait / 10);
                Ok(Self { deadline: Deadline::after(wait), from_client: true })
            }
            None => Ok(Self { deadline: Deadline::after(default), from_client: false }),
        }
    }
}

/// Parses gRPC's `TimeoutValue TimeoutUnit`, for example `250m` for 250 milliseconds. The length is capped at
/// a year, so that it can be added to any instant.
fn parse_grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    let wait = match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    };
    Some(wait.min(Duration::from_secs(365 * 24 * 3600)))
}

/// The name of the volume that a call means, if it means one in particular.
///
/// # Errors
/// `InvalidArgument` when the header is not text.
fn chosen<'a>(
    metadata: &'a MetadataMap,
    extensions: &'a Extensions,
    exists: impl Fn(&str) -> bool,
) -> Result<Option<Cow<'a, str>>, Status> {
    if let Some(value) = metadata.get(VOLUME_HEADER) {
        let name = value.to_str().map_err(|_| {
            Status::invalid_argument(format!("the {VOLUME_HEADER} header must be ASCII text"))
        })?;
        return Ok(Some(Cow::Borrowed(name)));
    }
    let label = extensions.get::<Dialled>().and_then(Dialled::label);
    Ok(label.filter(|label| exists(label)))
}

/// The volume that a call means.
///
/// # Errors
/// `NotFound` when the header names a volume that does not exist.
pub(super) fn volume(
    system: &System,
    metadata: &MetadataMap,
    extensions: &Extensions,
) -> Result<Arc<Volume>, Status> {
    let name = chosen(metadata, extensions, |label| system.has_volume(label))?;
    let name = name.as_deref();
    system.resolve(name).map_err(|error| match name {
        Some(name) if !system.has_volume(name) => Status::not_found(format!(
            "volume {name:?}, named by the {VOLUME_HEADER} header, does not exist; \
             create it with `mortise volume create {name}`"
        )),
        _ => errors::from_mechanisms(error),
    })
}

/// The volume that a call means to write to.
///
/// # Errors
/// As [`volume`]; `FailedPrecondition` for the system volume, which the daemon alone writes.
pub(super) fn writable_volume(
    system: &System,
    metadata: &MetadataMap,
    extensions: &Extensions,
) -> Result<Arc<Volume>, Status> {
    let volume = volume(system, metadata, extensions)?;
    if volume.id() == VolumeId::SYSTEM {
        return Err(Status::failed_precondition(
            "the system volume holds the catalog and is written by the daemon alone; \
             use `mortise volume` and `mortise plugin` to change it",
        ));
    }
    Ok(volume)
}

/// Deadline of a call with this metadata.
///
/// # Errors
/// As [`CallDeadline::read`].
pub(super) fn deadline(context: &Context, metadata: &MetadataMap) -> Result<CallDeadline, Status> {
    CallDeadline::read(metadata, context.default_deadline)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extensions(host: &str) -> Extensions {
        let mut extensions = Extensions::new();
        let authority: Authority = host.parse().expect("authority");
        if let Some(dialled) = Dialled::from_authority(&authority) {
            extensions.insert(dialled);
        }
        extensions
    }

    #[test]
    fn timeouts_parse_as_the_grpc_specification_says() {
        let cases = [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("5S", Some(Duration::from_secs(5))),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("9n", Some(Duration::from_nanos(9))),
            ("99999999H", Some(Duration::from_secs(365 * 24 * 3600))),
            ("123456789S", None),
            ("5", None),
            ("S", None),
            ("", None),
            ("-5S", None),
            ("5x", None),
            ("5µ", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_grpc_timeout(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_volume_is_chosen_by_header_then_host_then_not_at_all() {
        let exists = |name: &str| matches!(name, "tenant-a" | "localhost" | "10" | "db");
        let mut header = MetadataMap::new();
        header.insert(VOLUME_HEADER, "missing".parse().expect("value"));
        let none = MetadataMap::new();
        let choose =
            |metadata, host| chosen(metadata, &extensions(host), exists).expect("text").map(Cow::into_owned);
        assert_eq!(choose(&header, "tenant-a.example.com:2379").as_deref(), Some("missing"));
        assert_eq!(choose(&none, "tenant-a.example.com:2379").as_deref(), Some("tenant-a"));
        assert_eq!(choose(&none, "tenant-a:2379").as_deref(), Some("tenant-a"));
        assert_eq!(choose(&none, "Tenant-A.Example.com:2379").as_deref(), Some("tenant-a"));
        assert_eq!(choose(&none, "DB:2379").as_deref(), Some("db"));
        assert_eq!(choose(&none, "LocalHost:2379"), None);
        assert_eq!(choose(&none, "www.example.com"), None);
        assert_eq!(choose(&none, "localhost:2379"), None);
        assert_eq!(choose(&none, "10.0.0.1:2379"), None);
        assert_eq!(choose(&none, "[::1]:2379"), None);
    }

    #[test]
    fn a_client_deadline_beats_the_default_and_leaves_time_to_answer() {
        let default = Duration::from_secs(5);
        let none = CallDeadline::read(&MetadataMap::new(), default).expect("the default");
        assert!(!none.from_client);
        assert_eq!(none.deadline.wait(), default);
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", "1S".parse().expect("value"));
        let asked = CallDeadline::read(&metadata, default).expect("in the future");
        assert!(asked.from_client);
        assert_eq!(asked.deadline.wait(), Duration::from_millis(995));
    }
}
