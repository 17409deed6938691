"""What an operator counts on: halts, hard limits, who may do what, certificates that change."""
