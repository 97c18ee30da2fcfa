//! The `mortise` program. Everything is in the library, so that tests can reach it.

/// Under 256 writers a tenth of the daemon's processor time went into the C library's allocator, which merges
/// freed neighbours when a flushed memtable is dropped; this one does not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    mortise::cli::main()
}
