//! Who gives a command and why, as the daemon's history has it.
//!
//! The administration has no accounts: the name is a claim. Without one the command line says what the
//! operating system calls its user, so that a history without any discipline tells more than nothing.

use std::os::unix::fs::MetadataExt as _;

use clap::Args;
use tonic::Request;

use super::client::Target;
use crate::api::OPERATOR_HEADER;

/// Why, and on whose behalf; commands that change what plugins do take these.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Stated {
    /// Why, in one line: the history keeps it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Your name for the history; without it the one that the operating system has for you. Nobody checks it.
    #[arg(long, env = "MORTISE_OPERATOR", value_name = "NAME")]
    operator: Option<String>,
}

/// How long a command may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// As long as most.
    Usual,
    /// A component may have to be compiled.
    Compiles,
}

impl Stated {
    /// The reason, as messages have it.
    pub(super) fn reason(&self) -> String {
        self.reason.clone().unwrap_or_default()
    }

    /// A request to `target` that says who makes it.
    ///
    /// # Errors
    /// When the name that was given cannot be sent.
    pub(super) fn request<T>(&self, target: &Target, work: Work, message: T) -> anyhow::Result<Request<T>> {
        let mut request = target.request(None, message)?;
        if work == Work::Compiles {
            request.set_timeout(target.patience());
        }
        self.name_in(&mut request)?;
        Ok(request)
    }

    /// Says in a request who makes it.
    ///
    /// # Errors
    /// When the name that was given cannot be sent.
    pub(super) fn name_in<T>(&self, request: &mut Request<T>) -> anyhow::Result<()> {
        let claimed = match &self.operator {
            Some(name) => Some(name.parse().map_err(|_| {
                anyhow::anyhow!("{name:?} cannot be an operator's name; use visible ASCII, without blanks")
            })?),
            None => user().and_then(|name| name.parse().ok()),
        };
        if let Some(name) = claimed {
            request.metadata_mut().insert(OPERATOR_HEADER, name);
        }
        Ok(())
    }
}

/// What the operating system calls the user of this process, where that is a name that can be claimed.
fn user() -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let uid = std::fs::metadata("/proc/self").ok().map(|process| process.uid());
    let variable = |name| std::env::var(name).ok();
    let name = uid.and_then(|uid| named(&passwd, uid)).or_else(|| variable("USER"));
    let name = name.or_else(|| variable("LOGNAME"));
    name.filter(|name| (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// The name that a list of users has for a number.
fn named(passwd: &str, uid: u32) -> Option<String> {
    let users = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some((fields.next()?, fields.nth(1)?.parse::<u32>().ok()?))
    });
    users.into_iter().find(|(_, number)| *number == uid).map(|(name, _)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        stated: Stated,
        #[command(flatten)]
        target: Target,
    }

    fn request(args: &[&str], work: Work) -> anyhow::Result<Request<()>> {
        let alone = Alone::parse_from(std::iter::once(&"mortise").chain(args));
        alone.stated.request(&alone.target, work, ())
    }

    fn header(request: &Request<()>, name: &str) -> Option<String> {
        request.metadata().get(name).map(|value| value.to_str().expect("text").to_owned())
    }

    #[test]
    fn who_asks_is_named_or_taken_from_the_operating_system() {
        let named = request(&["--operator", "alice"], Work::Usual).expect("a request");
        assert_eq!(header(&named, OPERATOR_HEADER).as_deref(), Some("alice"));
        let unnamed = request(&[], Work::Usual).expect("a request");
        assert_eq!(header(&unnamed, OPERATOR_HEADER), user());
        let refused = request(&["--operator", "a\nb"], Work::Usual).expect_err("no header").to_string();
        assert!(refused.contains("visible ASCII"), "{refused}");
    }

    #[test]
    fn users_are_found_by_their_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        assert_eq!(named(passwd, 1000).as_deref(), Some("alice"));
        assert_eq!((named(passwd, 0).as_deref(), named(passwd, 7)), (Some("root"), None));
    }

    #[test]
    fn what_may_be_compiled_is_waited_for_as_long_as_the_node_compiles() {
        let timeout = |args: &[&str], work| {
            header(&request(args, work).expect("a request"), "grpc-timeout").expect("a timeout")
        };
        assert_eq!(timeout(&[], Work::Usual), "30000000u");
        assert_eq!(timeout(&[], Work::Compiles), "150000m");
        assert_eq!(timeout(&["--timeout", "7s"], Work::Compiles), "7000000u", "who names a time means it");
    }
}
