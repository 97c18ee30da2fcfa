//! The laws of a format, checked on records of your choice.
//!
//! [`records`] has what usually breaks a codec; a property test adds arbitrary bytes:
//!
//! ```
//! use mortise_guest::Random;
//! use mortise_guest::format::Format;
//! use mortise_guest::testkit::format::{check_keys, check_values, random_records, records};
//!
//! /// Stores everything backwards.
//! struct Backwards;
//!
//! impl Format for Backwards {
//!     type Config = serde_json::Value;
//!
//!     fn new(_: Self::Config) -> Result<Self, String> {
//!         Ok(Self)
//!     }
//!
//!     fn keeps_order(&self) -> bool {
//!         true
//!     }
//!
//!     fn encode_key(&self, key: &[u8]) -> Result<Vec<u8>, String> {
//!         Ok(key.iter().rev().copied().collect())
//!     }
//!
//!     fn decode_key(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
//!         self.encode_key(stored)
//!     }
//! }
//!
//! check_values(&Backwards, &random_records(&mut Random::new(1), 100)).unwrap();
//! let broken = check_keys(&Backwards, &records()).unwrap_err();
//! assert!(broken.to_string().contains("order"), "it promises more than it keeps: {broken}");
//! ```

use std::collections::BTreeMap;
use std::fmt;

use crate::Random;
use crate::format::Format;

/// A law that is broken, and the records that show it.
///
/// ```
/// use mortise_guest::testkit::format::Broken;
///
/// let (record, stored, found) = (b"A".to_vec(), b"a".to_vec(), b"a".to_vec());
/// let broken = Broken::Changed { record, stored, found };
/// assert_eq!(broken.to_string(), r#""A" became "a", which came back as "a""#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Broken {
    /// A record was refused.
    Refused {
        /// The record.
        record: Vec<u8>,
        /// The reason given.
        why: String,
    },
    /// What was encoded cannot be decoded.
    Undecodable {
        /// The record.
        record: Vec<u8>,
        /// Its encoding.
        stored: Vec<u8>,
        /// The reason given.
        why: String,
    },
    /// Decoding gave back something else.
    Changed {
        /// The record.
        record: Vec<u8>,
        /// Its encoding.
        stored: Vec<u8>,
        /// What came back.
        found: Vec<u8>,
    },
    /// Two keys have the same encoding.
    Collision {
        /// The one.
        one: Vec<u8>,
        /// The other.
        other: Vec<u8>,
        /// Their encoding.
        stored: Vec<u8>,
    },
    /// The format promises to keep the order and doesn't.
    Order {
        /// The smaller key, whose encoding is the larger.
        smaller: Vec<u8>,
        /// The larger key.
        larger: Vec<u8>,
    },
    /// Bytes were decoded that are no encoding.
    Guessed {
        /// The bytes.
        stored: Vec<u8>,
        /// What they were decoded to.
        record: Vec<u8>,
        /// What that is encoded to.
        encoding: Vec<u8>,
    },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { record, why } => write!(f, "{} was refused: {why}", shown(record)),
            Self::Undecodable { record, stored, why } => {
                write!(f, "{} became {}, which is refused: {why}", shown(record), shown(stored))
            }
            Self::Changed { record, stored, found } => {
                let (record, stored, found) = (shown(record), shown(stored), shown(found));
                write!(f, "{record} became {stored}, which came back as {found}")
            }
            Self::Collision { one, other, stored } => {
                write!(f, "{} and {} both became {}", shown(one), shown(other), shown(stored))
            }
            Self::Order { smaller, larger } => {
                let (smaller, larger) = (shown(smaller), shown(larger));
                write!(f, "the order is not kept as promised: {smaller} is stored behind {larger}")
            }
            Self::Guessed { stored, record, encoding } => {
                let (stored, record, encoding) = (shown(stored), shown(record), shown(encoding));
                write!(f, "{stored} was taken for {record}, which is stored as {encoding}: refuse it")
            }
        }
    }
}

impl std::error::Error for Broken {}

/// The beginning of a byte string, as text where it is text.
fn shown(bytes: &[u8]) -> String {
    let mut text: String =
        bytes.iter().take(60).flat_map(|byte| byte.escape_ascii()).map(char::from).collect();
    if bytes.len() > 60 {
        text.push('…');
    }
    format!("\"{text}\"")
}

/// Byte strings that usually break a codec: empty, every single byte, borders of lengths, runs of the bytes
/// that escapes are made of, paths, text that is not ASCII.
///
/// ```
/// use mortise_guest::testkit::format::records;
///
/// let records = records();
/// assert!(records.contains(&Vec::new()));
/// assert!((0..=u8::MAX).all(|byte| records.contains(&vec![byte])));
/// assert!(records.iter().any(|record| record.len() > usize::from(u16::MAX)));
/// ```
#[must_use]
pub fn records() -> Vec<Vec<u8>> {
    let mut records = vec![Vec::new()];
    records.extend((0..=u8::MAX).map(|byte| vec![byte]));
    let special = [0, 1, 2, b'/', 0x7f, 0x80, 0xfe, 0xff];
    for one in special {
        for other in special {
            records.push(vec![one, other]);
            records.push(vec![b'a', one, b'b', other]);
            records.push(vec![one, one, other, other, one]);
        }
    }
    for length in [15, 16, 127, 128, 255, 256, 4_095, 4_096, 65_535, 65_536] {
        records.push(vec![0; length]);
        records.push(b"/ab".iter().copied().cycle().take(length).collect());
        records.push((0..length).map(|at| (at % 251) as u8).collect());
    }
    let paths =
        ["/", "//", "///", "a/b", "/a/b", "/a/b/", "/a//b", "/registry/pods/default/web-1", "ä/ö/日本"];
    records.extend(paths.map(|path| path.as_bytes().to_vec()));
    records
}

/// Random byte strings of all sorts: uniform bytes, few different bytes, paths, repetitions.
///
/// ```
/// use mortise_guest::Random;
/// use mortise_guest::testkit::format::random_records;
///
/// let records = random_records(&mut Random::new(1), 100);
/// assert_eq!(records.len(), 100);
/// assert_eq!(records, random_records(&mut Random::new(1), 100));
/// ```
#[must_use]
pub fn random_records(random: &mut Random, count: usize) -> Vec<Vec<u8>> {
    let record = |random: &mut Random| -> Vec<u8> {
        let longest = 1 << random.below(10);
        let length = random.below(longest);
        let sort = random.below(4);
        let alphabet: &[u8] = match sort {
            0 => &[],
            1 => &[0, 1, 0xfe, 0xff],
            2 => b"//ab",
            _ => b"abcdefgh",
        };
        let mut record = Vec::new();
        for _ in 0..length {
            let from = random.below(record.len() as u64 + 1) as usize;
            match (sort, alphabet.len() as u64) {
                (3, _) if random.below(3) == 0 && !record.is_empty() => {
                    record.extend_from_within(from..record.len().min(from + 20));
                }
                (_, 0) => record.push(random.next_u64() as u8),
                (_, letters) => record.push(alphabet[random.below(letters) as usize]),
            }
        }
        record
    };
    (0..count).map(|_| record(random)).collect()
}

/// Checks that keys come back, that no two have the same encoding, and that the order is kept if promised.
///
/// ```
/// use mortise_guest::format::Format;
/// use mortise_guest::testkit::format::{Broken, check_keys};
///
/// /// Forgets which letters were capital.
/// struct Lowercase;
///
/// impl Format for Lowercase {
///     type Config = serde_json::Value;
///
///     fn new(_: Self::Config) -> Result<Self, String> {
///         Ok(Self)
///     }
///
///     fn keeps_order(&self) -> bool {
///         false
///     }
///
///     fn encode_key(&self, key: &[u8]) -> Result<Vec<u8>, String> {
///         Ok(key.to_ascii_lowercase())
///     }
/// }
///
/// let (record, stored, found) = (b"A".to_vec(), b"a".to_vec(), b"a".to_vec());
/// let broken = Broken::Changed { record, stored, found };
/// assert_eq!(check_keys(&Lowercase, &[b"a".to_vec()]), Ok(()));
/// assert_eq!(check_keys(&Lowercase, &[b"a".to_vec(), b"A".to_vec()]), Err(broken));
/// ```
///
/// # Errors
/// The first law that is broken.
pub fn check_keys<F: Format>(format: &F, keys: &[Vec<u8>]) -> Result<(), Broken> {
    let mut encodings = BTreeMap::new();
    for key in keys {
        let stored = round_trip(key, |key| format.encode_key(key), |stored| format.decode_key(stored))?;
        match encodings.insert(stored.clone(), key) {
            Some(other) if other != key => {
                return Err(Broken::Collision { one: other.clone(), other: key.clone(), stored });
            }
            _ => {}
        }
    }
    if format.keeps_order() {
        let in_order: Vec<_> = encodings.values().collect();
        if let Some(pair) = in_order.windows(2).find(|pair| pair[0] > pair[1]) {
            return Err(Broken::Order { smaller: pair[1].to_vec(), larger: pair[0].to_vec() });
        }
    }
    Ok(())
}

/// Checks that byte strings are refused as stored keys unless they are what a key is encoded to. Give it
/// anything, and encodings with a few bytes changed.
///
/// ```
/// use mortise_guest::format::Format;
/// use mortise_guest::testkit::format::{Broken, check_stored_keys};
///
/// /// Marks keys with a first byte, and takes those without it, too.
/// struct Lenient;
///
/// impl Format for Lenient {
///     type Config = serde_json::Value;
///
///     fn new(_: Self::Config) -> Result<Self, String> {
///         Ok(Self)
///     }
///
///     fn keeps_order(&self) -> bool {
///         true
///     }
///
///     fn encode_key(&self, key: &[u8]) -> Result<Vec<u8>, String> {
///         Ok([&b"k"[..], key].concat())
///     }
///
///     fn decode_key(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
///         Ok(stored.strip_prefix(b"k").unwrap_or(stored).to_vec())
///     }
/// }
///
/// let (stored, record, encoding) = (b"a".to_vec(), b"a".to_vec(), b"ka".to_vec());
/// let broken = Broken::Guessed { stored, record, encoding };
/// assert_eq!(check_stored_keys(&Lenient, &[b"ka".to_vec()]), Ok(()));
/// assert_eq!(check_stored_keys(&Lenient, &[b"a".to_vec()]), Err(broken));
/// ```
///
/// # Errors
/// The first byte string that was guessed at.
pub fn check_stored_keys<F: Format>(format: &F, stored: &[Vec<u8>]) -> Result<(), Broken> {
    for stored in stored {
        let Ok(record) = format.decode_key(stored) else { continue };
        let encoding = format.encode_key(&record);
        if encoding.as_ref() != Ok(stored) {
            let encoding = encoding.unwrap_or_default();
            return Err(Broken::Guessed { stored: stored.clone(), record, encoding });
        }
    }
    Ok(())
}

/// Checks that values come back.
///
/// ```
/// use mortise_guest::format::Format;
/// use mortise_guest::testkit::format::check_values;
///
/// /// Drops spaces at the end, and has no way back.
/// struct Trimmed;
///
/// impl Format for Trimmed {
///     type Config = serde_json::Value;
///
///     fn new(_: Self::Config) -> Result<Self, String> {
///         Ok(Self)
///     }
///
///     fn keeps_order(&self) -> bool {
///         true
///     }
///
///     fn encode_value(&self, value: &[u8]) -> Result<Vec<u8>, String> {
///         Ok(value.trim_ascii_end().to_vec())
///     }
/// }
///
/// assert_eq!(check_values(&Trimmed, &[b"text".to_vec()]), Ok(()));
/// let broken = check_values(&Trimmed, &[b"text ".to_vec()]).unwrap_err();
/// assert_eq!(broken.to_string(), r#""text " became "text", which came back as "text""#);
/// ```
///
/// # Errors
/// The first law that is broken.
pub fn check_values<F: Format>(format: &F, values: &[Vec<u8>]) -> Result<(), Broken> {
    for value in values {
        round_trip(value, |value| format.encode_value(value), |stored| format.decode_value(stored))?;
    }
    Ok(())
}

fn round_trip(
    record: &[u8],
    encode: impl Fn(&[u8]) -> Result<Vec<u8>, String>,
    decode: impl Fn(&[u8]) -> Result<Vec<u8>, String>,
) -> Result<Vec<u8>, Broken> {
    let stored = encode(record).map_err(|why| Broken::Refused { record: record.to_vec(), why })?;
    match decode(&stored) {
        Ok(found) if found == record => Ok(stored),
        Ok(found) => Err(Broken::Changed { record: record.to_vec(), stored, found }),
        Err(why) => Err(Broken::Undecodable { record: record.to_vec(), stored, why }),
    }
}
