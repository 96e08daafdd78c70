"""Define workers: the process that executes tasks, worker pools and authentication."""

from taskmaster import require_full_name

require_full_name(__name__)
