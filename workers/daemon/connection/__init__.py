"""Connect a worker to its coordinator: stream, heartbeats and reports."""
