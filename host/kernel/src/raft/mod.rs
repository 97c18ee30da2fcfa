//! One raft group per volume.
