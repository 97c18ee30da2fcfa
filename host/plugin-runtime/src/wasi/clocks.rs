//! `wasi:clocks` and `wasi:random` over the world of the call.
//!
//! Nothing here reads the machine's clock or its randomness. Time begins at the call's own and moves only
//! when the plugin looks at it or waits; random bytes follow from the call's seed. No function waits. One
//! that makes bytes takes fuel for them first, and a request for too many ends the call.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

use super::named;
use super::world::MOST_RANDOM_BYTES;
use crate::hostcall::{RANDOM_BYTE_FUEL, charge};
use crate::runtime::CallState;

/// Time as a plugin sees it is fine-grained to what passes at each glance.
const RESOLUTION_NANOS: u64 = 1_000;

/// `wasi:clocks/wall-clock.datetime`.
#[derive(Clone, Copy, ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

type Call<'a> = StoreContextMut<'a, CallState>;

pub(super) fn add(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    let mut clock = linker.instance(&named("wasi:clocks/monotonic-clock"))?;
    clock.func_wrap("now", |mut call: Call<'_>, ()| Ok((call.data_mut().wasi.glance(),)))?;
    clock.func_wrap("resolution", |_: Call<'_>, ()| Ok((RESOLUTION_NANOS,)))?;
    clock.func_wrap("subscribe-instant", |mut call: Call<'_>, (when,): (u64,)| {
        Ok((call.data_mut().wasi.ready_at(when)?,))
    })?;
    clock.func_wrap("subscribe-duration", |mut call: Call<'_>, (nanos,): (u64,)| {
        Ok((call.data_mut().wasi.ready_after(nanos)?,))
    })?;
    let mut clock = linker.instance(&named("wasi:clocks/wall-clock"))?;
    clock.func_wrap("now", |mut call: Call<'_>, ()| {
        let (seconds, nanoseconds) = call.data_mut().wasi.wall();
        Ok((Datetime { seconds, nanoseconds },))
    })?;
    clock.func_wrap("resolution", |_: Call<'_>, ()| {
        let nanoseconds = u32::try_from(RESOLUTION_NANOS)?;
        Ok((Datetime { seconds: 0, nanoseconds },))
    })?;

    for (interface, bytes, number) in [
        ("wasi:random/random", "get-random-bytes", "get-random-u64"),
        ("wasi:random/insecure", "get-insecure-random-bytes", "get-insecure-random-u64"),
    ] {
        let mut dice = linker.instance(&named(interface))?;
        dice.func_wrap(bytes, |mut call: Call<'_>, (length,): (u64,)| {
            // A request for more is refused by its own words.
            charge(&mut call, length.min(MOST_RANDOM_BYTES), RANDOM_BYTE_FUEL)?;
            Ok((call.data_mut().wasi.random(length)?,))
        })?;
        dice.func_wrap(number, |mut call: Call<'_>, ()| Ok((call.data_mut().wasi.random_u64()?,)))?;
    }
    let mut seed = linker.instance(&named("wasi:random/insecure-seed"))?;
    seed.func_wrap("insecure-seed", |mut call: Call<'_>, ()| {
        let world = &mut call.data_mut().wasi;
        Ok(((world.random_u64()?, world.random_u64()?),))
    })
}
