"""The parts of benchmarks/quality.py: what is decided and what it is compared with, one order's verdict, figures."""
