//! The integer model graph: canonical bytes, int8 kernels and static units of work; no_std.
