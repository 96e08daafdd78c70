"""Who runs the workers of a pool, one module each."""
