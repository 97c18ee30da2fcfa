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
    records: Amount,
}

/// How much there is to decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amount {
    Nothing,
    Few,
    Many,
}

impl Answer {
    pub(crate) fn new(mut response: CommandResponse, coder: &Coder) -> Self {
        let records = if coder.is_natural() { Amount::Nothing } else { amount(&kvs_of(&mut response)) };
        Self { response, coder: coder.clone(), records }
    }

    /// Whether decoding takes so little, by what is known of the codec, that it needs no thread of its own.
    #[must_use]
    pub fn is_small(&self) -> bool {
        match self.records {
            Amount::Nothing => true,
            Amount::Few => self.coder.is_quick(),
            Amount::Many => false,
        }
    }

    /// The answer in user form.
    ///
    /// # Errors
    /// [`crate::Error::CodecFault`]: the command stands, but what it found cannot be told.
    pub fn decode(self, meter: Meter) -> Result<CommandResponse> {
        let Self { mut response, coder, records } = self;
        let mut decode = || coder.decode_kvs(kvs_of(&mut response), meter);
        match records {
            Amount::Nothing => {}
            Amount::Few => coder.run(decode)?,
            Amount::Many => decode()?,
        }
        Ok(response)
    }
}

fn amount(kvs: &[&mut KeyValue]) -> Amount {
    let bytes = || kvs.iter().map(|kv| kv.key.len() + kv.value.len()).sum::<usize>();
    match kvs.len() {
        0 => Amount::Nothing,
        1..=FEW if bytes() <= FEW_BYTES => Amount::Few,
        _ => Amount::Many,
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::codec::{Codec, CodecFault, RecodedRecords, Records};
    use super::super::id::FormatId;
    use super::*;
    use crate::kv::PutResponse;

    /// Nobody knows yet whether it is quick.
    struct Untried(FormatId);

    impl Codec for Untried {
        fn id(&self) -> &FormatId {
            &self.0
        }

        fn keeps_order(&self) -> bool {
            true
        }

        fn encode(&self, _: Records<'_>, _: Meter) -> Result<RecodedRecords, CodecFault> {
            Err(CodecFault::Failed("it is not called".into()))
        }

        fn decode(&self, _: Records<'_>, _: Meter) -> Result<RecodedRecords, CodecFault> {
            Err(CodecFault::Failed("it is not called".into()))
        }
    }

    #[test]
    fn an_answer_without_records_needs_neither_codec_nor_thread() {
        let coder = Coder::new(Arc::new(Untried(FormatId { name: "untried".into(), ..FormatId::natural() })));
        let put = |prev_kv| Answer::new(CommandResponse::Put(PutResponse { revision: 2, prev_kv }), &coder);
        let meter = Meter::of_long_work();
        let nothing = put(None);
        assert!(nothing.is_small());
        nothing.decode(meter).expect("nothing to decode");
        let one = put(Some(KeyValue::default()));
        assert!(!one.is_small(), "the codec is on trial");
        one.decode(meter).expect_err("the codec is called");
    }
}
