"""Change and run schedules for users.

Pages, REST, gRPC and commands call these functions, and no others except
`taskmaster.tasks.bulk.backfill.start`. Each function checks the
permissions of `user`, locks the schedule, and works in one transaction. `user` is None for the
command line, which has all permissions.
"""

from __future__ import annotations

from taskmaster.tasks.schedules.editing import create, delete, preview_new, update
from taskmaster.tasks.schedules.manual_runs import BackfillPreview, preview_backfill, run_now
from taskmaster.tasks.schedules.pausing import pause, resume, skip_next
from taskmaster.tasks.schedules.pausing_all import pause_all, read_state, resume_all
from taskmaster.tasks.schedules.stored import preview_stored
from taskmaster.tasks.schedules.users import ScheduleUser

__all__ = [
    "BackfillPreview",
    "ScheduleUser",
    "create",
    "delete",
    "pause",
    "pause_all",
    "preview_backfill",
    "preview_new",
    "preview_stored",
    "read_state",
    "resume",
    "resume_all",
    "run_now",
    "skip_next",
    "update",
]
