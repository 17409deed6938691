"""The console: its files, and the stream that keeps its list of orders current."""
