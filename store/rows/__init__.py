"""Records as rows: which field stands in which column, how rows are sent and how payloads are made again from them."""
