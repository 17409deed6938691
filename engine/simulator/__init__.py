"""The simulated market and what trading in it costs: paths, policies on them, minute by minute.

Training labels come from it, and what is left of an order is played out in it (engine/order_life/rollout.py). Pure:
chance comes in as a seed.
"""
