"""Test the deletion of old rows."""
