//! The threads that run plugins.
//!
//! A plugin may hold its thread for as long as its deadline, so plugins never run on the workers of an async
//! runtime. The number of threads bounds the calls that run, the queue bounds those that wait, and what does
//! not fit is refused at once.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;
use tracing::error;

use crate::engine::WASM_STACK_BYTES;
use crate::{Error, Fault, FaultKind, Result};

type Job = Box<dyn FnOnce() + Send>;

/// A bounded pool of named threads.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    ready: Condvar,
    capacity: usize,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Pool {
    /// Starts threads called `name` and a number, for which so many calls may wait.
    pub(crate) fn start(name: &str, threads: usize, capacity: usize) -> Result<Self> {
        let shared =
            Arc::new(Shared { queue: Mutex::default(), ready: Condvar::new(), capacity: capacity.max(1) });
        let mut pool = Self { shared, threads: Vec::new() };
        for number in 0..threads.max(1) {
            let shared = pool.shared.clone();
            let thread = std::thread::Builder::new()
                .name(format!("{name}-{number}"))
                .stack_size(WASM_STACK_BYTES + 1024 * 1024)
                .spawn(move || shared.work())
                .map_err(|error| Error::Engine { detail: format!("no thread for plugins: {error}") })?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Runs `call` on one of the threads. When the returned future is dropped before a thread is free, the
    /// call does not run.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (sender, receiver) = oneshot::channel();
        self.push(Box::new(move || {
            if !sender.is_closed() {
                let _ = sender.send(call());
            }
        }))?;
        receiver.await.unwrap_or_else(|_| {
            Err(Fault::new(FaultKind::Busy, "the call was given up; the host's log says why"))
        })
    }

    fn push(&self, job: Job) -> Result<(), Fault> {
        let mut queue = self.shared.queue.lock();
        if queue.jobs.len() >= self.shared.capacity {
            let detail = format!(
                "{} plugin calls are waiting already; try again, or raise the number of parallel calls",
                queue.jobs.len()
            );
            return Err(Fault::new(FaultKind::Busy, detail));
        }
        queue.jobs.push_back(job);
        drop(queue);
        self.shared.ready.notify_one();
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        {
            let mut queue = self.shared.queue.lock();
            queue.closed = true;
            queue.jobs.clear();
        }
        self.shared.ready.notify_all();
        for thread in self.threads.drain(..) {
            // The last owner of the runtime may be a job, so that this runs on a thread of the pool.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Shared {
    fn work(&self) {
        while let Some(job) = self.next() {
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                error!("a plugin call panicked in the host; the thread goes on");
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.queue.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            self.ready.wait(&mut queue);
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}
