//! Plugins: they come in, are rehearsed, serve, are swapped while they serve, are quarantined, and go.
//!
//! | file | what |
//! |---|---|
//! | `observe` | the catalog's rows joined with what runs, for people |
//! | `decide` | which plugin may come in, which serves, what follows a fault: functions of the catalog |
//! | `act` | the lifecycle's state: compiled components and a slot per volume |
//! | `admit`, `bind`, `supervise` | its verbs: add and remove; use and roll back; quarantine |
//! | `rehearse` | asking a candidate without acting on its answers |

mod act;
mod admit;
mod bind;
mod decide;
mod host;
mod observe;
mod rehearse;
mod supervise;


pub(crate) use act::Lifecycle;
pub(crate) use host::Host;
