"""What a Python developer types: a chain, named users, and the verbs of the economy.

Invariant: every amount is exact text or an integer; every answer can be verified without the chain.
What it does not do: no cryptography and no wire formats of its own; it only combines the rooms below.
"""
