"""Tests of the node: the chain in a process, its pool, its JSON-RPC and its Python face."""
