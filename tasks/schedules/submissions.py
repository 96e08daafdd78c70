"""Read the timing and the submission of due schedules, and keep them until they change."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from taskmaster.tasks import submission
from taskmaster.tasks.errors import InvalidField, TaskMasterError
from taskmaster.tasks.messages import NewTask
from taskmaster.tasks.schedule_messages import DueSchedule
from taskmaster.tasks.schedules.fields import OPTIONS
from taskmaster.tasks.schedules.owners import check_owner
from taskmaster.tasks.schedules.planning import Submission
from taskmaster.tasks.schedules.stored import timing_of
from taskmaster.tasks.timing.timing import Timing

#: Number of schedules that are kept. A larger text of arguments is parsed again at each run.
_KEPT_MAX = 20_000
_TEXT_MAX = 2_000


class SubmissionCache:
    """Keep timings and submissions by schedule and version."""

    def __init__(self) -> None:
        self._timings: OrderedDict[int, tuple[int, Timing]] = OrderedDict()
        self._submissions: OrderedDict[int, tuple[int, Submission]] = OrderedDict()

    def timing(self, schedule: DueSchedule) -> Timing:
        """Return the timing of a schedule."""
        version, kept = self._timings.get(schedule.id, (None, None))
        if kept is None or version != schedule.version:
            kept = timing_of(schedule)
            _keep(self._timings, schedule, kept)
        return kept

    def submission(self, schedule: DueSchedule, owners: Mapping[Any, Any]) -> Submission:
        """Return the submission of a schedule, or the refusal.

        A refusal is not kept: a deployment may add the task. A name that only workers know is
        looked up at each run.
        """
        refused = check_owner(schedule, owners)
        if refused is not None:
            return refused
        version, kept = self._submissions.get(schedule.id, (None, None))
        if kept is not None and version == schedule.version:
            return kept
        try:
            task = parse(schedule)
        except TaskMasterError as error:
            return Submission(None, str(error))
        found = Submission(task)
        if not task.unchecked and len(schedule.args) + len(schedule.kwargs) <= _TEXT_MAX:
            _keep(self._submissions, schedule, found)
        return found


def parse(schedule: DueSchedule) -> NewTask:
    """Return the submission of a schedule. Raise InvalidField, TooLarge or UnknownTaskName."""
    fields = {
        "name": schedule.task,
        "args": json.loads(schedule.args),
        "kwargs": json.loads(schedule.kwargs),
    }
    options = {name: getattr(schedule, name) for name in OPTIONS}
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return submission.parse({**fields, **given})
    except InvalidField as error:
        raise error.renamed({"name": "task"}) from None


def _keep(kept: OrderedDict[int, tuple[int, Any]], schedule: DueSchedule, value: object) -> None:
    kept[schedule.id] = (schedule.version, value)
    if len(kept) > _KEPT_MAX:
        kept.popitem(last=False)
