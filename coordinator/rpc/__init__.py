"""Serve gRPC: authenticate calls, validate messages, and pass them to the other packages."""
