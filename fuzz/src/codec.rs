//! Any answers of a format, through everything that the host does with them, below a store.
//!
//! A format answers here as its component does to the runtime: too much, too little, refusals, bytes that
//! lead back to something else or to nothing, the same bytes for different keys. Its answers go the host's
//! way (the runtime's check, the mechanisms' translation, the kernel's verification) into a store. A format
//! is a function of bytes by contract, so what it makes of a record is drawn once for each input; how it
//! fails, for each call.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use mortise_kernel::format::{
    Answer as Stored, Codec, CodecFault, Coder, FormatId, Meter, Prepared, RecodedRecords, Records,
};
use mortise_kernel::kv::{Command, CommandResponse, DeleteRangeRequest, PutRequest, RangeRequest};
use mortise_kernel::store::{Applied, Store, StoreConfig};
use mortise_mechanisms::recoded;
use mortise_plugin_runtime::format::Translated;
use mortise_plugin_runtime::{Fault, FaultKind};

use super::draw::Draw;

/// Operations of one input.
const MOST_OPERATIONS: usize = 24;

/// Long keys and values, which some answers make too long.
const LONG: usize = 31_990;

type Answer = Result<Vec<u8>, String>;

/// What the format of an input does.
#[derive(Default)]
struct Nature {
    /// What is left of the input for it.
    bytes: Vec<u8>,
    drawn: usize,
    /// What was answered to each record, by function.
    known: HashMap<(u8, Vec<u8>), Answer>,
    /// Whether calls fail, too.
    fails: bool,
}

impl Nature {
    fn byte(&mut self) -> u8 {
        self.drawn += 1;
        self.bytes.get(self.drawn - 1).copied().unwrap_or_default()
    }

    /// The answer to a record; `honest` is the right one.
    fn answer(&mut self, function: u8, record: &[u8], honest: Answer) -> Answer {
        if let Some(known) = self.known.get(&(function, record.to_vec())) {
            return known.clone();
        }
        let answer = match self.byte() {
            // Mostly it does what it should.
            0..=175 => honest,
            176..=191 => Err(format!("no\u{2028}{}", self.byte())),
            192..=207 => Ok(Vec::new()),
            208..=215 => honest.map(|mut bytes| {
                bytes.pop();
                bytes
            }),
            216..=223 => Ok(b"ka".to_vec()),
            224..=231 => Ok(b"vx".to_vec()),
            232..=239 => honest.map(|bytes| [&bytes[..], b"!"].concat()),
            240..=243 => honest.map(|bytes| [&bytes[..], &[b'.'; 64]].concat()),
            _ => Ok((0..self.byte() % 8).map(|_| self.byte()).collect()),
        };
        self.known.insert((function, record.to_vec()), answer.clone());
        answer
    }

    fn answers(&mut self, function: u8, records: &[Bytes], honest: impl Fn(&[u8]) -> Answer) -> Vec<Answer> {
        let mut answers: Vec<_> =
            records.iter().map(|record| self.answer(function, record, honest(record))).collect();
        if self.fails {
            match self.byte() {
                248..=250 => drop(answers.pop()),
                251..=253 => answers.push(Ok(b"one more".to_vec())),
                _ => {}
            }
        }
        answers
    }

    fn call(&mut self) -> Result<(), Fault> {
        let kind = match if self.fails { self.byte() } else { 0 } {
            249 => FaultKind::Trap,
            250 => FaultKind::Deadline,
            251 => FaultKind::Fuel,
            252 => FaultKind::Memory,
            253 => FaultKind::AnswerTooLarge,
            254 => FaultKind::Busy,
            _ => return Ok(()),
        };
        Err(Fault { kind, detail: "as drawn".to_owned() })
    }
}

struct Drawn {
    id: FormatId,
    nature: Arc<Mutex<Nature>>,
}

impl Drawn {
    /// The host's way of an answer, from the component to the kernel. Functions are told by number.
    fn host(&self, way: u8, records: Records<'_>) -> Result<RecodedRecords, CodecFault> {
        let mut nature = self.nature.lock().unwrap_or_else(PoisonError::into_inner);
        let translated = nature.call().and_then(|()| {
            let told = |letter: u8| {
                move |record: &[u8]| match way {
                    0 => Ok([&[letter], record].concat()),
                    _ => {
                        record.strip_prefix(&[letter]).map(<[u8]>::to_vec).ok_or_else(|| "whose?".to_owned())
                    }
                }
            };
            let keys = nature.answers(way, records.keys, told(b'k'));
            let values = nature.answers(way + 2, records.values, told(b'v'));
            Translated { keys, values }.heard(records.keys.len(), records.values.len())
        });
        recoded(translated)
    }
}

impl Codec for Drawn {
    fn id(&self) -> &FormatId {
        &self.id
    }

    fn keeps_order(&self) -> bool {
        false
    }

    fn encode(&self, records: Records<'_>, _: Meter) -> Result<RecodedRecords, CodecFault> {
        self.host(0, records)
    }

    fn decode(&self, stored: Records<'_>, _: Meter) -> Result<RecodedRecords, CodecFault> {
        self.host(1, stored)
    }
}

/// A store in a format, and what it must hold.
struct Bench {
    store: Store,
    content: BTreeMap<Bytes, Bytes>,
    log: Vec<Command>,
}

/// Runs requests of an input on a store whose format answers as the input says.
///
/// # Panics
/// When an answer to a request is neither an error nor what was written, when an error leaves something
/// behind, or when what was accepted is not there after a replay.
pub(crate) fn format_answers(bytes: &[u8]) {
    let (requests, nature) = bytes.split_at(bytes.len() / 3);
    let nature = Nature { bytes: nature.to_vec(), fails: true, ..Nature::default() };
    let nature = Arc::new(Mutex::new(nature));
    let mut bench = Bench::open(&nature);
    let mut draw = Draw::new(requests);
    for _ in 0..MOST_OPERATIONS {
        if !draw.goes_on() {
            break;
        }
        bench.operation(&mut draw);
    }
    // The log holds what was accepted, in user form; the codec runs on it anew, and has no bad moments then.
    nature.lock().unwrap_or_else(PoisonError::into_inner).fails = false;
    bench.everything();
    let mut replayed = Bench::open(&nature);
    for command in &bench.log {
        drop(replayed.apply(command, None).expect("what was accepted passes again"));
    }
    replayed.content = bench.content;
    replayed.everything();
}

impl Bench {
    fn open(nature: &Arc<Mutex<Nature>>) -> Self {
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let directory = directory.expect("a directory");
        let id = FormatId {
            name: "drawn".into(),
            version: "1.0.0".into(),
            digest: Some("ab".repeat(32)),
            config: "{}".into(),
        };
        let mut config = StoreConfig::new(directory.path().join("tree"));
        config.coder = Coder::new(Arc::new(Drawn { id, nature: Arc::clone(nature) }));
        config.tenure = Some(Arc::new(directory));
        Self { store: Store::open(config).expect("a store"), content: BTreeMap::new(), log: Vec::new() }
    }

    fn operation(&mut self, draw: &mut Draw<'_>) {
        let (sort, key) = (draw.byte() % 8, key(draw.byte()));
        match sort {
            0..=3 => {
                let value = value(draw.byte());
                let put = PutRequest { key: key.clone(), value: value.clone(), ..PutRequest::default() };
                if self.proposed(Command::Put(put)).is_some() {
                    self.content.insert(key, value);
                }
            }
            4 => {
                let delete = DeleteRangeRequest { key: key.clone(), ..DeleteRangeRequest::default() };
                if let Some(answer) = self.proposed(Command::DeleteRange(delete)) {
                    let there = i64::from(self.content.remove(&key).is_some());
                    if let Ok(CommandResponse::DeleteRange(answer)) = answer {
                        assert_eq!(answer.deleted, there, "of {key:?}");
                    }
                }
            }
            5 => self.everything(),
            _ => self.get(&key),
        }
    }

    /// As a request goes: the codec runs on it first, and only what it takes is logged and applied.
    fn proposed(&mut self, command: Command) -> Option<Result<CommandResponse, mortise_kernel::Error>> {
        let prepared = self.store.prepare(&command, Meter::of_long_work()).ok()?;
        let applied = self.apply(&command, Some(prepared));
        let answer = applied.expect("the codec does not run again on what it ran on");
        self.log.push(command);
        Some(answer.and_then(|answer| answer.decode(Meter::of_long_work())))
    }

    fn apply(
        &self,
        command: &Command,
        prepared: Option<Option<Prepared>>,
    ) -> Result<Result<Stored, mortise_kernel::Error>, mortise_kernel::Error> {
        let index = self.store.applied().index + 1;
        let position = Applied { index, opaque: Bytes::new() };
        let prepared: Vec<_> = prepared.into_iter().collect();
        let mut answers = self.store.apply_prepared(position, std::slice::from_ref(command), &prepared)?;
        Ok(answers.pop().expect("one answer"))
    }

    /// A read of one key is about that key, or an error.
    fn get(&self, key: &Bytes) {
        let request = RangeRequest { key: key.clone(), ..RangeRequest::default() };
        let Ok(found) = self.store.range(&request, Meter::of_long_work()) else { return };
        let found: Vec<_> = found.kvs.into_iter().map(|kv| (kv.key, kv.value)).collect();
        let expected = self.content.get(key).map(|value| (key.clone(), value.clone()));
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "of {key:?}");
    }

    /// A read of all keys finds what was written, or is an error.
    fn everything(&self) {
        let open = Bytes::from_static(b"\0");
        let request = RangeRequest { key: open.clone(), range_end: open, ..RangeRequest::default() };
        let Ok(found) = self.store.range(&request, Meter::of_long_work()) else { return };
        let found: BTreeMap<_, _> = found.kvs.into_iter().map(|kv| (kv.key, kv.value)).collect();
        assert_eq!(found, self.content);
    }
}

fn key(byte: u8) -> Bytes {
    match byte % 8 {
        7 => vec![b'k'; LONG].into(),
        6 => Bytes::from_static(b"ka"),
        number => vec![b'a' + number].into(),
    }
}

fn value(byte: u8) -> Bytes {
    match byte % 8 {
        7 => vec![b'x'; 70_000].into(),
        6 => Bytes::new(),
        number => vec![b'v'; usize::from(number) + 1].into(),
    }
}
