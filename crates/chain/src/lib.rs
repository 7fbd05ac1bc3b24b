//! Transaction pool, block building and import, receipts and the log index.
