//! Locks and atomics that readers and a writer of the state share.
//!
//! The standard library's; with the feature `shuttle`, which only `schedules` is built with, those of a scheduler that decides itself who
//! goes on whenever one is touched, and tries many orders.

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::{
    hint::spin_loop,
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, atomic},
};
#[cfg(not(feature = "shuttle"))]
pub(crate) use std::{
    hint::spin_loop,
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, atomic},
};
