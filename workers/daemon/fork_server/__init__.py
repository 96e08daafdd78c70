"""Provide the process that forks children and starts commands, and its client."""
