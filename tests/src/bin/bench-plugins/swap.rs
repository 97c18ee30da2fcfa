//! How long puts take while a strategy is swapped, beside how long they take while it is not.
//!
//! Clients put at a fixed rate, whether the node keeps up or not, so that a pause shows in every put that
//! fell into it. Time is cut into windows of equal length: in every third one a swap is asked for at its
//! start. Of each window the longest put counts. A put takes long now and then for reasons of the disk's;
//! what a swap adds is the difference to the windows right after it, and what chance does is the difference
//! between those two, which nothing sets apart.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mortise::pb::mortise::v1::UsePluginRequest;
use mortise::pb::mortise::v1::admin_client::AdminClient;
use mortise_tests::{Client, Mortise};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::{Options, share};

/// Length of a window.
const WINDOW: Duration = Duration::from_millis(100);
/// The first of so many windows has a swap.
const KINDS: [&str; 3] = ["with a swap", "without", "without again"];
/// A put that takes so much longer than the median of windows without a swap has is late.
const LATE: Duration = Duration::from_millis(5);
const STRATEGIES: [&str; 2] = ["compaction-tiered", "compaction-leveled"];

/// When a put was due, and when it was answered.
struct Put {
    due: Instant,
    answered: Instant,
}

/// Puts at its share of the rate until the end.
async fn put(
    mut client: Client,
    number: u32,
    every: Duration,
    begin: Instant,
    end: Instant,
) -> Result<Vec<Put>> {
    let mut due = interval_at(begin + every * number, every);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut puts = Vec::new();
    for count in 0_u64.. {
        let due = due.tick().await;
        if due >= end {
            break;
        }
        let answer = client.put(format!("{number}/{}", count % 10_000), vec![7; 256]).await;
        ensure!(answer.is_ok(), "a put failed: {answer:?}");
        puts.push(Put { due, answered: Instant::now() });
    }
    Ok(puts)
}

/// Swaps the strategy at the start of every third window; returns how long each swap took.
async fn swap(endpoint: String, swaps: usize, begin: Instant) -> Result<Vec<Duration>> {
    let mut admin = AdminClient::connect(endpoint).await?;
    let mut took = Vec::new();
    for number in 0..swaps {
        sleep_until(begin + WINDOW * u32::try_from(number * KINDS.len())?).await;
        let asked = Instant::now();
        let name = STRATEGIES[number % 2].into();
        let request = UsePluginRequest { name, volume: "default".into(), ..Default::default() };
        admin.use_plugin(request).await.context("a swap is accepted")?;
        took.push(asked.elapsed());
    }
    Ok(took)
}

pub(crate) async fn measure(options: &Options) -> Result<()> {
    let directory = TempDir::new()?;
    let node = Mortise::start(directory.path())?;
    // What is compiled and connected for the first time is no part of a swap.
    swap(node.endpoint(), 2, Instant::now()).await?;
    let begin = Instant::now() + WINDOW;
    let windows = options.swaps * KINDS.len();
    let end = begin + WINDOW * u32::try_from(windows)?;
    let every = Duration::from_secs(1) * options.clients / options.rate.max(1);
    let mut clients = JoinSet::new();
    for number in 0..options.clients {
        let client = Client::connect(&node.endpoint()).await?;
        clients.spawn(put(client, number, every, begin, end));
    }
    let swapping = tokio::spawn(swap(node.endpoint(), options.swaps, begin));
    let mut longest = vec![Duration::ZERO; windows];
    let mut count = 0;
    while let Some(puts) = clients.join_next().await {
        for Put { due, answered } in puts?? {
            let window = usize::try_from((due - begin).as_millis() / WINDOW.as_millis())?;
            longest[window] = longest[window].max(answered - due);
            count += 1;
        }
    }
    let mut took = swapping.await??;
    took.sort();
    print(options, count, &longest, &took);
    node.stop()
}

fn print(options: &Options, count: u64, longest: &[Duration], took: &[Duration]) {
    let of = |kind| {
        let mut of_this: Vec<_> = longest.iter().skip(kind).step_by(KINDS.len()).copied().collect();
        of_this.sort();
        of_this
    };
    println!(
        "{} swaps, one every {} ms, under {} puts a second ({count} puts, none failed).\n\
         A swap takes {:.1} ms (median), {:.1} ms at most.\n",
        options.swaps,
        WINDOW.as_millis() * KINDS.len() as u128,
        options.rate,
        share(took, 0.5),
        share(took, 1.0),
    );
    let usual = of(1)[options.swaps / 2];
    println!(
        "Longest put of a window of {} ms, in ms; late is {LATE:?} above {usual:.1?}:\n",
        WINDOW.as_millis()
    );
    println!("| | median | 90 % | 99 % | longest | late windows |\n|---|--:|--:|--:|--:|--:|");
    for (kind, name) in KINDS.iter().enumerate() {
        let of_this = of(kind);
        let [median, most, nearly_all, longest] = [0.5, 0.9, 0.99, 1.0].map(|part| share(&of_this, part));
        let late = of_this.iter().filter(|put| **put > usual + LATE).count();
        println!(
            "| {name} | {median:.2} | {most:.2} | {nearly_all:.2} | {longest:.2} | {late} of {} |",
            of_this.len()
        );
    }
}
