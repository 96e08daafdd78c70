"""Authenticate workers of other hosts with join tokens and TLS."""
