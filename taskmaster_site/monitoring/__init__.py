"""Serve metrics and health, and provide the health probe for containers."""
