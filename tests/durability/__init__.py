"""A chain in a data directory: what it keeps, what it refuses, and what it survives."""
