//! Byte strings for the battery of a format: what usually breaks a codec, random ones, and damaged encodings.
//!
//! Keys and values are such as clients may write, the largest value that fits a request among them, so that a
//! format's author learns what it refuses before an operator does. Garbage is for decoding only: bytes that
//! mostly are no encoding of anything, which a codec may decode or refuse, and must not fault on.
//!
//! The same seed gives the same records.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The longest key that a client may write.
const LONGEST_KEY: usize = 32_000;
/// The longest value that fits a request, about.
const LONGEST_VALUE: usize = 1_500_000;

/// Bytes that escapes are made of, and those beside them.
const SPECIAL: [u8; 9] = [0, 1, 2, b'/', b'/' + 1, 0x7f, 0x80, 0xfe, 0xff];

/// Keys: none is empty, because no client can write one, and none is there twice.
pub(super) fn keys(seed: u64, random: u64) -> Vec<Vec<u8>> {
    let mut keys = edges();
    keys.push(vec![b'k'; LONGEST_KEY / 2]);
    keys.push(b"/a".repeat(LONGEST_KEY / 8));
    keys.extend(random_records(seed, random));
    keys.retain(|key| !key.is_empty());
    keys.sort();
    keys.dedup();
    keys
}

/// Values, the empty one and a very long one among them.
pub(super) fn values(seed: u64, random: u64) -> Vec<Vec<u8>> {
    let mut values = edges();
    let mut large = vec![0; LONGEST_VALUE];
    StdRng::seed_from_u64(seed).fill(large.as_mut_slice());
    values.extend([large, vec![0; LONGEST_VALUE], b"{\"kind\":\"Pod\"}".repeat(10_000)]);
    values.extend(random_records(seed ^ 1, random));
    values.sort();
    values.dedup();
    values
}

fn edges() -> Vec<Vec<u8>> {
    let mut records = vec![Vec::new()];
    records.extend((0..=u8::MAX).map(|byte| vec![byte]));
    for one in SPECIAL {
        for other in SPECIAL {
            records.extend([vec![one, other], vec![b'a', one, b'b', other], vec![one, one, other, one]]);
        }
    }
    for length in [127, 128, 255, 256, 4_095, 4_096] {
        records.extend(SPECIAL.map(|byte| vec![byte; length]));
    }
    let paths =
        ["/", "//", "///", "a/b", "/a/b", "/a/b/", "/a//b", "/registry/pods/default/web-1", "ä/ö/日本"];
    records.extend(paths.map(|path| path.as_bytes().to_vec()));
    records
}

fn random_records(seed: u64, count: u64) -> Vec<Vec<u8>> {
    let mut random = StdRng::seed_from_u64(seed);
    let record = |random: &mut StdRng| -> Vec<u8> {
        let longest = 1_usize << random.random_range(1..10);
        let length = random.random_range(0..longest);
        let few = random.random_bool(0.5);
        let mut byte = || if few { SPECIAL[random.random_range(0..SPECIAL.len())] } else { random.random() };
        (0..length).map(|_| byte()).collect()
    };
    (0..count).map(|_| record(&mut random)).collect()
}

/// Bytes that are mostly no encoding: random ones, and encodings that were cut, extended or changed.
pub(super) fn garbage<'a>(seed: u64, encodings: impl Iterator<Item = &'a Vec<u8>>) -> Vec<Vec<u8>> {
    let mut random = StdRng::seed_from_u64(seed ^ 2);
    let mut garbage = edges();
    garbage.extend(random_records(seed ^ 3, 200));
    for stored in encodings.filter(|stored| stored.len() <= 10_000) {
        garbage.push(stored[..random.random_range(0..=stored.len())].to_vec());
        let mut longer = stored.clone();
        longer.push(random.random());
        garbage.push(longer);
        if !stored.is_empty() {
            let mut changed = stored.clone();
            let place = random.random_range(0..changed.len());
            changed[place] = SPECIAL[random.random_range(0..SPECIAL.len())];
            garbage.push(changed);
        }
    }
    garbage
}

/// The beginning of a byte string, as text where it is text.
pub(super) fn shown(bytes: &[u8]) -> String {
    const SHOWN: usize = 48;
    let more = if bytes.len() > SHOWN { format!("… ({} bytes)", bytes.len()) } else { String::new() };
    format!("\"{}\"{more}", bytes[..bytes.len().min(SHOWN)].escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_records() {
        assert_eq!(keys(1, 50), keys(1, 50));
        assert_ne!(keys(1, 50), keys(2, 50));
        assert!(values(1, 0).contains(&Vec::new()));
        assert!(keys(1, 50).iter().all(|key| !key.is_empty() && key.len() <= LONGEST_KEY));
        let stored = [b"abc".to_vec()];
        assert_eq!(garbage(1, stored.iter()), garbage(1, stored.iter()));
    }
}
