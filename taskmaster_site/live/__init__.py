"""What is live in a web process: one LISTEN connection, the streams it feeds, who may read."""
