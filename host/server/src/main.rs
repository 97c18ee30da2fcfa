//! The `mortise` program. Everything is in the library, so that tests can reach it.

/// The C library's allocator merges freed neighbours when a flushed memtable is dropped, which shows in a
/// profile under many writers; this one does not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // Nothing in a build without fault points.
    mortise_kernel::seams::fault::arm();
    mortise::cli::main()
}
