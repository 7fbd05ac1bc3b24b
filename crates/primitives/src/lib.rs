//! Addresses, hashes, units, the fork table and the signed records of the AI layer; no I/O, no_std.
