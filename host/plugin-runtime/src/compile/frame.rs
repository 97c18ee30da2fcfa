//! What parent and child say to each other: one request in, one answer out, numbers little-endian.
//!
//! Both are the same program, so the version is there to notice a wiring mistake, not to be negotiated. The
//! child is trusted no more than what it compiles: it may be ended by the system at any byte. An answer
//! counts only when it is whole, neither shorter nor longer than it says; everything else counts as no
//! answer.

use std::io::{self, Read, Write};
use std::time::Duration;

use super::CompileLimits;

/// First bytes of a request.
const MAGIC: &[u8; 16] = b"mortise-compile1";

/// Bytes before the component: magic, processor seconds, memory, size of the component.
const HEAD_BYTES: usize = MAGIC.len() + 3 * size_of::<u64>();

/// First byte of an answer that holds a compiled component.
const COMPILED: u8 = b'+';
/// First byte of an answer that says why there is none.
const REFUSED: u8 = b'-';

/// What the child is told before it binds itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Processor time, in seconds.
    pub(super) cpu_seconds: u64,
    /// Bytes of address space beyond what it has at its start.
    pub(super) memory_bytes: u64,
    /// Bytes of the component that follows.
    pub(super) component_bytes: u64,
}

impl Head {
    pub(super) fn new(limits: &CompileLimits, component: &[u8]) -> Self {
        Self {
            cpu_seconds: limits.cpu.max(Duration::from_secs(1)).as_secs(),
            memory_bytes: limits.memory_bytes,
            component_bytes: component.len() as u64,
        }
    }

    pub(super) fn write(&self, output: &mut impl Write) -> io::Result<()> {
        output.write_all(MAGIC)?;
        for number in [self.cpu_seconds, self.memory_bytes, self.component_bytes] {
            output.write_all(&number.to_le_bytes())?;
        }
        Ok(())
    }

    pub(super) fn read(input: &mut impl Read) -> io::Result<Self> {
        let mut bytes = [0; HEAD_BYTES];
        input.read_exact(&mut bytes)?;
        let (magic, numbers) = bytes.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(io::Error::other("this is not a request of the plugin runtime"));
        }
        let mut numbers = numbers
            .chunks_exact(size_of::<u64>())
            .map(|bytes| u64::from_le_bytes(bytes.try_into().expect("chunks of eight bytes")));
        let mut next = || numbers.next().expect("the head has three numbers");
        Ok(Self { cpu_seconds: next(), memory_bytes: next(), component_bytes: next() })
    }
}

/// Writes what came of a compilation.
pub(super) fn write_answer(output: &mut impl Write, answer: &Result<Vec<u8>, String>) -> io::Result<()> {
    let (sort, bytes) = match answer {
        Ok(artifact) => (COMPILED, artifact.as_slice()),
        Err(why) => (REFUSED, why.as_bytes()),
    };
    output.write_all(&[sort])?;
    output.write_all(&(bytes.len() as u64).to_le_bytes())?;
    output.write_all(bytes)?;
    output.flush()
}

/// Reads an answer that may have ended early: `None` when it isn't a whole one.
pub(super) fn read_answer(mut bytes: Vec<u8>) -> Option<Result<Vec<u8>, String>> {
    let (sort, rest) = bytes.split_first()?;
    let (length, payload) = rest.split_first_chunk()?;
    if u64::from_le_bytes(*length) != payload.len() as u64 {
        return None;
    }
    match *sort {
        COMPILED => Some(Ok(bytes.split_off(1 + size_of::<u64>()))),
        REFUSED => Some(Err(String::from_utf8_lossy(payload).into_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_survive_the_trip() {
        let head = Head::new(&CompileLimits::default(), b"component");
        let mut bytes = Vec::new();
        head.write(&mut bytes).unwrap();
        assert_eq!(Head::read(&mut bytes.as_slice()).unwrap(), head);
        bytes[0] ^= 1;
        assert!(Head::read(&mut bytes.as_slice()).is_err());
        for answer in [Ok(vec![1, 2, 3]), Ok(vec![]), Err("no\n".to_owned())] {
            let mut bytes = Vec::new();
            write_answer(&mut bytes, &answer).unwrap();
            assert_eq!(read_answer(bytes.clone()), Some(answer));
            for length in 0..bytes.len() {
                assert_eq!(read_answer(bytes[..length].to_vec()), None, "{length} bytes");
            }
            bytes.push(0);
            assert_eq!(read_answer(bytes), None);
        }
        assert_eq!(read_answer(vec![b'?', 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }
}
