//! The block engine: execute(block, state) -> changes, receipts, roots; no_std, no clock, no randomness.
