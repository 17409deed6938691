"""`make bench-adapt`: what adapting and learning gain."""
