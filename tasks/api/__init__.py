"""REST: what a program asks over HTTP."""
