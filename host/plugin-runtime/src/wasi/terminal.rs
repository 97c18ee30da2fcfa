//! `wasi:cli` over the world of the call: nothing is given, printing goes to the log.
//!
//! The environment and the arguments are empty, and there is no directory and no terminal. A plugin that ends
//! itself, with success or without, ends its call in a fault, because it owes an answer.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};

use super::named;
use super::streams::{Input, output};
use super::world::Print;
use crate::runtime::CallState;

/// A terminal, of which there is none.
struct TerminalInput;

/// A terminal, of which there is none.
struct TerminalOutput;

type Call<'a> = StoreContextMut<'a, CallState>;

pub(super) fn add(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    let mut environment = linker.instance(&named("wasi:cli/environment"))?;
    environment.func_wrap("get-environment", |_: Call<'_>, ()| Ok((Vec::<(String, String)>::new(),)))?;
    environment.func_wrap("get-arguments", |_: Call<'_>, ()| Ok((Vec::<String>::new(),)))?;
    environment.func_wrap("initial-cwd", |_: Call<'_>, ()| Ok((None::<String>,)))?;

    let mut exit = linker.instance(&named("wasi:cli/exit"))?;
    exit.func_wrap("exit", |_: Call<'_>, (status,): (Result<(), ()>,)| {
        let how = if status.is_ok() { "with success" } else { "with a failure" };
        Err::<(), _>(wasmtime::Error::msg(format!("it ended itself {how} instead of answering")))
    })?;

    linker
        .instance(&named("wasi:cli/stdin"))?
        .func_wrap("get-stdin", |_: Call<'_>, ()| Ok((Resource::<Input>::new_own(0),)))?;
    linker
        .instance(&named("wasi:cli/stdout"))?
        .func_wrap("get-stdout", |_: Call<'_>, ()| Ok((output(Print::Out),)))?;
    linker
        .instance(&named("wasi:cli/stderr"))?
        .func_wrap("get-stderr", |_: Call<'_>, ()| Ok((output(Print::Err),)))?;

    linker.instance(&named("wasi:cli/terminal-input"))?.resource(
        "terminal-input",
        ResourceType::host::<TerminalInput>(),
        |_, _| Ok(()),
    )?;
    linker.instance(&named("wasi:cli/terminal-output"))?.resource(
        "terminal-output",
        ResourceType::host::<TerminalOutput>(),
        |_, _| Ok(()),
    )?;
    linker
        .instance(&named("wasi:cli/terminal-stdin"))?
        .func_wrap("get-terminal-stdin", |_: Call<'_>, ()| Ok((None::<Resource<TerminalInput>>,)))?;
    for (interface, function) in [
        ("wasi:cli/terminal-stdout", "get-terminal-stdout"),
        ("wasi:cli/terminal-stderr", "get-terminal-stderr"),
    ] {
        linker
            .instance(&named(interface))?
            .func_wrap(function, |_: Call<'_>, ()| Ok((None::<Resource<TerminalOutput>>,)))?;
    }
    Ok(())
}
