"""The Dockerfile carried out step by step in a clean Debian root, where no Docker engine is: `make check-image`."""
