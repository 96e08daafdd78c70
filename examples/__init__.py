"""Tasks that do real work on real files."""
