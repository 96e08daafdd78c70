"""Serve tasks, bulk operations, events and statistics over REST."""
