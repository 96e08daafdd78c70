"""Tasks that run on a schedule, to try the pages of schedules.

`make demo` lists this module in TASKMASTER_TASK_MODULES. A starting coordinator stores the
schedules.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from taskmaster import Cron, Every, current_task, task

#: Free share of the disk below which a check fails.
_MIN_FREE = 0.02
#: Folders of the source code that the report reads.
_FOLDERS = ("tasks", "coordinator", "workers", "taskmaster_site")


@task(schedule=Every(30, name="disk-space", overlap="skip", missed="skip"), tags=["monitoring"])
def disk_space(path: str = ".") -> dict[str, Any]:
    """Return the free bytes of a file system. Raise OSError if it is almost full."""
    usage = shutil.disk_usage(path)
    print(f"{usage.free:,} of {usage.total:,} bytes are free")
    if usage.free < _MIN_FREE * usage.total:
        raise OSError(f"Only {usage.free:,} of {usage.total:,} bytes are free.")
    return {"free": usage.free, "total": usage.total}


@task(
    schedule=[
        # The clocks of Berlin skip 02:30 on a day in March. `shift` runs it at 03:00 then.
        Cron(
            "30 2 * * *",
            timezone="Europe/Berlin",
            name="nightly-report",
            skipped_time="shift",
            jitter=timedelta(seconds=5),
        ),
        Cron("0 9 * * mon", timezone="America/New_York", name="weekly-report", kwargs={"days": 7}),
    ],
    tags=["reports"],
)
def report(days: int = 1) -> dict[str, Any]:
    """Count the lines of the source code, and the files that changed before the due time."""
    current = current_task()
    until = (current and current.scheduled_for) or datetime.now(UTC)
    since = until - timedelta(days=days)
    files = _sources()
    lines = sum(len(path.read_text().splitlines()) for path in files)
    times = [datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in files]
    changed = sum(since <= when < until for when in times)
    print(f"{lines:,} lines in {len(files):,} files, {changed:,} changed since {since:%F %R}")
    return {"lines": lines, "files": len(files), "changed": changed, "since": since.isoformat()}


def _sources() -> list[Path]:
    root = Path(__file__).parents[1]
    return sorted(path for folder in _FOLDERS for path in (root / folder).rglob("*.py"))
