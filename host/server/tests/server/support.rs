//! A daemon in a directory of its own, and clients for it.

use mortise::pb::etcdserverpb as pb;
use mortise::pb::etcdserverpb::kv_client::KvClient;
use mortise::pb::mortise::v1::admin_client::AdminClient;
use mortise::wiring::{Daemon, Options};
use tonic::transport::Channel;

/// A daemon that lives as long as its directory.
pub(crate) struct Running {
    pub(crate) daemon: Daemon,
    pub(crate) directory: tempfile::TempDir,
}

impl Running {
    /// Starts a daemon over an empty directory.
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let daemon = Daemon::start(options(&directory)).await.expect("the daemon starts");
        daemon.ready().await;
        Self { daemon, directory }
    }

    /// Stops the daemon and starts another one over the same directory.
    pub(crate) async fn restart(self) -> Self {
        self.daemon.stop().await.expect("the daemon stops");
        let daemon = Daemon::start(options(&self.directory)).await.expect("the daemon starts again");
        daemon.ready().await;
        Self { daemon, directory: self.directory }
    }

    pub(crate) async fn stop(self) {
        self.daemon.stop().await.expect("the daemon stops");
    }

    pub(crate) async fn channel(&self) -> Channel {
        let url = format!("http://{}", self.daemon.grpc());
        Channel::from_shared(url).expect("a URL").connect().await.expect("a connection")
    }

    pub(crate) async fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel().await)
    }

    pub(crate) async fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel().await)
    }
}

pub(crate) fn options(directory: &tempfile::TempDir) -> Options {
    Options::local(directory.path().join("data"))
}

pub(crate) fn put(key: &str, value: &str) -> pb::PutRequest {
    pb::PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..Default::default() }
}

pub(crate) fn get(key: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: key.to_owned().into(), ..Default::default() }
}

/// A request with the header that names a volume.
pub(crate) fn on_volume<T>(volume: &str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("mortise-volume", volume.parse().expect("a header value"));
    request
}

/// The value of `key`, if it is there.
pub(crate) async fn value(kv: &mut KvClient<Channel>, key: &str) -> Option<String> {
    let answer = kv.range(get(key)).await.expect("a read").into_inner();
    answer.kvs.first().map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
}
