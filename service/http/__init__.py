"""The HTTP side: health for probes, and the contract as JSON over HTTP."""
