//! Locks and atomics that readers and a writer of the state share.
//!
//! The standard library's; with the feature `shuttle`, which only `schedules` is built with, those of a scheduler that decides itself who
//! goes on whenever one is touched, and tries many orders; with `loom`, for the sequence lock's test alone, those of a checker that visits all
//! orders that the memory model allows.

#[cfg(feature = "loom")]
pub(crate) use loom::{
    hint::spin_loop,
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, atomic},
};
#[cfg(feature = "shuttle")]
pub(crate) use shuttle::{
    hint::spin_loop,
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, atomic},
};
#[cfg(not(any(feature = "shuttle", feature = "loom")))]
pub(crate) use std::{
    hint::spin_loop,
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, atomic},
};
