//! Plugins: they come in, are rehearsed, serve, are swapped while they serve, are quarantined, and go.
//!
//! | file | what |
//! |---|---|
//! | `observe` | the catalog's rows joined with what runs, for people |
//! | `choose`, `decide` | which plugin a name stands for, which may come in, what follows a fault |
//! | `act` | the lifecycle's state: compiled components and a slot per volume |
//! | `admit`, `bind`, `supervise` | its verbs: add and remove; use and roll back; quarantine |
//! | `rehearse` | asking a candidate without acting on its answers |

mod act;
mod admit;
mod bind;
mod choose;
mod decide;
mod host;
mod observe;
mod rehearse;
mod supervise;

#[cfg(test)]
mod admit_tests;
#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

pub(crate) use act::Lifecycle;
pub(crate) use host::Host;
