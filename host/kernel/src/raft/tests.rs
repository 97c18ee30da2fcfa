//! The read barrier against a source that the test drives, and the codec against damage.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use openraft::{EntryPayload, LeaderId};
use tokio::sync::{Semaphore, mpsc};

use super::barrier::{Barrier, ReadIndex, Refusal};
use super::codec;
use super::types::{Batch, Entry, LogId};
use crate::kv::{Command, PutRequest};

/// Answers a round when the test gives a permit, with the number of rounds begun.
struct Driven {
    began: mpsc::UnboundedSender<()>,
    permits: Arc<Semaphore>,
    rounds: Arc<AtomicUsize>,
}

impl ReadIndex for Driven {
    fn read_index(&self) -> BoxFuture<'_, Result<u64, Refusal>> {
        Box::pin(async {
            let round = self.rounds.fetch_add(1, Ordering::SeqCst) + 1;
            let _ = self.began.send(());
            self.permits.acquire().await.expect("open").forget();
            Ok(round as u64)
        })
    }
}

struct Driver {
    barrier: Barrier,
    began: mpsc::UnboundedReceiver<()>,
    permits: Arc<Semaphore>,
    rounds: Arc<AtomicUsize>,
}

fn driven(round_limit: Duration) -> Driver {
    let (sender, began) = mpsc::unbounded_channel();
    let (permits, rounds) = (Arc::new(Semaphore::new(0)), Arc::default());
    let source = Driven { began: sender, permits: Arc::clone(&permits), rounds: Arc::clone(&rounds) };
    Driver { barrier: Barrier::new(source, round_limit), began, permits, rounds }
}

#[tokio::test]
async fn readers_that_arrive_during_a_round_share_the_next_one() {
    let mut driver = driven(Duration::from_secs(60));
    let spawn = |barrier: &Barrier| {
        let barrier = barrier.clone();
        tokio::spawn(async move { barrier.confirm().await })
    };
    let first = spawn(&driver.barrier);
    driver.began.recv().await.expect("a round begins");
    let mut second: Vec<_> = (0..100).map(|_| Box::pin(driver.barrier.confirm())).collect();
    for waiting in &mut second {
        assert!(futures::poll!(waiting).is_pending());
    }
    driver.permits.add_permits(1);
    assert_eq!(first.await.expect("joined").expect("confirmed"), 1);
    driver.began.recv().await.expect("the next round begins");
    driver.permits.add_permits(1);
    for waiting in second {
        assert_eq!(waiting.await.expect("confirmed"), 2, "a reader must not join a round that had begun");
    }
    assert_eq!(driver.rounds.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_round_ends_and_abandoned_readers_leave_nothing_behind() {
    let mut driver = driven(Duration::from_secs(5));
    let stalled = Box::pin(driver.barrier.confirm());
    let gave_up = tokio::time::timeout(Duration::from_secs(1), stalled).await;
    assert!(gave_up.is_err());
    driver.began.recv().await.expect("its round had begun");
    // A thousand readers come and go while the round is stalled.
    for _ in 0..1000 {
        let mut waiting = Box::pin(driver.barrier.confirm());
        assert!(futures::poll!(&mut waiting).is_pending());
    }
    // Nobody waits for the next round, so it is skipped; the one after serves.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(driver.rounds.load(Ordering::SeqCst), 1, "a round for nobody was run");
    driver.permits.add_permits(1);
    assert_eq!(driver.barrier.confirm().await.expect("confirmed"), 2);

    let stalled = driver.barrier.confirm().await;
    assert!(
        matches!(stalled, Err(Refusal::Stalled(limit)) if limit == Duration::from_secs(5)),
        "{stalled:?}"
    );
}

#[test]
fn entries_survive_their_encoding_and_damage_is_named() {
    let put = PutRequest {
        key: Bytes::from_static(b"k"),
        value: Bytes::from_static(b"v"),
        ..PutRequest::default()
    };
    let batch = Batch::new(vec![Command::Put(put), Command::Compact { revision: 7 }]).expect("encoded");
    let log_id = LogId::new(LeaderId::new(3, 9), 42);
    for payload in [EntryPayload::Blank, EntryPayload::Normal(batch)] {
        let entry = Entry { log_id, payload };
        let bytes = codec::encode_entry(&entry).expect("encoded");
        assert_eq!(codec::decode_entry(42, &bytes).expect("decoded"), entry);
        for length in 0..bytes.len() {
            assert!(codec::decode_entry(42, &bytes.slice(..length)).is_err(), "cut at {length}");
        }
        for (position, found) in [(0, 2), (1, 9)] {
            let mut damaged = bytes.to_vec();
            damaged[position] = found;
            let error = codec::decode_entry(42, &damaged.into()).expect_err("refused");
            assert!(error.contains(&found.to_string()), "{error}");
        }
        let longer = [bytes.as_ref(), &[0]].concat();
        assert!(codec::decode_entry(42, &longer.into()).is_err());
    }
}
