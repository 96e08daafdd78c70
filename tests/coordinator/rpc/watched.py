"""A coordinator whose log must be free of errors, and checks that others are not disturbed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asgiref.sync import sync_to_async

from taskmaster.tasks.models import Task
from tests.factories import stored
from tests.system.fleet import database_url, end, free_port
from tests.system.programs import Program
from tests.waiting import until_counted
from tests.waiting import wait_until as until_true

store = sync_to_async(stored)


@contextmanager
def logged(folder: Path, **extra: str) -> Iterator[tuple[str, Program]]:
    """Run a coordinator. At its end, check that its log contains no error."""
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
    """Check that a task of the honest worker runs and is reported."""
    [task_id] = await store(queue="honest")
    await until_counted(1, pk=task_id, status="complete", deadline_s=8)
    await Task.objects.filter(pk=task_id).adelete()


def logged_once(program: Program, text: str) -> None:
    """Check that many refusals for the same reason are one log line."""
    assert len(program.wrote(text)) == 1, program.text()
