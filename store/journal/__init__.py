"""The journal of a host: records in one chain of hashes on local disk, written by one keeper and synced in groups.

`journal.open_journal` opens it (recovering it), `port.JournalPort` is what everybody else knows of it,
`recovery.verify` and `recovery.salvage` read one that does not open.
"""
