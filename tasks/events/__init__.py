"""Publish every change as an event: unpublished → publish → listen → buffer → channels."""
