"""How long a decision takes: against an Echo of the same sizes, open loop, in one run. See `__main__`."""
