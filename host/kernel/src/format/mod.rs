//! Formats: bijective codecs between what users write and what a volume stores.
//!
//! | module | what it does |
//! |---|---|
//! | `id` | [`FormatId`]: names a format, exactly |
//! | `codec` | the seam: [`Codec`], [`Codecs`], [`Records`], [`Meter`], [`CodecFault`] |
//! | `coder` | [`Coder`]: a codec whose every answer is checked |
//! | `pace` | where a codec is called, so that slow ones don't hold the async runtime |
//! | `refusal` | [`Refusal`]: a record that a format cannot hold |
//! | `request` | requests and commands brought into stored form |
//! | `decoded` | values that are decoded before a command is proposed that orders them |
//! | `answer` | [`Answer`]: answers brought back |
//!
//! *User form* is what clients send and receive, and what the raft log holds. *Stored form* is what a store
//! keeps: encoded keys and values. A store orders, compares and searches stored keys only, so that a range is
//! what lies between its encoded bounds. The `natural` format is the identity; it is native, costs nothing
//! and calls nothing.
//!
//! Two rules spare calls and ambiguity. The empty value is stored as the empty value, and no other value may
//! be encoded to it. A codec is never believed: whatever is to be stored must come back from it unchanged
//! before it is accepted, so that a wrong codec can refuse writes but never lose one.
//!
//! This module must not know the store, raft, Wasm or where codecs come from.

mod answer;
mod codec;
mod coder;
mod decoded;
mod id;
mod pace;
mod refusal;
mod request;

pub use answer::Answer;
pub use codec::{Codec, CodecFault, Codecs, Meter, NaturalOnly, Recoded, RecodedRecords, Records};
pub use coder::{Coder, MAX_STORED_VALUE_BYTES};
pub use id::FormatId;
pub use refusal::{Refusal, RefusedPart};
pub use request::Prepared;

pub(crate) use answer::decode_txn;
pub(crate) use coder::check_stored_key;
pub(crate) use decoded::Decoded;
pub(crate) use pace::beside_workers;
pub(crate) use request::{stored_commands, stored_range, stored_txn};
