//! Values are compressed against a dictionary that the configuration gives.
//!
//! Values of one volume often resemble each other more than they resemble themselves: objects of a few kinds,
//! each a kilobyte of the same field names. A dictionary holds what they have in common, so that a value that
//! is too short to be compressed by itself still becomes a few references into it.
//!
//! A stored value begins with a tag. `00`: the value follows as it is, because compression would have gained
//! nothing. `01`: the identifier of the dictionary, the length of the value, and sequences as `lz` describes
//! them. A value that names another dictionary is refused, never decoded with the wrong one. Keys stay as
//! they are.

mod lz;

use mortise_guest::format::Format;

/// Tag of a value that is stored as it is.
const PLAIN: u8 = 0;
/// Tag of a value that is compressed.
const COMPRESSED: u8 = 1;

/// Largest dictionary, in bytes.
const MAX_DICTIONARY_BYTES: usize = 32 * 1024;
/// Largest value that is decoded: far above what a request can carry. Damaged data cannot ask for more.
const MAX_VALUE_BYTES: u64 = 64 * 1024 * 1024;

/// The knobs of this format.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Identifies the dictionary, so that none is ever taken for another: at least 1 with a dictionary, 0
    /// without.
    pub id: u32,
    /// What the values have in common, the most common last; at most 32 KiB of text.
    pub dictionary: String,
    /// Values with fewer bytes are stored as they are.
    pub min_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { id: 0, dictionary: String::new(), min_bytes: 16 }
    }
}

/// Values compressed against a dictionary.
pub struct Dictionary {
    id: u32,
    min_bytes: usize,
    matcher: lz::Matcher,
}

impl Format for Dictionary {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        let Config { id, dictionary, min_bytes } = config;
        let bytes = dictionary.len();
        if bytes > MAX_DICTIONARY_BYTES {
            return Err(format!(
                "configuration: dictionary has {bytes} bytes; expected at most {MAX_DICTIONARY_BYTES}"
            ));
        }
        if (id == 0) != dictionary.is_empty() {
            return Err(format!(
                "configuration: id is {id} and dictionary has {bytes} bytes; expected an id of at least 1, \
                 new for every dictionary, or neither of the two"
            ));
        }
        Ok(Self { id, min_bytes, matcher: lz::Matcher::new(dictionary.into_bytes()) })
    }

    fn keeps_order(&self) -> bool {
        true
    }

    fn encode_value(&self, value: &[u8]) -> Result<Vec<u8>, String> {
        let mut stored = Vec::with_capacity(value.len() + 1);
        if value.len() >= self.min_bytes && value.len() as u64 <= MAX_VALUE_BYTES {
            stored.push(COMPRESSED);
            lz::push_number(&mut stored, u64::from(self.id));
            lz::push_number(&mut stored, value.len() as u64);
            if self.matcher.compress(value, &mut stored, value.len()) {
                return Ok(stored);
            }
            stored.clear();
        }
        stored.push(PLAIN);
        stored.extend_from_slice(value);
        Ok(stored)
    }

    fn decode_value(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
        match stored.split_first() {
            Some((&PLAIN, value)) => Ok(value.to_vec()),
            Some((&COMPRESSED, rest)) => self.decompress(rest),
            Some((tag, _)) => Err(format!("not a stored value: it begins with {tag:#04x}; expected 0 or 1")),
            None => Err("not a stored value: it is empty".to_owned()),
        }
    }
}

impl Dictionary {
    fn decompress(&self, mut rest: &[u8]) -> Result<Vec<u8>, String> {
        let id = lz::take_number(&mut rest)?;
        if id != u64::from(self.id) {
            return Err(format!("the value was compressed with dictionary {id}; this one is {}", self.id));
        }
        let length = lz::take_number(&mut rest)?;
        if length > MAX_VALUE_BYTES {
            return Err(format!(
                "not a stored value: {length} bytes; at most {MAX_VALUE_BYTES} are possible"
            ));
        }
        self.matcher.decompress(rest, length as usize)
    }
}

mortise_guest::export_format!(Dictionary);
