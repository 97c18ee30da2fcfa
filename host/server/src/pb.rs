//! Messages and services generated from `proto/`.
//!
//! `etcdserverpb` and `mvccpb` are wire-compatible with etcd v3; `mortise::v1` is our own. Clients of the
//! daemon written in Rust, among them its own command line and tests, use the generated clients here.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

/// etcd's stored versions.
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}
/// etcd's permissions.
pub mod authpb {
    tonic::include_proto!("authpb");
}
/// etcd's services.
pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}
/// Mortise's own services.
pub mod mortise {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("mortise.v1");
    }
}

/// The compiled definitions of all of the above, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/mortise.bin"));
