"""gRPC in and out: translation only."""
