//! Transaction pool, block building and import, receipts and the log index.
pub mod api;
pub mod dev;
pub mod error;
pub mod pool;
