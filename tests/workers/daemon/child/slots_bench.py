"""Run attempts in real slots: a fork server, children, and what the supervisor does with them."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from chaos import hostile
from taskmaster.workers.daemon.attempt import Attempt, Ending, Failed
from taskmaster.workers.daemon.fork_server.client import ForkServerClient, start_fork_server
from taskmaster.workers.daemon.messages import Succeeded
from taskmaster.workers.daemon.slots import PythonSlots
from taskmaster.workers.daemon.slots.process import ProcessSlots
from taskmaster.workers.daemon.slots.shared_child import SharedSlots
from tests.waiting import until
from tests.workers.daemon.sample import an_attempt

#: Modules of the tasks. Names without a module are those of the first.
MODULES = ["tests.workers.daemon.child.behaving_tasks", *hostile.MODULES]
MODULE = MODULES[0]
_DEADLINE_S = 20.0


class RunningSlots:
    """Start attempts and collect their ends and output."""

    def __init__(self, client: ForkServerClient, executor: str, slots: int) -> None:
        self.client = client
        self._ends: dict[int, asyncio.Future[Ending]] = {}
        #: Text by attempt and stream.
        self.printed: dict[int, dict[str, str]] = defaultdict(lambda: defaultdict(str))
        callbacks = (self._ended, self._output)
        self.slots: PythonSlots = (
            ProcessSlots(client, slots, *callbacks)
            if executor == "process"
            else SharedSlots(client, executor, slots, *callbacks)
        )
        self.slots.open()

    def start(self, name: str, *args: Any) -> Attempt:
        """Start an attempt of a hostile or well-behaved task."""
        attempt = an_attempt(
            name=name if "." in name else f"{MODULE}.{name}", args=json.dumps(args)
        )
        self._ends[attempt.id] = asyncio.get_running_loop().create_future()
        self.slots.begin(attempt)
        self.slots.flush()
        return attempt

    async def end(self, attempt: Attempt) -> Ending:
        """Wait for the end of an attempt."""
        try:
            return await asyncio.wait_for(self._ends[attempt.id], _DEADLINE_S)
        except TimeoutError:
            raise AssertionError(f"{attempt.run.name} has not ended") from None

    async def until_printed(self, attempt: Attempt, text: str) -> None:
        """Wait until the attempt has printed a text."""
        await until(lambda: text in self.printed[attempt.id]["stdout"])

    async def result(self, attempt: Attempt) -> Any:
        """Wait for the result of an attempt that must succeed."""
        ending = await self.end(attempt)
        assert isinstance(ending, Succeeded), (attempt.run.name, ending)
        return json.loads(ending.result or "null")

    async def run(self, name: str, *args: Any) -> Any:
        """Run an attempt that must succeed, and return its result."""
        return await self.result(self.start(name, *args))

    async def outcome(self, name: str, *args: Any) -> Any:
        """Run an attempt, and return its result or the message of its failure."""
        ending = await self.end(self.start(name, *args))
        if isinstance(ending, Failed):
            return ending.message
        return json.loads(ending.result or "null")

    def _ended(self, attempt: Attempt, ending: Ending) -> None:
        self._ends[attempt.id].set_result(ending)

    def _output(self, attempt: Attempt, stream: str, data: bytes | str) -> bool:
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
        self.printed[attempt.id][stream] += text
        return False


@asynccontextmanager
async def running_slots(executor: str, slots: int = 1) -> AsyncIterator[RunningSlots]:
    """Run the slots of one executor, on the database and the modules of the environment."""
    process, control = start_fork_server()
    client = ForkServerClient(process, control, "heron", lambda: None)
    try:
        await asyncio.wait_for(client.ready(), 60)
        running = RunningSlots(client, executor, slots)
        yield running
        running.slots.close()
    finally:
        client.close()
