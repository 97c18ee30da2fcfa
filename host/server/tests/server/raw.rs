//! Calls below the generated clients: bytes written by hand, headers that no client would send.

use bytes::Bytes;
use http::{Method, Request, Version};
use tokio::net::TcpStream;
use tonic::{Code, Status};

use crate::support::Running;

/// What came back: the status, and the bytes behind the frame's head.
pub(crate) struct Answer {
    pub(crate) status: Status,
    pub(crate) message: Vec<u8>,
}

/// Calls `path` with these headers and this frame; `authority` is what the client claims to have dialled.
pub(crate) async fn call(
    running: &Running,
    authority: &str,
    path: &str,
    headers: &[(&'static str, &'static str)],
    frame: Bytes,
) -> Answer {
    let stream = TcpStream::connect(running.daemon.grpc()).await.expect("a connection");
    let (requests, driver) = h2::client::handshake(stream).await.expect("HTTP/2");
    let driver = tokio::spawn(driver);
    let mut head = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("http://{authority}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        head = head.header(*name, *value);
    }
    let mut requests = requests.ready().await.expect("ready");
    let (answer, mut body) = requests.send_request(head.body(()).expect("a head"), false).expect("sent");
    body.send_data(frame, true).expect("sent");
    let answer = answer.await.expect("an answer");
    let in_head = Status::from_header_map(answer.headers());
    let mut body = answer.into_body();
    let mut message = Vec::new();
    while let Some(data) = body.data().await {
        message.extend_from_slice(&data.expect("data"));
    }
    let trailers = body.trailers().await.expect("trailers");
    let status = in_head.or_else(|| trailers.as_ref().and_then(Status::from_header_map));
    driver.abort();
    Answer { status: status.expect("a status"), message: message.split_off(message.len().min(5)) }
}

/// `message` as a frame.
pub(crate) fn frame(message: &[u8]) -> Bytes {
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).expect("small").to_be_bytes());
    frame.extend_from_slice(message);
    frame.into()
}

/// Field numbers and types as etcd's clients write them: tag bytes by hand, nothing generated.
#[tokio::test]
async fn bytes_of_another_etcd_client_are_understood() {
    let running = Running::start().await;
    // PutRequest { key (1): "k", value (2): "v1" }, then with prev_kv (4).
    let put = b"\x0a\x01k\x12\x02v1";
    let answer = call(&running, "localhost", "/etcdserverpb.KV/Put", &[], frame(put)).await;
    assert_eq!(answer.status.code(), Code::Ok, "{:?}", answer.status);
    let put = b"\x0a\x01k\x12\x02v2\x20\x01";
    let answer = call(&running, "localhost", "/etcdserverpb.KV/Put", &[], frame(put)).await;
    // PutResponse { header (1), prev_kv (2) { key (1), create_revision (2), mod_revision (3), version (4),
    // value (5) } }: the first write of an empty store has revision 2, as in etcd.
    let previous = b"\x12\x0d\x0a\x01k\x10\x02\x18\x02\x20\x01\x2a\x02v1";
    assert!(answer.message.ends_with(previous), "{:x?}", answer.message);
    // RangeRequest { key (1), count_only (9) }; RangeResponse { header (1), count (4): 1 }.
    let range = b"\x0a\x01k\x48\x01";
    let answer = call(&running, "localhost", "/etcdserverpb.KV/Range", &[], frame(range)).await;
    assert!(answer.message.ends_with(b"\x20\x01"), "{:x?}", answer.message);
    running.stop().await;
}

#[tokio::test]
async fn malformed_frames_are_refused_and_the_daemon_goes_on() {
    let running = Running::start().await;
    // A length that reaches beyond the message.
    let broken = call(&running, "localhost", "/etcdserverpb.KV/Put", &[], frame(b"\x0a\x7fk")).await;
    assert_eq!(broken.status.code(), Code::Internal, "{:?}", broken.status);
    // A frame that says it is larger than anything accepted.
    let lie = Bytes::from_static(b"\x00\xff\xff\xff\xff");
    let refused = call(&running, "localhost", "/etcdserverpb.KV/Put", &[], lie).await;
    assert_eq!(refused.status.code(), Code::OutOfRange, "{:?}", refused.status);
    let mut kv = running.kv().await;
    kv.put(crate::support::put("k", "v")).await.expect("a put after all that");
    running.stop().await;
}

#[tokio::test]
async fn the_host_dialled_chooses_a_volume_that_exists() {
    let running = Running::start().await;
    let create =
        mortise::pb::mortise::v1::CreateVolumeRequest { name: "tenant-a".into(), ..Default::default() };
    running.admin().await.create_volume(create).await.expect("created");
    let put = frame(b"\x0a\x01k\x12\x01v");
    let path = "/etcdserverpb.KV/Put";
    let there = call(&running, "tenant-a.example.com:2379", path, &[], put.clone()).await;
    assert_eq!(there.status.code(), Code::Ok, "{:?}", there.status);
    let mut kv = running.kv().await;
    assert_eq!(crate::support::value(&mut kv, "k").await, None, "the default volume was written");
    let elsewhere = call(&running, "www.example.com", path, &[], put).await;
    assert_eq!(elsewhere.status.code(), Code::Ok, "{:?}", elsewhere.status);
    assert_eq!(crate::support::value(&mut kv, "k").await.as_deref(), Some("v"));
    running.stop().await;
}

#[tokio::test]
async fn a_deadline_that_has_passed_is_reported_as_such() {
    let running = Running::start().await;
    let put = frame(b"\x0a\x01k\x12\x01v");
    let answer = call(&running, "localhost", "/etcdserverpb.KV/Put", &[("grpc-timeout", "0n")], put).await;
    assert_eq!(answer.status.code(), Code::DeadlineExceeded, "{:?}", answer.status);
    let mut kv = running.kv().await;
    assert_eq!(crate::support::value(&mut kv, "k").await, None, "it was begun all the same");
    running.stop().await;
}
