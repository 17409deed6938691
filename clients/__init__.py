"""Clients of the service, a folder a language."""
