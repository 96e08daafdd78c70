"""Run tasks that damage their slot, each followed by tasks that compare what they find.

    tasks · sessions (hostile) ─┐
    slot_state ─► witness ──────┴─► load ─► verdict

The suite runs the same hostile tasks in single slots. A chaos run adds the ordinary load and the
faults.
"""

from __future__ import annotations

#: Modules of the tasks that workers must know.
MODULES = ("chaos.hostile.tasks", "chaos.hostile.sessions", "chaos.hostile.witness")
#: Name of everything that a hostile task leaves in the database or in the environment.
LEFT_OVER = "left_over"
#: Key of the advisory lock that hostile tasks leave.
LOCK = 42
