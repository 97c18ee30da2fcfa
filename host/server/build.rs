//! Compiles the protocol definitions in `proto/` with protox, so that building needs no `protoc`.

use std::path::PathBuf;

const FILES: [&str; 11] = [
    "etcd/mvcc.proto",
    "etcd/header.proto",
    "etcd/kv.proto",
    "etcd/watch.proto",
    "etcd/lease.proto",
    "etcd/cluster.proto",
    "etcd/maintenance.proto",
    "etcd/authpb.proto",
    "etcd/auth.proto",
    "mortise/jobs.proto",
    "mortise/admin.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).open_files(FILES)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("mortise.bin"), compiler.encode_file_descriptor_set())?;
    // Keys and values stay slices of the received frame instead of being copied.
    tonic_prost_build::configure().bytes(".").compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
