"""Define the domain: tasks, their life cycle, their SQL and their events."""

from taskmaster import require_full_name

require_full_name(__name__)
