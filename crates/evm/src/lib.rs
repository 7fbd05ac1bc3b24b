//! revm behind one adapter; the only crate that names revm; no_std core.
