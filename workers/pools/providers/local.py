"""`local`: workers as processes beside the coordinator, which outlive it and are adopted again.

They are forks of a template, one for each pool and environment (see `workers.pools.template`).
Every process is a row before it is started (see `workers.pools.members`), so that a coordinator
which takes over knows of all. Of a pool whose rows name another host, too: those count for as long
as their workers are registered, and are told to go through their coordinator.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Container, Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import ClassVar

from workers.pools import logs, processes
from workers.pools.decisions import EARLY_S
from workers.pools.members import Member, Members, Started
from workers.pools.provider import Died, Observed, ProviderFailed, ProviderMissing, Wanted, tail
from workers.pools.spawner import TEMPLATE, Spawner, TemplateFailed

log = logging.getLogger(__name__)

#: What is reserved and has no process after this time never came to be; what is on another host
#: and has not registered is gone.
_UNBORN_S = 30.0
#: A worker that was told to go and does not drain has not heard it; it is told through its
#: coordinator then. Longer than a heartbeat.
_DEAF_S = 10.0
#: A worker that runs and is nowhere registered for so long knows no living coordinator: another is
#: started in its place.
_LOST_S = 30.0
#: Beyond the stop limit, until what does not end is killed.
_KILL_S = 10.0


class LocalProvider:
    """Of one coordinator."""

    name: ClassVar[str] = "local"

    def __init__(
        self,
        members: Members,
        folder: Path,
        coordinators: Callable[[], Sequence[str]],
        on_exit: Callable[[], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._members = members
        #: The logs go here, in a folder for each pool.
        self._folder = folder
        #: Addresses for the workers, this coordinator's first.
        self._coordinators = coordinators
        self._on_exit = on_exit
        self._clock = clock
        self._host = socket.gethostname()
        #: By pool: the environment, and the template that has it.
        self._spawners: dict[str, tuple[dict[str, str], Spawner]] = {}
        #: How workers ended, by name and pid, until their rows are looked at.
        self._exits: dict[tuple[str, int], int] = {}
        #: Templates that ended before they forked anything.
        self._stillborn: dict[str, list[Died]] = {}
        #: By id: since when a member runs without being registered.
        self._silent: dict[int, float] = {}

    async def check(self, wanted: Wanted) -> None:
        """Raises ProviderMissing where processes cannot be started in this way."""
        require_posix()

    async def observe(self, wanted: Wanted) -> Observed:
        """What runs, after forgetting what is gone."""
        await self._take_news(wanted.pool)
        gone: list[Member] = []
        found: list[Started] = []
        running = stopping = 0
        for member in await self._members.of(wanted.pool):
            if (process := self._adopted(member)) is not None:
                found.append(process)
            if not self._is_alive(wanted.pool, member):
                gone.append(member)
            elif _is_leaving(member):
                stopping += 1
                await self._press(member, wanted.stop_limit_s)
            elif self._is_lost(member):
                log.warning("worker is nowhere registered", extra={"worker": member.name})
                await self._tell_to_go([member])
                stopping += 1
            else:
                running += 1
            if member.host == self._host:
                logs.trim(Path(member.log_path))
        if found:
            await self._members.started(found)
        died = self._stillborn.pop(wanted.pool, [])
        if gone:
            by_operator = await self._members.told([member.id for member in gone])
            died += self._deaths(wanted.pool, gone, by_operator)
            if away := [each.id for each in gone if each.host != self._host]:
                await self._members.replaced(away)
            await self._members.forget([member.id for member in gone])
        if any(each.lived_s < EARLY_S for each in died):
            # The next ones come from a new template: files may have changed under this one.
            self._drop(wanted.pool)
        return Observed(running, stopping, tuple(died))

    async def scale(self, wanted: Wanted) -> None:
        """Starts what is missing; tells what is too much to go, the idle and the new first."""
        await self._take_news(wanted.pool)
        members = await self._members.of(wanted.pool)
        staying = [
            each for each in members if self._is_alive(wanted.pool, each) and not _is_leaving(each)
        ]
        if len(staying) < wanted.count:
            taken = {member.name for member in members}
            await self._start(wanted, wanted.count - len(staying), taken)
        elif len(staying) > wanted.count:
            staying.sort(key=lambda member: (member.busy > 0, member.age_s, -member.id))
            await self._tell_to_go(staying[: len(staying) - wanted.count])

    def keep(self, pools: Container[str]) -> None:
        """Lets the templates of all other pools go."""
        for pool in [each for each in self._spawners if each not in pools]:
            self._drop(pool)

    async def close(self) -> None:
        """Lets the templates go; the workers run on."""
        for _, spawner in self._spawners.values():
            spawner.close()
        self._spawners.clear()

    # ---- starting ---------------------------------------------------------------------------

    async def _start(self, wanted: Wanted, missing: int, taken: set[str]) -> None:
        folder = self._folder / wanted.pool
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ProviderFailed(f"There is no folder for the logs: {error}") from None
        names = _free_names(wanted.pool, missing, taken)
        paths = {name: folder / f"{name}.log" for name in names}
        reserved = await self._members.reserve(
            wanted.pool, self._host, {name: str(path) for name, path in paths.items()}
        )
        addresses = ["--coordinator", ",".join(self._coordinators())]
        argvs = {name: [*wanted.argv, *addresses, "--name", name] for name in reserved}
        try:
            await self._spawner(wanted).start(argvs, paths)
        except OSError as error:
            await self._members.forget(list(reserved.values()))
            raise ProviderFailed(f"No process could be started: {error}") from None
        except TemplateFailed as failure:
            await self._take_news(wanted.pool)
            begun = {each.name for each in await self._members.of(wanted.pool) if each.pid}
            unborn = [ident for name, ident in reserved.items() if name not in begun]
            await self._members.forget(unborn)
            self._drop(wanted.pool)
            self._stillborn.setdefault(wanted.pool, []).append(Died(1, tail(str(failure))))
            return
        await self._take_news(wanted.pool)

    def _spawner(self, wanted: Wanted) -> Spawner:
        environment = {
            **os.environ,
            **wanted.environment,
            "TASKMASTER_SHUTDOWN_GRACE_S": str(wanted.stop_limit_s),
        }
        known = self._spawners.get(wanted.pool)
        if known is not None:
            if known[0] == environment and known[1].alive:
                return known[1]
            self._drop(wanted.pool)
        log = self._folder / wanted.pool / "template.log"
        spawner = Spawner(environment, log, self._on_exit)
        self._spawners[wanted.pool] = environment, spawner
        return spawner

    def _drop(self, pool: str) -> None:
        if (known := self._spawners.pop(pool, None)) is not None:
            known[1].close()

    async def _take_news(self, pool: str) -> None:
        """Writes down what the template told since the last time."""
        known = self._spawners.get(pool)
        if known is None:
            return
        spawner = known[1]
        if not spawner.begun:
            return
        begun = list(spawner.begun)
        by_name = {member.name: member for member in await self._members.of(pool)}
        await self._members.started(
            [
                Started(by_name[each.name].id, each.pid, each.born)
                for each in begun
                if each.name in by_name
            ]
        )
        # Only now: a call that is cut off before writes them the next time.
        del spawner.begun[: len(begun)]

    # ---- ending -----------------------------------------------------------------------------

    async def _tell_to_go(self, surplus: Iterable[Member]) -> None:
        """Notes it first: a signal may come once only."""
        by_id = {member.id: member for member in surplus}
        for ident in await self._members.ask(list(by_id)):
            member = by_id[ident]
            if member.host == self._host and member.pid and member.born is not None:
                processes.send(member.pid, member.born, signal.SIGTERM)
            elif member.worker_id is not None:
                await self._members.stop(member.worker_id)

    async def _press(self, member: Member, stop_limit_s: float) -> None:
        """Says it again to a worker that was told to go and does not."""
        asked_s = member.asked_age_s
        if asked_s is None:
            return
        if asked_s > _DEAF_S and member.worker_id is not None and not member.leaving:
            await self._members.stop(member.worker_id)
        ours = member.host == self._host and member.pid and member.born is not None
        if ours and asked_s > stop_limit_s + _KILL_S:
            assert member.pid is not None
            assert member.born is not None
            processes.send(member.pid, member.born, signal.SIGKILL)

    def _is_alive(self, pool: str, member: Member) -> bool:
        if member.host != self._host:
            return member.worker_id is not None or member.age_s < _UNBORN_S
        if member.pid is None:
            return member.age_s < _UNBORN_S
        known = self._spawners.get(pool)
        if known is not None and known[1].alive and (member.name, member.pid) in known[1].children:
            # Dead or not, how it ended has not been told yet.
            return True
        return processes.born(member.pid) == member.born

    def _is_lost(self, member: Member) -> bool:
        if member.worker_id is not None or member.pid is None or member.host != self._host:
            self._silent.pop(member.id, None)
            return False
        since = self._silent.setdefault(member.id, self._clock())
        return self._clock() - since > _LOST_S

    def _adopted(self, member: Member) -> Started | None:
        """The process of a row that whoever started it had no time to note: its worker came."""
        if member.pid is not None or member.worker_pid is None or member.host != self._host:
            return None
        if not processes.runs(member.worker_pid, TEMPLATE):
            # The pid is only what somebody with a join token says, and what has one is signalled.
            return None
        born = processes.born(member.worker_pid)
        return None if born is None else Started(member.id, member.worker_pid, born)

    def _deaths(self, pool: str, gone: Iterable[Member], by_operator: set[int]) -> list[Died]:
        """Those of them that nobody had told to go, and that did not leave by themselves."""
        died: list[Died] = []
        if (known := self._spawners.get(pool)) is not None:
            self._exits.update({(each.name, each.pid): each.code for each in known[1].exited})
            known[1].exited.clear()
        for member in gone:
            code = self._exits.pop((member.name, member.pid or 0), None)
            self._silent.pop(member.id, None)
            told = member.asked_age_s is not None or member.id in by_operator
            if told or code == 0 or member.pid is None or member.host != self._host:
                continue
            died.append(Died(code, logs.end_of(Path(member.log_path)), member.age_s))
        return died


def require_posix() -> None:
    """Raises ProviderMissing where there is no `posix_spawn`."""
    if not hasattr(os, "posix_spawn"):
        raise ProviderMissing("The provider local needs POSIX: Linux or macOS.")


def _is_leaving(member: Member) -> bool:
    return member.leaving or member.asked_age_s is not None


def _free_names(pool: str, number: int, taken: set[str]) -> list[str]:
    """default-1, default-2, …: the lowest that nobody bears."""
    names = (f"{pool}-{index}" for index in count(1))
    free = (name for name in names if name not in taken)
    return [name for name, _ in zip(free, range(number), strict=False)]
