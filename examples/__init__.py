"""Tasks that process real files."""
