//! Requests in stored form.
//!
//! Stored form needs no types of its own: a request is brought into it by replacing keys, values and bounds,
//! and everything below works on it as it would on a natural volume. Two things need care.
//!
//! *Bounds.* Etcd marks «one key» by an empty `range_end`, «to the end» by a `range_end` of one zero byte,
//! and clients say «from the start» by a `key` of one zero byte. Those marks are read before encoding and
//! written again behind it, also where an encoded bound happens to look like one (see [`bounds`]).
//!
//! *Comparisons of values.* Equality is decided on stored forms, since encoding is a function that can be
//! reversed; for an order the value given stays in user form, and the store decodes what it compares,
//! beforehand as far as it can (see [`Decoded`]).

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::codec::{Meter, Recoded, Records};
use super::coder::{Coder, check_stored_key};
use super::decoded::Decoded;
use super::refusal::{Refusal, RefusedPart};
use crate::kv::{
    Command, Compare, CompareResult, CompareTarget, DeleteRangeRequest, Op, PutRequest, RangeRequest,
    TxnRequest, check_overlaps,
};
use crate::{Error, Result};

/// Values that are decoded at once for a transaction that orders them: what they stand for is counted only
/// then, and each may be as large as a request.
const FORESEEN_AT_ONCE: usize = 16;

/// A command that the codec has run on: what the proposal hands over to the local apply. It lives in memory
/// only; the log holds the command in user form.
#[derive(Clone, Debug)]
pub struct Prepared {
    coder: Coder,
    command: Command,
    /// The values of other keys whose order it asks for.
    decoded: Arc<Decoded>,
    bytes: usize,
}

impl Prepared {
    /// Runs the codec on a command, and judges what only shows in stored form: whether a transaction writes a
    /// key twice. `None` on a natural volume.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::CodecFault`], [`Error::DuplicateKey`].
    pub(crate) fn new(coder: &Coder, command: &Command, meter: Meter) -> Result<Option<Self>> {
        if coder.is_natural() {
            if let Command::Txn(txn) = command {
                check_overlaps(txn)?;
            }
            return Ok(None);
        }
        let command = stored(coder, command, map_command, Role::is_judged, meter)?;
        if let Command::Txn(txn) = &command {
            check_overlaps(txn)?;
        }
        let mut size = Size(0);
        map_command(&command, &mut size);
        Ok(Some(Self { coder: coder.clone(), command, decoded: Arc::default(), bytes: size.0 }))
    }

    /// With what stored values stand for whose order is likely to be asked for when it is applied: at most so
    /// many values and bytes of them, however small their stored form is.
    ///
    /// # Errors
    /// [`Error::CodecFault`]; [`Error::TooManyValues`] when there is more.
    pub(crate) fn foreseeing(self, stored: &[Bytes], most: (usize, usize), meter: Meter) -> Result<Self> {
        let mut decoded = Decoded::default();
        let mut bytes = 0;
        for portion in stored.chunks(FORESEEN_AT_ONCE) {
            let values = self.coder.decode_values(portion, meter)?;
            bytes += values.iter().map(Bytes::len).sum::<usize>();
            if bytes > most.1 {
                return Err(Error::TooManyValues { values: most.0, bytes: most.1 });
            }
            decoded.add(portion, values);
        }
        Ok(Self { bytes: self.bytes + decoded.bytes(), decoded: Arc::new(decoded), ..self })
    }

    /// The command in stored form.
    pub(crate) fn command(&self) -> &Command {
        &self.command
    }

    /// Whether a command that was prepared like this, or not at all, can be applied to a store with this
    /// coder without its codec being run.
    pub(crate) fn suits(prepared: Option<&Self>, coder: &Coder) -> bool {
        prepared.map_or(coder.is_natural(), |prepared| prepared.coder.agrees_with(coder))
    }

    /// The stored form, when it was made by this coder.
    pub(crate) fn for_coder(&self, coder: &Coder) -> Option<&Command> {
        self.coder.agrees_with(coder).then_some(&self.command)
    }

    /// The values that were decoded by this coder.
    pub(crate) fn decoded_for(&self, coder: &Coder) -> Option<&Decoded> {
        self.coder.agrees_with(coder).then_some(&*self.decoded)
    }

    /// About the bytes that the stored form takes, and what was decoded.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Commands in stored form: those that were prepared as they are, the others by the codec.
pub(crate) fn stored_commands<'a>(
    coder: &Coder,
    commands: &'a [Command],
    prepared: &[Option<Prepared>],
    meter: Meter,
) -> Result<Cow<'a, [Command]>> {
    if coder.is_natural() {
        return Ok(Cow::Borrowed(commands));
    }
    let ready = |nth: usize| prepared.get(nth)?.as_ref()?.for_coder(coder);
    let missing = (0..commands.len()).filter(|&nth| ready(nth).is_none());
    let missing: Vec<_> = missing.map(|nth| commands[nth].clone()).collect();
    let mut missing = encode_commands(coder, &missing, meter)?.into_iter();
    let stored = (0..commands.len()).map(|nth| ready(nth).cloned().or_else(|| missing.next()));
    Ok(Cow::Owned(stored.flatten().collect()))
}

/// The stored forms of all commands together, or, should that fail, of one after the other, which is how they
/// came when they were proposed.
fn encode_commands(coder: &Coder, commands: &[Command], meter: Meter) -> Result<Vec<Command>> {
    let together = |commands: &[Command], mapper: &mut dyn Mapper| {
        commands.iter().map(|command| map_command(command, mapper)).collect()
    };
    match stored(coder, commands, together, Role::is_judged, meter) {
        Err(Error::CodecFault { .. }) if commands.len() > 1 => {
            let alone = |command| stored(coder, command, map_command, Role::is_judged, meter);
            commands.iter().map(alone).collect()
        }
        done => done,
    }
}

/// A range request in stored form. The key of a request for one key is not verified yet: who looks it up
/// does that with what it finds (see [`Coder::decode_found`]).
pub(crate) fn stored_range(coder: &Coder, range: &RangeRequest, meter: Meter) -> Result<RangeRequest> {
    stored(coder, range, map_range, |_| false, meter)
}

/// A transaction in stored form.
pub(crate) fn stored_txn(coder: &Coder, txn: &TxnRequest, meter: Meter) -> Result<TxnRequest> {
    stored(coder, txn, map_txn, Role::is_judged, meter)
}

/// Walks a request twice: once to gather what is to be encoded, all in one call, and once to replace it.
/// Values are verified, and keys by their roles.
fn stored<R: ?Sized, S>(
    coder: &Coder,
    request: &R,
    map: impl Fn(&R, &mut dyn Mapper) -> S,
    verified: impl Fn(Role) -> bool,
    meter: Meter,
) -> Result<S> {
    let mut gathered = Gathered::default();
    map(request, &mut gathered);
    let mut encoded = gathered.encode(coder, verified, meter)?;
    let stored = map(request, &mut encoded);
    if encoded.fell_short || encoded.keys.len() + encoded.values.len() > 0 {
        return Err(Error::Internal("two walks over one request found different keys".to_owned()));
    }
    Ok(stored)
}

/// What a key in a request is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It is written.
    Written,
    /// It names one key that may or may not exist.
    Named,
    /// It bounds a range.
    Bound,
}

impl Role {
    /// Whether a wrong stored form would be a wrong answer about this key.
    fn is_judged(self) -> bool {
        self != Self::Bound
    }
}

/// Sees every key and value of a request in a fixed order and may replace them.
trait Mapper {
    fn key(&mut self, key: &Bytes, role: Role) -> Bytes;
    fn value(&mut self, key: &Bytes, value: &Bytes) -> Bytes;
}

/// The keys and values of a request, in the order of the walk.
#[derive(Default)]
struct Gathered {
    keys: Vec<Bytes>,
    roles: Vec<Role>,
    /// Values, each with its key for messages.
    values: Vec<Bytes>,
    owners: Vec<Bytes>,
}

impl Mapper for Gathered {
    fn key(&mut self, key: &Bytes, role: Role) -> Bytes {
        self.keys.push(key.clone());
        self.roles.push(role);
        key.clone()
    }

    fn value(&mut self, key: &Bytes, value: &Bytes) -> Bytes {
        self.values.push(value.clone());
        self.owners.push(key.clone());
        value.clone()
    }
}

impl Gathered {
    fn encode(self, coder: &Coder, verified: impl Fn(Role) -> bool, meter: Meter) -> Result<Encoded> {
        let verified = |part, nth: usize| part == RefusedPart::Value || verified(self.roles[nth]);
        let records = Records { keys: &self.keys, values: &self.values };
        let encoded = coder.encode(records, verified, meter)?;
        let refuse = |part, key: &Bytes, reason| coder.refused(Refusal::new(part, key, reason));
        let key = |((answer, key), role): ((Recoded, &Bytes), &Role)| {
            let answer = answer.and_then(|stored| match role {
                Role::Written => check_stored_key(&stored).map(|()| stored),
                Role::Named | Role::Bound => Ok(stored),
            });
            answer.map_err(|reason| refuse(RefusedPart::Key, key, reason))
        };
        let keys = encoded.keys.into_iter().zip(&self.keys).zip(&self.roles).map(key);
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let values = encoded.values.into_iter().zip(&self.owners);
        let values =
            values.map(|(answer, key)| answer.map_err(|reason| refuse(RefusedPart::Value, key, reason)));
        let values = values.collect::<Result<Vec<_>>>()?;
        Ok(Encoded { keys: keys.into_iter(), values: values.into_iter(), fell_short: false })
    }
}

/// The stored forms of what was gathered, handed out in the same order.
struct Encoded {
    keys: std::vec::IntoIter<Bytes>,
    values: std::vec::IntoIter<Bytes>,
    /// The walk asked for more than was gathered.
    fell_short: bool,
}

impl Encoded {
    fn taken(&mut self, next: Option<Bytes>) -> Bytes {
        self.fell_short |= next.is_none();
        next.unwrap_or_default()
    }
}

impl Mapper for Encoded {
    fn key(&mut self, _key: &Bytes, _role: Role) -> Bytes {
        let next = self.keys.next();
        self.taken(next)
    }

    fn value(&mut self, _key: &Bytes, _value: &Bytes) -> Bytes {
        let next = self.values.next();
        self.taken(next)
    }
}

/// Adds up bytes.
struct Size(usize);

impl Mapper for Size {
    fn key(&mut self, key: &Bytes, _role: Role) -> Bytes {
        self.0 += key.len();
        key.clone()
    }

    fn value(&mut self, _key: &Bytes, value: &Bytes) -> Bytes {
        self.0 += value.len();
        value.clone()
    }
}

fn map_command(command: &Command, mapper: &mut dyn Mapper) -> Command {
    match command {
        Command::Put(put) => Command::Put(map_put(put, mapper)),
        Command::DeleteRange(delete) => Command::DeleteRange(map_delete(delete, mapper)),
        Command::Txn(txn) => Command::Txn(map_txn(txn, mapper)),
        Command::Compact { revision } => Command::Compact { revision: *revision },
    }
}

fn map_put(put: &PutRequest, mapper: &mut dyn Mapper) -> PutRequest {
    let key = mapper.key(&put.key, Role::Written);
    let value = mapper.value(&put.key, &put.value);
    PutRequest { key, value, ..*put }
}

fn map_delete(delete: &DeleteRangeRequest, mapper: &mut dyn Mapper) -> DeleteRangeRequest {
    let (key, range_end) = map_span(&delete.key, &delete.range_end, mapper);
    DeleteRangeRequest { key, range_end, ..*delete }
}

fn map_range(range: &RangeRequest, mapper: &mut dyn Mapper) -> RangeRequest {
    let (key, range_end) = map_span(&range.key, &range.range_end, mapper);
    RangeRequest { key, range_end, ..*range }
}

fn map_compare(compare: &Compare, mapper: &mut dyn Mapper) -> Compare {
    let (key, range_end) = map_span(&compare.key, &compare.range_end, mapper);
    let target = match (&compare.target, compare.result) {
        (CompareTarget::Value(given), CompareResult::Equal | CompareResult::NotEqual) => {
            CompareTarget::Value(mapper.value(&compare.key, given))
        }
        (target, _) => target.clone(),
    };
    Compare { key, range_end, target, result: compare.result }
}

fn map_txn(txn: &TxnRequest, mapper: &mut dyn Mapper) -> TxnRequest {
    let compare = txn.compare.iter().map(|compare| map_compare(compare, mapper)).collect();
    let mut map_ops = |ops: &[Op]| -> Vec<Op> {
        let map_op = |op: &Op| match op {
            Op::Range(range) => Op::Range(map_range(range, mapper)),
            Op::Put(put) => Op::Put(map_put(put, mapper)),
            Op::DeleteRange(delete) => Op::DeleteRange(map_delete(delete, mapper)),
            Op::Txn(nested) => Op::Txn(map_txn(nested, mapper)),
        };
        ops.iter().map(map_op).collect()
    };
    let success = map_ops(&txn.success);
    let failure = map_ops(&txn.failure);
    TxnRequest { compare, success, failure }
}

/// Etcd's mark for «from the start», as a key, and for «to the end», as a range end.
const OPEN: &[u8] = &[0];

fn map_span(key: &Bytes, range_end: &Bytes, mapper: &mut dyn Mapper) -> (Bytes, Bytes) {
    if range_end.is_empty() {
        return (mapper.key(key, Role::Named), Bytes::new());
    }
    let start = if key == OPEN { Bytes::new() } else { mapper.key(key, Role::Bound) };
    let end = (range_end != OPEN).then(|| mapper.key(range_end, Role::Bound));
    bounds(start, end)
}

/// Key and range end for the stored keys from `start` to before `end`, by etcd's marks.
fn bounds(start: Bytes, end: Option<Bytes>) -> (Bytes, Bytes) {
    const NOTHING: (Bytes, Bytes) = (Bytes::from_static(&[1]), Bytes::from_static(&[1]));
    match end.as_deref() {
        None => (start, Bytes::from_static(OPEN)),
        Some([]) => NOTHING,
        // Only the empty key lies before the key of one zero byte.
        Some([0]) if start.is_empty() => (Bytes::new(), Bytes::new()),
        Some([0]) => NOTHING,
        Some(_) => (start, end.unwrap_or_default()),
    }
}
