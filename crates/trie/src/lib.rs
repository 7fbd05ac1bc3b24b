//! Merkle-Patricia roots, proofs and witnesses; no I/O, no_std.
