"""What is kept of a join token."""

from __future__ import annotations

import hashlib


def digest(token: str) -> str:
    """Its SHA-256, in hex. The token is 256 random bits: there is nothing to be slow against."""
    return hashlib.sha256(token.encode()).hexdigest()
