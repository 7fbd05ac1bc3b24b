"""Data sets and models as data-anchoring assets: content, descriptor, class, shares, lineage and revenue;
what data are worth, measured in integers, and what assets and stakes yield.

Invariant: the content root on chain, the descriptor and the bytes in the store always belong together.
Source: ERC-8028 (draft) for classes and tokens; its closed holes are told in the contract.
What it does not do: it serves nothing and signs no vouchers; that is `serving`.

Private content is `private`, `sealed`, `keys` and `exchange`; where bytes lie is `store` and `filesystem`.
"""
