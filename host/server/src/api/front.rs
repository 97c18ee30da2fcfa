//! The door: every call passes it once.
//!
//! It counts and times calls by method and code, keeps the number of calls under way (so that a stop can say
//! what it cut off), notes the host that the client dialled, and answers calls that nobody serves with their
//! name.
//!
//! This is the hot path: no label is looked up, no task is started and nothing is locked for a call. Metric
//! handles are made when a method first answers with a code, then kept.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use http::{Request, Response};
use metrics::{Counter, Histogram};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service;

use super::call::Dialled;
use super::errors::unsupported;
use crate::pb::DESCRIPTORS;

const CODES: usize = 17;

/// Metric handles of one method.
struct Method {
    name: String,
    requests: [OnceLock<Counter>; CODES],
    seconds: OnceLock<Histogram>,
}

impl Method {
    fn new(name: String) -> Self {
        Self { name, requests: [const { OnceLock::new() }; CODES], seconds: OnceLock::new() }
    }

    fn finished(&self, code: Code, started: Instant) {
        let counter = self.requests[code as usize % CODES].get_or_init(|| {
            let code = format!("{code:?}");
            metrics::counter!("mortise_grpc_requests_total", "method" => self.name.clone(), "code" => code)
        });
        counter.increment(1);
        let histogram = self.seconds.get_or_init(
            || metrics::histogram!("mortise_grpc_request_seconds", "method" => self.name.clone()),
        );
        histogram.record(started.elapsed());
    }
}

/// All declared calls, and one entry for whatever else is asked for.
struct Methods {
    by_path: HashMap<String, Arc<Method>>,
    other: Arc<Method>,
    in_flight: AtomicU64,
}

impl Methods {
    fn declared() -> Self {
        let mut by_path = HashMap::new();
        for set in [DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET] {
            // Both are compiled into the program; a broken one would only cost names in metrics.
            let files = FileDescriptorSet::decode(set).unwrap_or_default().file;
            for (package, service) in files
                .iter()
                .flat_map(|file| file.service.iter().map(move |service| (file.package(), service)))
            {
                for method in &service.method {
                    let name = format!("{package}.{}/{}", service.name(), method.name());
                    by_path.insert(format!("/{name}"), Arc::new(Method::new(name)));
                }
            }
        }
        Self { by_path, other: Arc::new(Method::new("other".to_owned())), in_flight: AtomicU64::new(0) }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// All services behind one door. Cheap to clone. Key-value calls go straight to their service `K`; the
/// router, which costs each call several allocations, is for the others.
#[derive(Clone)]
pub struct Front<K> {
    kv: K,
    routes: axum::Router,
    methods: Arc<Methods>,
}

/// Sees how many calls are under way behind a [`Front`].
#[derive(Clone)]
pub struct InFlight(Arc<Methods>);

impl InFlight {
    /// Calls that were accepted and not yet answered.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.0.in_flight.load(Ordering::Acquire)
    }
}

impl<K: NamedService> Front<K> {
    pub(super) fn new(kv: K, others: Routes) -> Self {
        let routes = others.into_axum_router().fallback(unserved).with_state(());
        Self { kv, routes, methods: Arc::new(Methods::declared()) }
    }

    /// A view of the calls under way.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        InFlight(self.methods.clone())
    }
}

/// Answers calls of services that are not served, by name.
async fn unserved(request: Request<axum::body::Body>) -> Response<axum::body::Body> {
    let path = request.uri().path();
    let status = unsupported(path.strip_prefix('/').unwrap_or(path));
    status.into_http()
}

/// Counts one call from its acceptance until it is answered or abandoned.
struct Watched {
    methods: Arc<Methods>,
    method: Arc<Method>,
    started: Instant,
    code: Code,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.methods.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.method.finished(self.code, self.started);
    }
}

/// Whether `path` is `/<service>/<method>` of this service.
fn belongs_to<K: NamedService>(path: &str) -> bool {
    path.strip_prefix('/')
        .and_then(|path| path.strip_prefix(K::NAME))
        .is_some_and(|path| path.starts_with('/'))
}

impl<K> Service<Request<Body>> for Front<K>
where
    K: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer> + NamedService,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Neither the router nor the services behind it ever apply back-pressure here.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let method = self.methods.by_path.get(request.uri().path()).unwrap_or(&self.methods.other);
        // A call that is dropped unanswered was cancelled by its client or by its deadline.
        let watched = Watched {
            methods: self.methods.clone(),
            method: method.clone(),
            started: Instant::now(),
            code: Code::Cancelled,
        };
        self.methods.in_flight.fetch_add(1, Ordering::AcqRel);
        if let Some(dialled) = request.uri().authority().and_then(Dialled::from_authority) {
            request.extensions_mut().insert(dialled);
        }
        let answer: Answer = if belongs_to::<K>(request.uri().path()) {
            self.kv.call(request)
        } else {
            let routed = self.routes.call(request.map(axum::body::Body::new));
            Box::pin(async move { Ok(routed.await?.map(Body::new)) })
        };
        Box::pin(async move {
            // Moved in whole: it must live exactly as long as the call.
            let mut watched = watched;
            let response = answer.await?;
            // A call that failed before its answer began carries its code in the head; any other went well.
            watched.code =
                Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
            Ok(response)
        })
    }
}
