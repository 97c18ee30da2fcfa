//! What a call of a plugin takes for the world: a clock, randomness, and where its printing goes.
//!
//! Everything follows from the call's time and seed, so the same call meets the same world on every machine
//! and, because randomness is made of SHA-256, in every version of the host. Time moves by looking at it and
//! by waiting, so that a loop that waits for time to pass comes to an end. Nothing overflows, whatever a
//! plugin asks for, and what it can make the host keep is bounded: a line for each stream, and 1,000
//! pollables.

use sha2::{Digest as _, Sha256};
use wasmtime::component::{Resource, ResourceTable};

/// Nanoseconds that pass whenever the plugin looks at a clock. A loop that waits for time to pass ends, and
/// what is measured takes longer than nothing.
const GLANCE_NANOS: u64 = 1_000;

/// Most bytes of randomness for one request.
pub(super) const MOST_RANDOM_BYTES: u64 = 1 << 20;

/// Bytes of a printed line that are kept until its end comes.
const LINE_BYTES: usize = 1024;

/// Something that a plugin can wait for: a moment, in nanoseconds since the begin of the call.
pub(crate) struct Pollable {
    pub(crate) at: u64,
}

/// Most pollables at a time. Each costs the host memory that the limits of a call don't count.
const MOST_POLLABLES: usize = 1_000;

/// The world of one call.
#[derive(Debug)]
pub(crate) struct Virtual {
    /// Unix time at the begin of the call, in milliseconds.
    now: u64,
    /// Nanoseconds since then.
    elapsed: u64,
    seed: u64,
    /// Blocks of randomness drawn so far.
    drawn: u64,
    pub(crate) pollables: ResourceTable,
    lines: [Vec<u8>; 2],
}

/// Where a plugin prints to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Print {
    Out,
    Err,
}

impl Default for Virtual {
    fn default() -> Self {
        let mut pollables = ResourceTable::new();
        pollables.set_max_capacity(MOST_POLLABLES);
        Self { now: 0, elapsed: 0, seed: 0, drawn: 0, pollables, lines: Default::default() }
    }
}

impl Virtual {
    /// A call begins. What an instance holds on to from an earlier one stays.
    pub(crate) fn begin(&mut self, now: u64, seed: u64) {
        (self.now, self.seed) = (now, seed);
        (self.elapsed, self.drawn) = (0, 0);
    }

    /// Nanoseconds since the begin of the call.
    pub(crate) fn glance(&mut self) -> u64 {
        self.elapsed = self.elapsed.saturating_add(GLANCE_NANOS);
        self.elapsed
    }

    /// Unix time as seconds and nanoseconds.
    pub(crate) fn wall(&mut self) -> (u64, u32) {
        const NANOS: u128 = 1_000_000_000;
        let nanos = u128::from(self.now) * 1_000_000 + u128::from(self.glance());
        let seconds = u64::try_from(nanos / NANOS).unwrap_or(u64::MAX);
        (seconds, u32::try_from(nanos % NANOS).unwrap_or_default())
    }

    /// Something that is ready at a moment.
    pub(crate) fn ready_at(&mut self, at: u64) -> wasmtime::Result<Resource<Pollable>> {
        self.pollables.push(Pollable { at }).map_err(|_| {
            wasmtime::Error::msg(format!("it waits for more than {MOST_POLLABLES} things at once"))
        })
    }

    /// Something that is ready after some nanoseconds.
    pub(crate) fn ready_after(&mut self, nanos: u64) -> wasmtime::Result<Resource<Pollable>> {
        self.ready_at(self.elapsed.saturating_add(nanos))
    }

    pub(crate) fn is_ready(&self, pollable: &Resource<Pollable>) -> wasmtime::Result<bool> {
        Ok(self.pollables.get(pollable)?.at <= self.elapsed)
    }

    /// Waits for the first of `all`, which takes no time but the plugin's, and tells which are ready.
    pub(crate) fn poll(&mut self, all: &[Resource<Pollable>]) -> wasmtime::Result<Vec<u32>> {
        let moments: Vec<u64> =
            all.iter().map(|one| Ok(self.pollables.get(one)?.at)).collect::<wasmtime::Result<_>>()?;
        let Some(first) = moments.iter().min() else {
            return Err(wasmtime::Error::msg("it waited for nothing at all, which would never end"));
        };
        self.elapsed = self.elapsed.max(*first);
        Ok((0..).zip(moments).filter(|(_, at)| *at <= self.elapsed).map(|(index, _)| index).collect())
    }

    /// So many bytes that follow from the seed, further ones with each request. They are blocks of SHA-256
    /// over seed and number, so that they stay the same in all versions of the host.
    pub(crate) fn random(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        if length > MOST_RANDOM_BYTES {
            let text = format!("it asked for {length} random bytes at once; there are {MOST_RANDOM_BYTES}");
            return Err(wasmtime::Error::msg(text));
        }
        let length = usize::try_from(length)?;
        let mut bytes = Vec::with_capacity(length + 32);
        while bytes.len() < length {
            let block = Sha256::new()
                .chain_update(b"mortise wasi-minimal random")
                .chain_update(self.seed.to_le_bytes())
                .chain_update(self.drawn.to_le_bytes());
            bytes.extend_from_slice(&block.finalize());
            self.drawn += 1;
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    pub(crate) fn random_u64(&mut self) -> wasmtime::Result<u64> {
        let bytes = self.random(8)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Takes what is printed and tells each line that is complete, one at a time: a message of nothing but
    /// ends of lines must not become a list that is many times larger.
    pub(crate) fn print(&mut self, to: Print, bytes: &[u8], mut tell: impl FnMut(&str)) {
        let line = &mut self.lines[usize::from(to == Print::Err)];
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            line.extend_from_slice(&text[..text.len().min(LINE_BYTES - line.len())]);
            if ends {
                tell(&String::from_utf8_lossy(line));
                line.clear();
            }
        }
    }

    /// What was printed without an end of line.
    pub(crate) fn last_lines(&mut self) -> Vec<(Print, String)> {
        let lines = [Print::Out, Print::Err].into_iter().zip(std::mem::take(&mut self.lines));
        lines
            .filter(|(_, line)| !line.is_empty())
            .map(|(to, line)| (to, String::from_utf8_lossy(&line).into_owned()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(now: u64, seed: u64) -> Virtual {
        let mut it = Virtual::default();
        it.begin(now, seed);
        it
    }

    #[test]
    fn randomness_follows_from_the_seed() {
        let draw = |seed| world(0, seed).random(100).unwrap();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let mut it = world(0, 7);
        let (first, second) = (it.random(32).unwrap(), it.random(32).unwrap());
        assert_ne!(first, second);
        assert_eq!(first, draw(7)[..32]);
        assert!(it.random(u64::MAX).is_err());
        assert_eq!(it.random(0).unwrap(), [0; 0]);
    }

    #[test]
    fn time_passes_by_looking_and_by_waiting_only() {
        let mut it = world(1_700_000_000_123, 0);
        assert_eq!(it.wall(), (1_700_000_000, 123_001_000));
        assert_eq!(it.glance(), 2_000);
        let (soon, late) = (it.ready_after(5_000).unwrap(), it.ready_after(1 << 62).unwrap());
        assert!(!it.is_ready(&soon).unwrap());
        assert_eq!(it.poll(&[late, soon]).unwrap(), [1]);
        assert_eq!(it.glance(), 8_000);
        assert!(it.poll(&[]).is_err());
    }

    #[test]
    fn no_more_than_so_many_waits_are_kept() {
        let mut it = world(0, 0);
        let kept: Vec<_> = (0..MOST_POLLABLES).map(|_| it.ready_after(1).unwrap()).collect();
        assert!(it.ready_after(1).is_err());
        it.pollables.delete(Resource::<Pollable>::new_own(kept[0].rep())).unwrap();
        assert!(it.ready_after(1).is_ok());
    }

    #[test]
    fn times_and_waits_do_not_overflow() {
        let mut it = world(u64::MAX, 0);
        let never = it.ready_after(u64::MAX).unwrap();
        assert_eq!(it.poll(&[never]).unwrap(), [0]);
        assert_eq!(it.glance(), u64::MAX);
        it.wall();
    }

    #[test]
    fn lines_are_cut_and_kept_apart() {
        let mut it = world(0, 0);
        let mut print = |to, bytes: &[u8]| {
            let mut told = Vec::new();
            it.print(to, bytes, |line| told.push(line.to_owned()));
            told
        };
        assert_eq!(print(Print::Out, b"one\ntw"), ["one"]);
        assert_eq!(print(Print::Err, b"panic"), [""; 0]);
        assert_eq!(print(Print::Out, b"o\n\n"), ["two", ""]);
        assert_eq!(print(Print::Out, &[b'x'; 700]), [""; 0]);
        print(Print::Out, &[b'x'; 5_000]);
        let last = it.last_lines();
        assert_eq!(last[0], (Print::Out, "x".repeat(LINE_BYTES)));
        assert_eq!(last[1], (Print::Err, "panic".to_owned()));
        assert!(it.last_lines().is_empty());
    }
}
