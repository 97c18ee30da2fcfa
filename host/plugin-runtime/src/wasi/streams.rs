//! `wasi:io` over the world of the call: printing goes to the log, reading finds the end.
//!
//! Writing always succeeds at once, and what is printed is bounded by the limits of the log. Input is closed
//! from the beginning. Waiting for a pollable moves the call's own clock forward and takes no time of the
//! host. Work that grows with what the plugin passes takes fuel before it is done.

use wasmtime::StoreContextMut;
use wasmtime::component::{
    ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType, WasmList,
};

use super::named;
use super::world::{Pollable, Print};
use crate::hostcall::{HANDLE_FUEL, TEXT_BYTE_FUEL, charge};
use crate::runtime::CallState;

/// Bytes that may be printed at once; what `wasi:io` guarantees.
const WRITE_BYTES: u64 = 4096;

/// An input stream; all are at their end.
pub(super) struct Input;

/// An output stream; its number tells which.
pub(super) struct Output;

/// `wasi:io/error.error`, of which no plugin ever gets one.
pub(super) struct IoError;

/// `wasi:io/streams.stream-error`.
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    #[allow(dead_code, reason = "part of the interface's type; nothing here fails")]
    Failed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

type Call<'a> = StoreContextMut<'a, CallState>;
type Instance<'a> = LinkerInstance<'a, CallState>;

/// The stream that prints to `to`.
pub(super) fn output(to: Print) -> Resource<Output> {
    Resource::new_own(u32::from(to == Print::Err))
}

pub(super) fn add(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    let mut error = linker.instance(&named("wasi:io/error"))?;
    error.resource("error", ResourceType::host::<IoError>(), |_, _| Ok(()))?;
    error.func_wrap("[method]error.to-debug-string", |_: Call<'_>, (_,): (Resource<IoError>,)| {
        Ok((String::new(),))
    })?;
    add_poll(&mut linker.instance(&named("wasi:io/poll"))?)?;
    let mut streams = linker.instance(&named("wasi:io/streams"))?;
    streams.resource("input-stream", ResourceType::host::<Input>(), |_, _| Ok(()))?;
    streams.resource("output-stream", ResourceType::host::<Output>(), |_, _| Ok(()))?;
    add_input(&mut streams)?;
    add_output(&mut streams)
}

fn add_poll(poll: &mut Instance<'_>) -> wasmtime::Result<()> {
    poll.resource("pollable", ResourceType::host::<Pollable>(), |mut call, number| {
        call.data_mut().wasi.pollables.delete(Resource::<Pollable>::new_own(number))?;
        Ok(())
    })?;
    poll.func_wrap("[method]pollable.ready", |call: Call<'_>, (one,): (Resource<Pollable>,)| {
        Ok((call.data().wasi.is_ready(&one)?,))
    })?;
    poll.func_wrap("[method]pollable.block", |mut call: Call<'_>, (one,): (Resource<Pollable>,)| {
        call.data_mut().wasi.poll(&[one])?;
        Ok(())
    })?;
    poll.func_wrap("poll", |mut call: Call<'_>, (all,): (Vec<Resource<Pollable>>,)| {
        charge(&mut call, all.len() as u64, HANDLE_FUEL)?;
        Ok((call.data_mut().wasi.poll(&all)?,))
    })
}

fn add_input(streams: &mut Instance<'_>) -> wasmtime::Result<()> {
    for name in ["[method]input-stream.read", "[method]input-stream.blocking-read"] {
        streams.func_wrap(name, |_: Call<'_>, _: (Resource<Input>, u64)| {
            Ok((Err::<Vec<u8>, _>(StreamError::Closed),))
        })?;
    }
    for name in ["[method]input-stream.skip", "[method]input-stream.blocking-skip"] {
        streams.func_wrap(name, |_: Call<'_>, _: (Resource<Input>, u64)| {
            Ok((Err::<u64, _>(StreamError::Closed),))
        })?;
    }
    streams.func_wrap("[method]input-stream.subscribe", |mut call: Call<'_>, _: (Resource<Input>,)| {
        Ok((call.data_mut().wasi.ready_after(0)?,))
    })
}

fn add_output(streams: &mut Instance<'_>) -> wasmtime::Result<()> {
    streams.func_wrap("[method]output-stream.check-write", |_: Call<'_>, _: (Resource<Output>,)| {
        Ok((Ok::<_, StreamError>(WRITE_BYTES),))
    })?;
    for name in ["[method]output-stream.write", "[method]output-stream.blocking-write-and-flush"] {
        streams.func_wrap(name, |mut call: Call<'_>, (to, bytes): (Resource<Output>, WasmList<u8>)| {
            charge(&mut call, bytes.len() as u64, TEXT_BYTE_FUEL)?;
            let bytes = bytes.as_le_slice(&call).to_vec();
            let to = if to.rep() == 0 { Print::Out } else { Print::Err };
            call.data_mut().print(to, &bytes);
            Ok((Ok::<(), StreamError>(()),))
        })?;
    }
    for name in ["[method]output-stream.flush", "[method]output-stream.blocking-flush"] {
        streams.func_wrap(name, |_: Call<'_>, _: (Resource<Output>,)| Ok((Ok::<(), StreamError>(()),)))?;
    }
    streams.func_wrap("[method]output-stream.subscribe", |mut call: Call<'_>, _: (Resource<Output>,)| {
        Ok((call.data_mut().wasi.ready_after(0)?,))
    })?;
    // Zeroes say nothing in a log.
    for name in
        ["[method]output-stream.write-zeroes", "[method]output-stream.blocking-write-zeroes-and-flush"]
    {
        streams
            .func_wrap(name, |_: Call<'_>, _: (Resource<Output>, u64)| Ok((Ok::<(), StreamError>(()),)))?;
    }
    for name in ["[method]output-stream.splice", "[method]output-stream.blocking-splice"] {
        streams.func_wrap(name, |_: Call<'_>, _: (Resource<Output>, Resource<Input>, u64)| {
            Ok((Err::<u64, _>(StreamError::Closed),))
        })?;
    }
    Ok(())
}
