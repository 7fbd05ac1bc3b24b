//! In-memory, versioned flat state with roots recomputed from it.
