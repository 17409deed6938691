"""The life of one order: what happened to it, what it cost, and when to look again. Pure, like all of the engine."""
