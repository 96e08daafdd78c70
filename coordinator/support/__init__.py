"""Provide database connections and rate-limited logging."""
