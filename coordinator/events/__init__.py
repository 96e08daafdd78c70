"""Publish the events of one coordinator in batches."""
