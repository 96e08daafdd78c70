"""Measure and limit the memory and CPU of a worker and its children."""
