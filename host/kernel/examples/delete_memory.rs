//! What deleting everything takes in memory: the growth of the process beyond what it had before, at its
//! highest and afterwards, with what a row weighs by it.
//! `cargo run --release -p mortise-kernel --example delete_memory -- <rows> <bytes of a value>`.

use std::sync::Arc;

use bytes::Bytes;
use mortise_kernel::format::Coder;
use mortise_kernel::kv::{Command, DeleteRangeRequest, PutRequest};
use mortise_kernel::store::{Applied, Store, StoreConfig};

/// Kilobytes that the system tells of this process under a name.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (rows, bytes): (u64, u64) = (number(50_000), number(10_000));
    let directory = std::env::temp_dir().join(format!("mortise-delete-memory-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("created");
    let store = Store::open(StoreConfig {
        path: directory.clone(),
        coder: Coder::natural(),
        cache: Arc::new(lsm_tree::Cache::with_capacity_bytes(16 << 20)),
        descriptors: None,
        tenure: None,
        memtable_bytes: 16 << 20,
    })
    .expect("opened");
    let mut index = 0;
    let mut apply = |command: Command| {
        index += 1;
        let position = Applied { index, opaque: Bytes::new() };
        store.apply(position, &[command]).expect("applied").remove(0).expect("accepted");
    };
    for number in 0..rows {
        let key = Bytes::from(format!("key-{number:012}"));
        let value = Bytes::from(vec![number as u8; bytes as usize]);
        apply(Command::Put(PutRequest { key, value, ..PutRequest::default() }));
        if store.memtable_full() {
            store.seal().and_then(|_| store.flush()).expect("flushed");
        }
    }
    store.close().expect("flushed");
    // The highest so far is forgotten.
    std::fs::write("/proc/self/clear_refs", "5").expect("written");
    let before = memory("VmRSS");
    let began = std::time::Instant::now();
    let end = Bytes::from_static(b"\0");
    apply(Command::DeleteRange(DeleteRangeRequest { key: end.clone(), range_end: end, prev_kv: false }));
    let took = began.elapsed();
    let (highest, after) = (memory("VmHWM") - before, memory("VmRSS").saturating_sub(before));
    let weight = highest * 1024 / rows;
    let values = (rows * bytes) >> 20;
    #[expect(clippy::print_stdout, reason = "this is what it is for")]
    {
        println!("{rows} rows of {bytes} bytes: {values} MiB of values");
        println!("before {} MiB, highest +{} MiB, after +{} MiB", before >> 10, highest >> 10, after >> 10);
        println!("{weight} bytes for a row at the highest; {took:?}");
    }
    drop(store);
    std::fs::remove_dir_all(directory).expect("removed");
}
