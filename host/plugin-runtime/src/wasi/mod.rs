//! The capability `wasi-minimal`: as much of WASI 0.2 as the runtimes of some languages need to come up.
//!
//! Everything in it is made up from the call: the clock begins at the call's `now` and moves only when the
//! plugin looks at it or waits, randomness follows from the call's `seed`, there is no environment, no
//! argument, no file and no terminal, and what is printed goes to the log under the limits of the log. So the
//! same call still has the same answer, and no host function ever waits.
//!
//! This is written here rather than taken from a WASI implementation, because such a one grants the real
//! world unless each part is overridden, and waits on real time where a deadline cannot reach it. There is no
//! code here that could open a file or a socket.
//!
//! | module | what it owns |
//! |---|---|
//! | `world` | the clock, the randomness and the printing of a call |
//! | `clocks`, `streams`, `terminal`, `files` | the interfaces over it |

mod clocks;
mod files;
mod streams;
mod terminal;
mod world;

use wasmtime::component::Linker;

use crate::runtime::CallState;

pub(crate) use world::{Print, Virtual};

/// Version of WASI that is offered. Components built for another 0.2 link against it as well.
const VERSION: &str = "0.2.0";

/// Interfaces of the capability, without their version.
const INTERFACES: [&str; 20] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// Whether an import belongs to the capability.
pub(crate) fn offers(import: &str) -> bool {
    let Some((interface, version)) = import.split_once('@') else { return false };
    let minor = version.strip_prefix("0.2.").unwrap_or_default();
    INTERFACES.contains(&interface) && !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())
}

/// Lets components that are linked with it use the capability.
pub(crate) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    streams::add(linker)?;
    clocks::add(linker)?;
    terminal::add(linker)?;
    files::add(linker)
}

/// Full name of an interface.
fn named(interface: &str) -> String {
    debug_assert!(INTERFACES.contains(&interface), "{interface} is not stated as offered");
    format!("{interface}@{VERSION}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offered_is_what_is_listed_in_any_version_0_2() {
        for name in ["wasi:io/poll@0.2.0", "wasi:io/poll@0.2.12", "wasi:random/random@0.2.6"] {
            assert!(offers(name), "{name}");
        }
        for name in [
            "wasi:io/poll",
            "wasi:io/poll@0.3.0",
            "wasi:io/poll@0.2.",
            "wasi:io/poll@0.2.0-rc",
            "wasi:sockets/tcp@0.2.0",
            "wasi:http/types@0.2.0",
            "wasi:io/pollute@0.2.0",
        ] {
            assert!(!offers(name), "{name}");
        }
    }
}
