"""The life of an order, measured: what adaptation gains, what outcomes teach, how many orders a worker follows.

A section is one module with `measure(short, seed)`, which returns its figures; `sections.py` is their table,
`targets.py` says what they must be. The figures' names are QUANT's; docs/adaptation.md explains those of `gain`.
"""
