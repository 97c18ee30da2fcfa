//! Who calls, and why: what the history says of a change that was asked for over the network.
//!
//! The address is the one that the connection came from: behind a proxy, the proxy's. The name is what the
//! client says of itself in the `mortise-operator` header. Nothing here is authenticated, and nothing is
//! judged: the mechanisms refuse what breaks their rules.

use mortise_mechanisms::{Actor, Cause};
use tonic::Request;

/// Request header with the name that the client gives itself.
pub(crate) const OPERATOR_HEADER: &str = "mortise-operator";

/// The cause of a call, with the reason that its message states.
pub(super) fn cause<T>(request: &Request<T>, reason: &str) -> Cause {
    let claimed = request.metadata().get(OPERATOR_HEADER);
    let operator = claimed.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let peer = request.remote_addr().map(|address| address.ip().to_canonical());
    Cause { actor: Actor { operator, peer }, reason: given(reason) }
}

/// An empty field of a message says nothing.
pub(super) fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_of_itself_is_passed_on_as_it_is() {
        let mut request = Request::new(());
        assert_eq!(cause(&request, ""), Cause::default());
        request.metadata_mut().insert(OPERATOR_HEADER, "alice".parse().expect("a value"));
        let found = cause(&request, "ticket 7");
        assert_eq!(found.actor.operator.as_deref(), Some("alice"));
        assert_eq!((found.actor.peer, found.reason.as_deref()), (None, Some("ticket 7")));
        let opaque = http::HeaderValue::from_bytes(b"j\xfcrgen").expect("a value");
        request.metadata_mut().as_mut().insert(OPERATOR_HEADER, opaque);
        assert_eq!(cause(&request, "").actor.operator.as_deref(), Some("j\u{fffd}rgen"));
    }
}
