//! Errors of the layers below as gRPC statuses.
//!
//! Where etcd has an error of its own, its code and its exact text are used, because clients compare texts.
//! Everything else carries our message, which says what was expected, what was found and what to do, under
//! the code that fits its [`ErrorKind`]. Defects, damage and failing storage are logged here, since a client
//! can do nothing about them.

use mortise_kernel::{Error, ErrorKind};
use tonic::{Code, Status};

/// The status for a kernel error. A passed deadline that the client set is its own doing; one that the node
/// set is etcd's timeout.
pub(super) fn from_kernel(error: &Error, deadline_from_client: bool) -> Status {
    if let Error::DeadlineExceeded { .. } = error
        && deadline_from_client
    {
        return Status::deadline_exceeded(error.to_string());
    }
    match etcd(error) {
        Some((code, text)) => Status::new(code, text),
        None => ours(error.kind(), error.to_string()),
    }
}

/// The status for an error of the mechanisms.
pub(super) fn from_mechanisms(error: mortise_mechanisms::Error) -> Status {
    match error {
        mortise_mechanisms::Error::Kernel(error) => from_kernel(&error, false),
        _ => ours(error.kind(), error.to_string()),
    }
}

/// The status for calls that exist in etcd and are not served.
pub(super) fn unsupported(call: &str) -> Status {
    Status::unimplemented(format!("{call} is not supported by this version of mortise"))
}

/// etcd's own code and text, where it has one.
fn etcd(error: &Error) -> Option<(Code, &'static str)> {
    Some(match error {
        Error::EmptyKey => (Code::InvalidArgument, "etcdserver: key is not provided"),
        Error::KeyNotFound => (Code::InvalidArgument, "etcdserver: key not found"),
        Error::ValueProvided => (Code::InvalidArgument, "etcdserver: value is provided"),
        Error::LeaseProvided => (Code::InvalidArgument, "etcdserver: lease is provided"),
        Error::TooManyOperations { .. } => {
            (Code::InvalidArgument, "etcdserver: too many operations in txn request")
        }
        Error::DuplicateKey => (Code::InvalidArgument, "etcdserver: duplicate key given in txn request"),
        Error::RequestTooLarge { .. } => (Code::InvalidArgument, "etcdserver: request is too large"),
        Error::Compacted { .. } => {
            (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted")
        }
        Error::FutureRevision { .. } => {
            (Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision")
        }
        Error::LeaseNotFound(_) => (Code::NotFound, "etcdserver: requested lease not found"),
        Error::NoSpace(_) => (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"),
        Error::Busy(_) => (Code::ResourceExhausted, "etcdserver: too many requests"),
        Error::DeadlineExceeded { .. } => (Code::Unavailable, "etcdserver: request timed out"),
        // Clients try reads again on `Unavailable`. etcd's «not leader» is no such answer, these are.
        Error::NotLeader { leader: Some(_) } => (Code::Unavailable, "etcdserver: leader changed"),
        Error::NotLeader { leader: None } => (Code::Unavailable, "etcdserver: no leader"),
        _ => return None,
    })
}

fn ours(kind: ErrorKind, message: String) -> Status {
    let code = match kind {
        ErrorKind::Busy => Code::ResourceExhausted,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::FailedPrecondition => Code::FailedPrecondition,
        ErrorKind::Corrupt => Code::DataLoss,
        // As of an etcd whose disk fails: not this node, not now; another one or a later try may.
        ErrorKind::Storage => Code::Unavailable,
        ErrorKind::Internal => Code::Internal,
    };
    if matches!(kind, ErrorKind::Corrupt | ErrorKind::Storage | ErrorKind::Internal) {
        tracing::error!(error = message, "a call failed for a reason that no client can mend");
    }
    let message = match kind {
        ErrorKind::Storage => {
            format!("{message}; the storage of this node failed: look at its disk, then retry")
        }
        _ => message,
    };
    Status::new(code, message)
}

#[cfg(test)]
#[path = "errors_tests.rs"]
mod tests;
