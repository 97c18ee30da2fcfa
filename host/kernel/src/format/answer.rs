//! Answers of apply, which are in stored form, and the way back.
//!
//! Apply runs alone, one entry after the other; decoding its answers there would make every writer wait for
//! one answer's codec. So an answer travels as it is, with the coder of the store that gave it, and whoever
//! waits for it decodes it.

use super::codec::Meter;
use super::coder::Coder;
use crate::Result;
use crate::kv::{CommandResponse, KeyValue, OpResponse, TxnResponse};

/// Records that are decoded where their answer is waited for, rather than where blocking is allowed.
const FEW: usize = 16;
/// Their bytes.
const FEW_BYTES: usize = 64 * 1024;

/// The answer to a command, in stored form.
#[derive(Clone, Debug)]
pub struct Answer {
    response: CommandResponse,
    coder: Coder,
    is_small: bool,
}

impl Answer {
    pub(crate) fn new(mut response: CommandResponse, coder: &Coder) -> Self {
        let is_small = coder.is_natural() || are_few(&kvs_of(&mut response));
        Self { response, coder: coder.clone(), is_small }
    }

    /// Whether decoding takes so little, by what is known of the codec, that it needs no thread of its own.
    #[must_use]
    pub fn is_small(&self) -> bool {
        self.is_small && self.coder.is_quick()
    }

    /// The answer in user form.
    ///
    /// # Errors
    /// [`crate::Error::CodecFault`]: the command stands, but what it found cannot be told.
    pub fn decode(self, meter: Meter) -> Result<CommandResponse> {
        let Self { mut response, coder, is_small } = self;
        let kvs = kvs_of(&mut response);
        if !coder.is_natural() && !kvs.is_empty() {
            let decode = || coder.decode_kvs(kvs, meter);
            if is_small { coder.run(decode)? } else { decode()? }
        }
        Ok(response)
    }
}

fn are_few(kvs: &[&mut KeyValue]) -> bool {
    kvs.len() <= FEW && kvs.iter().map(|kv| kv.key.len() + kv.value.len()).sum::<usize>() <= FEW_BYTES
}

fn kvs_of(response: &mut CommandResponse) -> Vec<&mut KeyValue> {
    match response {
        CommandResponse::Put(put) => put.prev_kv.iter_mut().collect(),
        CommandResponse::DeleteRange(delete) => delete.prev_kvs.iter_mut().collect(),
        CommandResponse::Txn(txn) => kvs_of_txn(txn),
        CommandResponse::Compact { .. } => Vec::new(),
    }
}

fn kvs_of_txn(txn: &mut TxnResponse) -> Vec<&mut KeyValue> {
    let kvs = txn.responses.iter_mut().flat_map(|response| match response {
        OpResponse::Range(range) => range.kvs.iter_mut().collect(),
        OpResponse::Put(put) => put.prev_kv.iter_mut().collect::<Vec<_>>(),
        OpResponse::DeleteRange(delete) => delete.prev_kvs.iter_mut().collect(),
        OpResponse::Txn(nested) => kvs_of_txn(nested),
    });
    kvs.collect()
}

/// The answer of a transaction in user form.
pub(crate) fn decode_txn(coder: &Coder, mut txn: TxnResponse, meter: Meter) -> Result<TxnResponse> {
    if !coder.is_natural() {
        coder.decode_kvs(kvs_of_txn(&mut txn), meter)?;
    }
    Ok(txn)
}
