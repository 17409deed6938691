"""The room that remembers: PostgreSQL, the keeper of claims and market state, sessions and artifacts on disk."""
