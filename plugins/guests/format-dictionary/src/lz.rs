//! A small Lempel-Ziv codec: repeated bytes become references to where they stood before, in the dictionary
//! or in the value itself.
//!
//! Compressed data is a series of sequences. Each is a byte with the number of literals (upper half) and the
//! length of the match less four (lower half), where 15 means that a number with the rest follows; then the
//! literals; then the distance back to the match, counted over the dictionary and the value behind it. The
//! last sequence has literals only: the value is complete after them. Numbers have seven bits to a byte, the
//! lowest first, with the top bit set on all bytes but the last.

use std::cell::RefCell;

/// Shortest match. Shorter ones cost as much as they save.
const MIN_MATCH: usize = 4;
/// A half byte that says that a number follows.
const MORE: usize = 15;
/// Bits of a hash.
const HASH_BITS: u32 = 12;
/// Tries without a match after which a position is passed over with each further try.
const PATIENCE_BITS: u32 = 5;

/// Finds and follows references.
pub(crate) struct Matcher {
    dictionary: Vec<u8>,
    /// Position plus one in the dictionary, by hash; 0 for none.
    known: Vec<u32>,
    recent: RefCell<Recent>,
}

/// Positions of the value at work, by hash. Used for one value after the other without clearing: an entry is
/// of this value when it is not less than `base`.
struct Recent {
    places: Vec<u32>,
    base: u32,
    /// Where the next value's entries begin.
    next: u32,
}

/// A place that repeats what stands at a position.
#[derive(Clone, Copy)]
struct Match {
    length: usize,
    distance: usize,
}

impl Matcher {
    pub(crate) fn new(dictionary: Vec<u8>) -> Self {
        let mut known = vec![0; 1 << HASH_BITS];
        // Later places win: they are closer, so that distances to them are shorter.
        for (position, window) in dictionary.windows(MIN_MATCH).enumerate() {
            known[hash(window)] = position as u32 + 1;
        }
        let recent = Recent { places: vec![0; 1 << HASH_BITS], base: 1, next: 1 };
        Self { dictionary, known, recent: RefCell::new(recent) }
    }

    /// Appends the value in compressed form, unless `stored` would become longer than `limit`.
    pub(crate) fn compress(&self, value: &[u8], stored: &mut Vec<u8>, limit: usize) -> bool {
        let mut recent = self.recent.borrow_mut();
        recent.begin(value.len());
        let (mut at, mut literals, mut misses) = (0, 0, 0_usize);
        while at + MIN_MATCH <= value.len() {
            let Some(found) = self.find(value, at, &mut recent) else {
                misses += 1;
                at += 1 + (misses >> PATIENCE_BITS);
                continue;
            };
            push_sequence(stored, &value[literals..at], Some(found));
            if stored.len() > limit {
                return false;
            }
            at += found.length;
            literals = at;
            misses = 0;
        }
        push_sequence(stored, &value[literals..], None);
        stored.len() <= limit
    }

    /// The better of two candidates, and whether it is worth its reference.
    fn find(&self, value: &[u8], at: usize, recent: &mut Recent) -> Option<Match> {
        let hash = hash(&value[at..]);
        let here = value.get(at..)?;
        let inside = recent
            .exchange(hash, at)
            .map(|place| Match { length: common(&value[place..], here), distance: at - place });
        let outside = self.known[hash].checked_sub(1).map(|place| Match {
            length: common(&self.dictionary[place as usize..], here),
            distance: self.dictionary.len() - place as usize + at,
        });
        let longest = match (inside, outside) {
            (Some(inside), Some(outside)) if outside.length > inside.length => Some(outside),
            (inside, outside) => inside.or(outside),
        };
        longest.filter(|found| found.length >= MIN_MATCH.max(2 + bytes_of(found.distance)))
    }

    /// Gives back the value of so many bytes.
    ///
    /// # Errors
    /// Why this is no compressed value.
    pub(crate) fn decompress(&self, mut rest: &[u8], length: usize) -> Result<Vec<u8>, String> {
        // A length that is a lie must not cost memory before it is found out.
        let mut value = Vec::with_capacity(length.min(rest.len().saturating_mul(16)));
        loop {
            let (half, after) = rest.split_first().ok_or("not a stored value: it ends too early")?;
            rest = after;
            let literals = take_length(usize::from(half >> 4), &mut rest)?;
            let (plain, after) =
                rest.split_at_checked(literals).ok_or("not a stored value: it ends within its text")?;
            rest = after;
            value.extend_from_slice(plain);
            if value.len() >= length {
                let complete = value.len() == length && rest.is_empty() && half & 0x0f == 0;
                return if complete { Ok(value) } else { Err(too_long(length)) };
            }
            let matched = take_length(usize::from(half & 0x0f), &mut rest)?.saturating_add(MIN_MATCH);
            if matched > length - value.len() {
                return Err(too_long(length));
            }
            let distance = take_number(&mut rest)?;
            self.repeat(&mut value, distance, matched)?;
        }
    }

    /// Appends what stands so far back in the dictionary and the value.
    fn repeat(&self, value: &mut Vec<u8>, distance: u64, mut length: usize) -> Result<(), String> {
        let end = self.dictionary.len() + value.len();
        let mut from = usize::try_from(distance)
            .ok()
            .filter(|distance| *distance > 0)
            .and_then(|distance| end.checked_sub(distance))
            .ok_or_else(|| format!("not a stored value: it refers {distance} bytes back, {end} are there"))?;
        if let Some(known) = self.dictionary.get(from..) {
            let some = length.min(known.len());
            value.extend_from_slice(&known[..some]);
            from += some;
            length -= some;
        }
        // A match may reach into what it makes, as a run of equal bytes does.
        while length > 0 {
            let from_value = from - self.dictionary.len();
            let some = length.min(value.len() - from_value);
            value.extend_from_within(from_value..from_value + some);
            from += some;
            length -= some;
        }
        Ok(())
    }
}

impl Recent {
    /// A value of so many bytes begins.
    fn begin(&mut self, length: usize) {
        let next = u32::try_from(length).ok().and_then(|length| self.next.checked_add(length));
        if let Some(next) = next {
            (self.base, self.next) = (self.next, next);
            return;
        }
        self.places.fill(0);
        (self.base, self.next) = (1, (length as u32).saturating_add(1));
    }

    /// Notes a position, and gives the one that was noted before under the same hash.
    fn exchange(&mut self, hash: usize, at: usize) -> Option<usize> {
        let before = std::mem::replace(&mut self.places[hash], self.base + at as u32);
        before.checked_sub(self.base).map(|place| place as usize)
    }
}

fn hash(bytes: &[u8]) -> usize {
    let four = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    (four.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize
}

/// How many bytes two byte strings have in common at their beginnings.
fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// Bytes that a number takes.
fn bytes_of(number: usize) -> usize {
    let bits = usize::BITS - number.leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

fn push_sequence(stored: &mut Vec<u8>, literals: &[u8], found: Option<Match>) {
    let extra = found.map_or(0, |found| found.length - MIN_MATCH);
    stored.push((literals.len().min(MORE) << 4 | extra.min(MORE)) as u8);
    if literals.len() >= MORE {
        push_number(stored, (literals.len() - MORE) as u64);
    }
    stored.extend_from_slice(literals);
    if let Some(found) = found {
        if extra >= MORE {
            push_number(stored, (extra - MORE) as u64);
        }
        push_number(stored, found.distance as u64);
    }
}

/// The rest of a length whose half byte was read.
fn take_length(half: usize, rest: &mut &[u8]) -> Result<usize, String> {
    if half < MORE {
        return Ok(half);
    }
    let more = usize::try_from(take_number(rest)?).unwrap_or(usize::MAX);
    Ok(more.saturating_add(MORE))
}

/// Appends a number.
pub(crate) fn push_number(stored: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        stored.push(number as u8 | 0x80);
        number >>= 7;
    }
    stored.push(number as u8);
}

/// Reads a number.
///
/// # Errors
/// When there is none, or it does not fit 63 bits.
pub(crate) fn take_number(rest: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0;
    for place in 0..9 {
        let (byte, after) = rest.split_first().ok_or("not a stored value: it ends within a number")?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("not a stored value: a number in it has no end".to_owned())
}

fn too_long(length: usize) -> String {
    format!("not a stored value: it holds something else than the {length} bytes that it announces")
}
