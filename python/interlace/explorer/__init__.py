"""A page that shows blocks, transactions, accounts and the economy, served beside a node.

Invariant: reading only; what the chain says is shown as text, never as markup.
What it does not do: no index, no database, no signing.
"""
