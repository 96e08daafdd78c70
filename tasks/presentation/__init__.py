"""Format tasks for display."""
