"""What each stage of a decision costs on its own, without a network between."""
