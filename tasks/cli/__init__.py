"""Implement the actions of `manage.py taskmaster`."""
