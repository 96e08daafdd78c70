"""Pools: how many workers there shall be, and who makes it so."""
