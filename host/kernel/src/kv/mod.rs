//! Requests, answers and their validation.
//!
//! | module | what it owns |
//! |---|---|
//! | `types` | requests and answers, as the log stores them |
//! | `validate` | which requests are let in, by etcd's rules and in etcd's order |
//!
//! This module must not know the store, raft or gRPC.

mod types;
mod validate;

pub use types::{
    Command, CommandResponse, Compare, CompareResult, CompareTarget, DeleteRangeRequest, DeleteRangeResponse,
    KeyValue, Op, OpResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, SortOrder, SortTarget,
    TxnRequest, TxnResponse,
};
pub use validate::{MAX_KEY_BYTES, Validate, is_read_only, validate};
pub(crate) use validate::{
    check_overlaps, depends_on_order, is_small, may_be_heavy, needs_order_of_values, orders_values,
    validate_to_encode,
};

#[cfg(test)]
mod validate_tests;
