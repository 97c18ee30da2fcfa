//! A transform that changes nothing and stops the copy wherever the test wants it to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;
use mortise_kernel::Result;
use mortise_kernel::format::FormatId;
use mortise_kernel::store::Transform;
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The copy's side: it tells that it has come to a portion, and waits to be let on.
pub(crate) struct Gated {
    keeps_order: bool,
    arrived: UnboundedSender<()>,
    permits: Mutex<Receiver<()>>,
    open: Arc<AtomicBool>,
}

/// The test's side. Dropping it lets the copy run to its end.
pub(crate) struct Gate {
    arrived: UnboundedReceiver<()>,
    permits: Option<Sender<()>>,
    open: Arc<AtomicBool>,
}

/// A copy that stops at every portion. `in_order` says whether rows are taken for being in order.
pub(crate) fn gated(in_order: bool) -> (Arc<dyn Transform>, Gate) {
    let (arrived, arrivals) = unbounded_channel();
    let (permit, permits) = channel();
    let open = Arc::new(AtomicBool::new(false));
    let gated =
        Gated { keeps_order: in_order, arrived, permits: Mutex::new(permits), open: Arc::clone(&open) };
    (Arc::new(gated), Gate { arrived: arrivals, permits: Some(permit), open })
}

impl Gate {
    /// Waits until the copy stands at a portion; `false` when it has come to its end.
    pub(crate) async fn arrival(&mut self) -> bool {
        self.arrived.recv().await.is_some()
    }

    /// Lets it on to the next one.
    pub(crate) fn let_on(&self) {
        if let Some(permits) = &self.permits {
            let _ = permits.send(());
        }
    }

    /// Lets it run to its end.
    pub(crate) fn open(&mut self) {
        self.open.store(true, Ordering::SeqCst);
        self.permits = None;
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl Transform for Gated {
    fn format(&self) -> FormatId {
        FormatId::natural()
    }

    fn keeps_order(&self) -> bool {
        self.keeps_order
    }

    fn keys(&self, stored: &[Bytes]) -> Result<Vec<Bytes>> {
        if !self.open.load(Ordering::SeqCst) {
            let _ = self.arrived.send(());
            // An error says that the test has opened the gate.
            let _ = self.permits.lock().recv();
        }
        Ok(stored.to_vec())
    }

    fn values(&self, stored: &[Bytes]) -> Result<Vec<Bytes>> {
        Ok(stored.to_vec())
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }
}
