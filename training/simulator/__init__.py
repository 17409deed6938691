"""The market that the models learn from: paths, policies that trade on them, and what they cost."""
