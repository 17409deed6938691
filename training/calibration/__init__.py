"""What real market data say about the simulated market: `ess calibrate --data DIR` (docs/calibration.md)."""
