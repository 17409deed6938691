"""The journal of a host: records in one chain of hashes on local disk, written by one keeper and synced in groups."""
