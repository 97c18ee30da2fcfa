//! World `format`: translates keys and values to stored bytes and back.
//!
//! A [`Format`] is a component under limits and one configuration. It is called for every request, in
//! batches, so its instances are kept warm and used again; the contract demands that this makes no difference
//! to an answer, and an instance that faulted is never used again.
//!
//! | module | what it owns |
//! |---|---|
//! | `codec` | the calls: batches in parts, bounds, what an answer must be |
//! | `fuel` | how much fuel a call has, for a request and inside apply |
//! | `warm` | the instances: how many, for how long, under which conditions |
//!
//! This module must not know what a volume is, nor judge whether a format is a bijection.

mod codec;
mod fuel;
mod warm;

pub(crate) use codec::CodecExports;
pub use codec::{Answers, Format, Mode, Properties, Translated};
pub(crate) use warm::WarmPool;
