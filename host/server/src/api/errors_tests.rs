//! The table of codes and texts, written out a second time from etcd's own `rpctypes`.

use std::time::Duration;

use mortise_kernel::Error;
use mortise_kernel::node::VolumeId;
use tonic::Code;

use super::{from_kernel, from_mechanisms};

#[test]
fn etcd_errors_have_etcds_codes_and_texts() {
    let timed_out = Error::DeadlineExceeded { what: "a put", after: Duration::from_secs(5) };
    let cases = [
        (Error::EmptyKey, Code::InvalidArgument, "etcdserver: key is not provided"),
        (Error::KeyNotFound, Code::InvalidArgument, "etcdserver: key not found"),
        (Error::ValueProvided, Code::InvalidArgument, "etcdserver: value is provided"),
        (Error::LeaseProvided, Code::InvalidArgument, "etcdserver: lease is provided"),
        (
            Error::TooManyOperations { found: 129, limit: 128 },
            Code::InvalidArgument,
            "etcdserver: too many operations in txn request",
        ),
        (Error::DuplicateKey, Code::InvalidArgument, "etcdserver: duplicate key given in txn request"),
        (
            Error::RequestTooLarge { found: 2_000_000, limit: 1_572_864 },
            Code::InvalidArgument,
            "etcdserver: request is too large",
        ),
        (
            Error::Compacted { requested: 1, compacted: 2 },
            Code::OutOfRange,
            "etcdserver: mvcc: required revision has been compacted",
        ),
        (
            Error::FutureRevision { requested: 2, current: 1 },
            Code::OutOfRange,
            "etcdserver: mvcc: required revision is a future revision",
        ),
        (Error::LeaseNotFound(1), Code::NotFound, "etcdserver: requested lease not found"),
        (Error::NoSpace("full".into()), Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"),
        (Error::Busy("queue".into()), Code::ResourceExhausted, "etcdserver: too many requests"),
        (timed_out, Code::Unavailable, "etcdserver: request timed out"),
        (Error::NotLeader { leader: None }, Code::Unavailable, "etcdserver: no leader"),
        (Error::NotLeader { leader: Some(3) }, Code::Unavailable, "etcdserver: leader changed"),
    ];
    for (error, code, text) in cases {
        let status = from_kernel(&error, false);
        assert_eq!((status.code(), status.message()), (code, text), "{error:?}");
    }
}

#[test]
fn a_write_that_moves_too_much_is_told_how_to_be_smaller() {
    let status = from_kernel(&Error::TooMuchAtOnce { found: 300 << 20, limit: 256 << 20 }, true);
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("delete in smaller ranges"), "{status:?}");
}

#[test]
fn a_deadline_of_the_client_is_its_own() {
    let error = Error::DeadlineExceeded { what: "a put", after: Duration::from_millis(20) };
    let status = from_kernel(&error, true);
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("a put"), "{status:?}");
    assert!(status.message().contains("20ms"), "{status:?}");
}

#[test]
fn other_errors_keep_our_message() {
    let cases = [
        (Error::VolumeNotFound(VolumeId(7)), Code::NotFound),
        (Error::VolumeExists(VolumeId(7)), Code::FailedPrecondition),
        (Error::ShuttingDown("the volume"), Code::Unavailable),
        (Error::Internal("a slot is missing".into()), Code::Internal),
    ];
    for (error, code) in cases {
        let status = from_kernel(&error, false);
        assert_eq!((status.code(), status.message()), (code, error.to_string().as_str()));
    }
}

#[test]
fn a_disk_that_fails_is_no_defect_and_its_message_names_the_disk() {
    let failed = || std::io::Error::other("input/output error");
    let errors = [
        Error::Io { context: "syncing the raft log".into(), source: failed() },
        Error::Storage { context: "flushing", detail: "input/output error".into() },
    ];
    for error in errors {
        let status = from_kernel(&error, false);
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        let parts = ["input/output error", "look at its disk"];
        assert!(parts.iter().all(|part| status.message().contains(part)), "{status:?}");
    }
    let of_plugins =
        mortise_mechanisms::Error::Io { context: "writing a component".into(), source: failed() };
    assert_eq!(from_mechanisms(of_plugins).code(), Code::Unavailable);
}
