"""REST: the workers, as a program sees them."""
