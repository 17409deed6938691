"""What survives, and what that costs: `python -m benchmarks.durability [--short] [--only NAME ...]`."""
