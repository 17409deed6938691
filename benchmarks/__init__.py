"""Measure: latency against the null baseline, and the quality of decisions."""
