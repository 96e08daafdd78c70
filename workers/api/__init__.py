"""Provide the REST API of workers and pools."""
