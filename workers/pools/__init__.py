"""Manage worker pools: desired numbers of workers, and the providers that run them."""
