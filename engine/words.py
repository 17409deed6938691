"""Figures in words."""

from __future__ import annotations


def exact(value: float) -> str:
    """A quantity, an amount or a limit as people write it, to twelve digits: of two that stand in one sentence because
    they differ, one must see by how much. With six, 1,000,001 shares are as many as 1,000,000."""
    return f"{value:.12g}"
