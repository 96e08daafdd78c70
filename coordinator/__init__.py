"""Claim due tasks and push them to workers: the coordinator."""

from taskmaster import require_full_name

require_full_name(__name__)
