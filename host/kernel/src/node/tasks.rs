//! The tasks behind an open volume, ended with it and when its opening fails halfway.

use tokio::task::JoinHandle;

/// Ends tasks when opening fails halfway.
pub(super) struct Tasks(pub(super) Vec<JoinHandle<()>>);

impl Tasks {
    /// Ends them and waits for that.
    pub(super) async fn end(&mut self) {
        for task in std::mem::take(&mut self.0) {
            task.abort();
            // The outcome of an aborted task is that it was aborted.
            drop(task.await);
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}
