//! The raft log of every volume of a node in one database, with group commit.
