"""Define the models of coordinators and of the keys that sign offers."""

from taskmaster.coordinator.models.coordinator import Coordinator
from taskmaster.coordinator.models.offer_key import OfferKey

__all__ = ["Coordinator", "OfferKey"]
