"""The protocol between coordinators, workers and gRPC clients."""

from taskmaster import require_full_name

require_full_name(__name__)
