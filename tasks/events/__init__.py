"""Every change as an event: publish → listen → ring → channels (who may read)."""
