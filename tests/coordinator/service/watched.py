"""A coordinator in whose log nothing must have gone wrong, and what the honest must not feel."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asgiref.sync import sync_to_async

from tasks.models import Task
from tests.system.fleet import database_url, end, free_port, until_counted
from tests.system.programs import Program
from tests.system.programs import until as until_true
from tests.tasks.sample import stored

store = sync_to_async(stored)


@contextmanager
def logged(folder: Path, **extra: str) -> Iterator[tuple[str, Program]]:
    """A coordinator and its log, in which nothing must have gone wrong."""
    port = free_port()
    command = ("manage.py", "runcoordinator", "--port", str(port))
    environment = {"DATABASE_URL": database_url(), **extra}
    program = Program(command, folder / "coordinator.log", environment)
    try:
        until_true(lambda: program.wrote("coordinator ready"), "the coordinator is ready")
        yield f"127.0.0.1:{port}", program
    finally:
        code = end(program.process)
    assert code == 0, program.text()
    assert "Traceback" not in program.text(), program.text()
    assert not program.wrote(" ERROR "), program.text()


async def undisturbed() -> None:
    """A task is handed out, runs, and its report is written."""
    began = time.monotonic()
    [task_id] = await store(queue="honest")
    await until_counted(1, pk=task_id, status="complete", deadline_s=10)
    assert time.monotonic() - began < 2, "others must not wait"
    await Task.objects.filter(pk=task_id).adelete()


def said_once(program: Program, text: str) -> None:
    """Of however many that were refused for this reason there is one line (in 10 s)."""
    assert len(program.wrote(text)) == 1, program.text()
