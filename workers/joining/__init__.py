"""How workers of other hosts join: by a token, over TLS."""
