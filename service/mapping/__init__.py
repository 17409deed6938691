"""The only place that touches fields of the contract's messages: bytes in, domain values out, and back."""
