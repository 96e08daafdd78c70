"""Validate, select and run bulk operations: one action on many tasks, in chunks."""
