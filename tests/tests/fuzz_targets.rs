//! The functions of the fuzz targets, driven without a fuzzer: with random bytes and with mutations of real
//! components. `MORTISE_FUZZ_INPUTS` makes it longer.

use mortise_tests::{bombs, guests, seed};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

#[path = "../../fuzz/src/targets.rs"]
mod targets;

const INPUTS: usize = 20_000;

fn inputs() -> usize {
    seed::count("MORTISE_FUZZ_INPUTS", INPUTS)
}

/// What mutations begin with.
fn corpus() -> Vec<Vec<u8>> {
    let all = [guests::ALL, guests::FORMATS, guests::WASI].concat();
    let mut corpus: Vec<Vec<u8>> = all.iter().map(|(_, bytes)| bytes.to_vec()).collect();
    corpus.push(bombs::instances(guests::TRAP, 20));
    corpus.push(bombs::nested_components(guests::TRAP, 20));
    corpus.push(Vec::new());
    corpus
}

/// A few changes of the kinds that find most: bits, bytes, numbers, pieces left out, repeated and exchanged.
fn mutated(rng: &mut StdRng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus.choose(rng).expect("a corpus").clone();
    for _ in 0..rng.random_range(1..=4) {
        let place = rng.random_range(0..=bytes.len());
        let end = (place + rng.random_range(0..64)).min(bytes.len());
        match rng.random_range(0..7) {
            0 if place < bytes.len() => bytes[place] ^= 1 << rng.random_range(0..8),
            1 if place < bytes.len() => bytes[place] = rng.random(),
            2 => drop(bytes.drain(place..end)),
            3 => drop(bytes.splice(place..place, bytes[place..end].to_vec())),
            4 => bytes.truncate(place),
            // The largest numbers that the format can write.
            5 => drop(bytes.splice(place..end.min(place + 5), [0xff, 0xff, 0xff, 0xff, 0x0f])),
            _ => {
                let other = corpus.choose(rng).expect("a corpus");
                let from = rng.random_range(0..=other.len());
                let piece = &other[from..(from + 64).min(other.len())];
                drop(bytes.splice(place..end, piece.iter().copied()));
            }
        }
    }
    bytes
}

#[test]
fn any_bytes_are_described_or_refused_in_one_line() {
    let mut rng = seed::rng("any_bytes_are_described_or_refused_in_one_line");
    let corpus = corpus();
    for _ in 0..inputs() {
        drop(targets::plugin_read(&mutated(&mut rng, &corpus)));
        let mut noise = b"\0asm\x0d\0\x01\0".to_vec();
        noise.extend((0..rng.random_range(0..200)).map(|_| rng.random::<u8>()));
        drop(targets::plugin_read(&noise));
    }
}

#[test]
fn any_component_comes_into_the_catalog_as_one_version_or_leaves_nothing_there() {
    let mut rng = seed::rng("any_component_comes_into_the_catalog_as_one_version_or_leaves_nothing_there");
    let corpus = corpus();
    corpus.iter().for_each(|bytes| targets::plugin_add(bytes));
    // Most of these are compiled, which takes milliseconds.
    for _ in 0..inputs() / 100 {
        targets::plugin_add(&mutated(&mut rng, &corpus));
    }
}

#[test]
fn whatever_a_format_answers_a_request_gets_an_error_or_what_was_written() {
    let mut rng = seed::rng("whatever_a_format_answers_a_request_gets_an_error_or_what_was_written");
    for _ in 0..inputs() / 20 {
        let mut bytes = vec![0_u8; rng.random_range(0..400)];
        // Often a format is mostly honest, so that some requests pass; then what it does wrong counts.
        let honest = rng.random_range(0.0..1.0);
        bytes.iter_mut().for_each(|byte| {
            *byte = if rng.random_bool(honest) { rng.random_range(0..176) } else { rng.random() };
        });
        targets::format_answers(&bytes);
    }
}

#[test]
fn no_illegal_step_is_called_legal() {
    let mut rng = seed::rng("no_illegal_step_is_called_legal");
    for _ in 0..inputs() * 10 {
        let mut bytes = [0_u8; 120];
        // Mostly small trees, so that some of the steps are legal.
        let sparse = rng.random_bool(0.7);
        bytes.iter_mut().for_each(|byte| {
            *byte = if sparse && rng.random_bool(0.6) { 0 } else { rng.random() };
        });
        targets::judge_step(&bytes);
    }
}
