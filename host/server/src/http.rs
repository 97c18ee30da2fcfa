//! The HTTP face: health for orchestrators, metrics for Prometheus.
//!
//! | path | 200 means |
//! |---|---|
//! | `/healthz` | the process answers |
//! | `/readyz` | calls are served; 503 while starting and from the first moment of a stop |
//! | `/healthz/leader` | this node leads the volume, checked now (`?volume=`, else the system volume) |
//! | `/metrics` | Prometheus text, gauges taken at this moment |

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use mortise_kernel::node::Node;
use mortise_kernel::seams::Deadline;
use mortise_mechanisms::System;
use tokio::sync::watch;

use crate::api::InFlight;
use crate::{metrics, series};

/// Longest that a leadership check may take.
const LEADER_WAIT: Duration = Duration::from_secs(1);

/// How far the daemon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Data is being opened.
    Starting,
    /// Calls are served.
    Ready,
    /// No new work is taken.
    Stopping,
}

/// What the daemon serves once it is up.
pub struct Running {
    /// The node.
    pub node: Arc<Node>,
    /// Its volumes and plugins.
    pub system: Arc<System>,
    /// Calls under way.
    pub in_flight: InFlight,
}

/// What the pages are made from.
pub struct Pages {
    /// How far the daemon is.
    pub phase: watch::Receiver<Phase>,
    /// Set once the daemon is up.
    pub running: OnceLock<Running>,
    /// The recorder to render.
    pub metrics: PrometheusHandle,
    /// What the last scrape saw.
    pub seen: metrics::Seen,
}

/// The routes over `pages`.
pub fn router(pages: Arc<Pages>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/healthz/leader", get(leader))
        .route("/metrics", get(scrape))
        .fallback(|| async {
            (StatusCode::NOT_FOUND, "try /healthz, /readyz, /healthz/leader?volume=NAME or /metrics\n")
        })
        .with_state(pages)
}

async fn ready(State(pages): State<Arc<Pages>>) -> (StatusCode, &'static str) {
    let phase = *pages.phase.borrow();
    match phase {
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Phase::Ready => (StatusCode::OK, "ready\n"),
        Phase::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
    }
}

async fn leader(State(pages): State<Arc<Pages>>, RawQuery(query): RawQuery) -> (StatusCode, String) {
    let Some(running) = pages.running.get() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "starting\n".to_owned());
    };
    let query = query.unwrap_or_default();
    let name = query.split('&').find_map(|pair| pair.strip_prefix("volume=")).unwrap_or("system");
    let volume = match running.system.resolve(Some(name)) {
        Ok(volume) => volume,
        Err(error) => return (StatusCode::NOT_FOUND, format!("{error}\n")),
    };
    match volume.confirm_leadership(Deadline::after(LEADER_WAIT)).await {
        Ok(()) => (StatusCode::OK, format!("this node leads volume {name}\n")),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

async fn scrape(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    if let Some(running) = pages.running.get() {
        metrics::refresh(&running.node, &running.system, &pages.seen);
        metrics::set_in_flight(running.in_flight.calls());
    }
    let system = pages.running.get().map(|running| &running.system);
    let plugins = system.map(|system| system.plugin_list()).unwrap_or_default();
    let volumes = system.map(|system| system.list_volumes()).unwrap_or_default();
    series::refresh(&plugins);
    let page = series::of_catalog(&pages.metrics.render(), &plugins, &volumes);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page)
}
