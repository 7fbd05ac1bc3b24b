//! Translated code does what revm's interpreter does.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod pitfalls;
mod programs;
mod world;
