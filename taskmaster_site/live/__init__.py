"""Push live updates from a web process, which has one LISTEN connection for all streams."""
