"""The tables of who decides."""

from coordinator.models.coordinator import Coordinator

__all__ = ["Coordinator"]
