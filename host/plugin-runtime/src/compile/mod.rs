//! Compiling components, which is the one thing that a stranger's component makes the host itself do.
//!
//! A component is small and its compilation need not be: a few bytes can stand for fifty thousand local
//! variables. The compiler has no deadline and no bound on memory, and where it recurses it uses the stack of
//! its thread. So a daemon has components compiled by a [`Compiler::Child`]: a process of its own for each,
//! with nothing but a pipe in and a pipe out, that the system ends when it takes too much. That process costs
//! the daemon nothing, and its death is an error to whoever added the component.
//!
//! | module | side |
//! |---|---|
//! | `parent` | starts the process, feeds it, reads what comes back, ends it |
//! | `child` | binds itself by limits, compiles |
//! | `frame` | what the two say to each other |

mod child;
mod frame;
mod parent;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use wasmtime::Engine;
use wasmtime::component::Component as Compiled;

use crate::present::presentable;
use crate::{Error, Result};

pub use child::compile_child_main;

/// What the compilation of one component may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Processor time, in whole seconds.
    pub cpu: Duration,
    /// Time until the process is ended whatever it does.
    pub wall: Duration,
    /// Address space beyond what the program has when it starts, in bytes.
    pub memory_bytes: u64,
    /// Size of the compiled component, in bytes.
    pub artifact_bytes: u64,
}

impl Default for CompileLimits {
    /// Enough for the largest components that language runtimes make, which need a few seconds and 400 MB.
    fn default() -> Self {
        Self {
            cpu: Duration::from_secs(60),
            wall: Duration::from_secs(120),
            memory_bytes: 1 << 30,
            artifact_bytes: 256 << 20,
        }
    }
}

/// Who compiles components.
#[derive(Clone, Debug, Default)]
pub enum Compiler {
    /// The calling thread, without any limit: for tests and tools that read components of their own user.
    #[default]
    InProcess,
    /// A process for each component, which must end up in [`compile_child_main`].
    Child {
        /// The program. A daemon names its own executable, so that both are of the same version.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<OsString>,
        /// What each process may use.
        limits: CompileLimits,
    },
}

/// A compiled component as it is kept on disk: machine code, and so to be trusted like a program. Only this
/// crate makes one: from what its compiler answered, or from a file that its cache found authentic.
pub(crate) struct Artifact {
    bytes: Vec<u8>,
    /// Where the compiled component begins; a file has a head.
    begin: usize,
}

impl Artifact {
    /// Takes `bytes` from `begin` on for a compiled component. The caller vouches for their origin.
    pub(crate) fn trusted(bytes: Vec<u8>, begin: usize) -> Self {
        debug_assert!(begin <= bytes.len(), "a head longer than its file");
        Self { bytes, begin }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.begin..]
    }

    /// Makes it ready to be instantiated.
    ///
    /// # Errors
    /// It was made by another version of the compiler or for another engine or processor.
    pub(crate) fn revive(&self, engine: &Engine) -> wasmtime::Result<Compiled> {
        // SAFETY: `deserialize` runs whatever machine code the bytes hold. They are in private memory, don't
        // change any more, and come from one of two places. Either the compiler made them in this process, or
        // in a process that this one started from its own program and whose output nobody else can write to.
        // Or the cache found them authentic, which shows that a daemon with the key, which only the daemon's
        // user can read, got them in the first way; that user could as well replace the daemon itself.
        // wasmtime checks version, settings and processor again.
        #[allow(unsafe_code, reason = "argued above")]
        unsafe {
            Compiled::deserialize(engine, self.bytes())
        }
    }
}

impl Compiler {
    /// Compiles a component. Blocks until that is done or a limit is met.
    ///
    /// # Errors
    /// The component cannot be compiled, or needs more than the limits; or the process cannot be started.
    pub(crate) fn compile(&self, engine: &Engine, component: &[u8]) -> Result<Artifact> {
        let bytes = match self {
            Self::InProcess => serialize(engine, component)
                .map_err(|detail| Error::Malformed { detail: presentable(&detail) })?,
            Self::Child { program, arguments, limits } => {
                parent::compile(program, arguments, limits, component)?
            }
        };
        Ok(Artifact::trusted(bytes, 0))
    }
}

/// Compiles on this thread; the error is a sentence about the component.
fn serialize(engine: &Engine, component: &[u8]) -> Result<Vec<u8>, String> {
    engine.precompile_component(component).map_err(|error| format!("{error:#}"))
}
