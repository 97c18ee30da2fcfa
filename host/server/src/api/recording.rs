//! What is told of strategies' calls and answers: messages, and the calls that are kept as a trace.
//!
//! A trace is JSON lines, a call each; a long line takes several messages, and no message has parts of two.
//! Calls are serialised one by one as the client takes them, so a slow client costs no memory beyond the
//! calls that were kept anyway; those it gets are the ones that were there when it asked.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use mortise_mechanisms::{Became, DecisionInfo, Recorded, RecordingInfo};
use tonic::Status;

use crate::pb::mortise::v1 as pb;

/// Bytes of a trace in one message.
const CHUNK: usize = 256 * 1024;

/// The messages of a trace.
pub(super) type Chunks = BoxStream<'static, Result<pb::RecordedCallsResponse, Status>>;

/// The calls as a trace. Each is serialised when the client is ready to take it.
pub(super) fn chunks(calls: Vec<Arc<Recorded>>) -> Chunks {
    let messages = |call: Arc<Recorded>| {
        let mut line = Vec::new();
        let written = call.to_record().write(&mut line);
        let mut pieces = Vec::new();
        match written {
            Ok(()) => {
                let mut rest = Bytes::from(line);
                while !rest.is_empty() {
                    let chunk = rest.split_to(CHUNK.min(rest.len()));
                    pieces.push(Ok(pb::RecordedCallsResponse { chunk }));
                }
            }
            Err(error) => {
                pieces.push(Err(Status::internal(format!("a recorded call cannot be written: {error}"))));
            }
        }
        stream::iter(pieces)
    };
    stream::iter(calls).flat_map(messages).boxed()
}

pub(super) fn recording(info: RecordingInfo) -> pb::Recording {
    pb::Recording {
        max_calls: info.max_calls,
        max_bytes: info.max_bytes,
        explicit: info.explicit,
        calls: info.calls,
        bytes: info.bytes,
        set_aside: info.set_aside,
        too_large: info.too_large,
    }
}

pub(super) fn decision(info: DecisionInfo) -> pb::Decision {
    let became = info.became.as_str().to_owned();
    let mut message = pb::Decision {
        unix_ms: info.unix_ms,
        plugin: info.plugin,
        version: info.version,
        step_json: info.step.and_then(|step| serde_json::to_string(&step).ok()).unwrap_or_default(),
        reason: info.reason,
        became,
        ..pb::Decision::default()
    };
    match info.became {
        Became::Fault { kind, detail } => message.detail = format!("{kind}: {detail}"),
        Became::Failed(detail) => message.detail = detail,
        Became::Done { work, took } => {
            message.took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            (message.bytes_in, message.bytes_out) = (work.bytes_in, work.bytes_out);
        }
        Became::Waits
        | Became::HeldBack
        | Became::Overruled
        | Became::Runs
        | Became::Nothing
        | Became::Stale => {}
    }
    message
}
