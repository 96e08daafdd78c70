"""Run workers as processes on the coordinator's host.

The workers outlive the coordinator and are adopted by the next one. They are forks of a zygote.
There is one zygote for each pool and environment (see `taskmaster.workers.pools.zygote`). A row
is inserted for every process before it is started (see `taskmaster.workers.pools.local_members`),
so that a coordinator that takes over knows every process. Rows of other hosts count while their
workers are registered. Those workers are stopped through their coordinator.
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

from taskmaster.workers.pools import logs, processes
from taskmaster.workers.pools.local_members import LocalMembers
from taskmaster.workers.pools.provider import (
    DeadWorker,
    DesiredPool,
    ObservedPool,
    ProviderFailed,
    ProviderMissing,
    tail,
)
from taskmaster.workers.pools.providers.local_zygotes import PoolZygotes
from taskmaster.workers.pools.reconcile_policy import EARLY_S
from taskmaster.workers.pools.zygote_client import ZYGOTE, ZygoteFailed
from taskmaster.workers.store.pool_store import LocalMember, StartedMember

log = logging.getLogger(__name__)

#: A reserved member without a process after this number of seconds was never started. A member on
#: another host that has not registered within this time is gone.
_START_LIMIT_S = 30.0
#: A worker that does not drain this number of seconds after SIGTERM is stopped through its
#: coordinator. The time is longer than a heartbeat interval.
_SIGTERM_WAIT_S = 10.0
#: A running worker that is not registered for this number of seconds has no living coordinator.
#: Another one is started in its place.
_UNREGISTERED_S = 30.0
#: Seconds beyond the stop limit until a process that does not end is killed.
_KILL_S = 10.0


class LocalProvider:
    """Run pools as local processes, for one coordinator."""

    name: ClassVar[str] = "local"

    def __init__(
        self,
        members: LocalMembers,
        folder: Path,
        coordinators: Callable[[], Sequence[str]],
        on_exit: Callable[[], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._members = members
        #: Folder of the logs, with a subfolder for each pool.
        self._folder = folder
        #: Returns the addresses for the workers, this coordinator's first.
        self._coordinators = coordinators
        self._clock = clock
        self._host = socket.gethostname()
        self._zygotes = PoolZygotes(folder, on_exit)
        #: Exit codes of workers by name and pid, until their rows are processed.
        self._exits: dict[tuple[str, int], int] = {}
        #: Failed zygotes by pool, reported as dead workers.
        self._failed_starts: dict[str, list[DeadWorker]] = {}
        #: Monotonic time since when a running member is not registered, by member id.
        self._unregistered_since: dict[int, float] = {}

    async def check(self, desired: DesiredPool) -> None:
        """Raise ProviderMissing if processes cannot be started on this system."""
        require_posix()

    async def observe(self, desired: DesiredPool) -> ObservedPool:
        """Return the observed state. Rows of processes that are gone are deleted."""
        await self._record_starts(desired.pool)
        gone: list[LocalMember] = []
        found: list[StartedMember] = []
        running = stopping = 0
        for member in await self._members.list_members(desired.pool):
            if (process := self._adopted(member)) is not None:
                found.append(process)
            if not self._is_alive(desired.pool, member):
                gone.append(member)
            elif _is_leaving(member):
                stopping += 1
                await self._enforce_stop(member, desired.stop_limit_s)
            elif self._is_lost(member):
                log.warning(
                    "worker is not registered with any coordinator, replacing it",
                    extra={"worker": member.name},
                )
                await self._ask_to_stop([member])
                stopping += 1
            else:
                running += 1
            if member.host == self._host:
                logs.trim(Path(member.log_path))
        if found:
            await self._members.record_started(found)
        died = self._failed_starts.pop(desired.pool, [])
        if gone:
            by_operator = await self._members.list_commanded([member.id for member in gone])
            died += self._deaths(desired.pool, gone, by_operator)
            if away := [each.id for each in gone if each.host != self._host]:
                await self._members.stop_replaced(away)
            await self._members.delete([member.id for member in gone])
        if any(each.lived_s < EARLY_S for each in died):
            # Use a new zygote for the next workers, because files may have changed under this
            # one.
            self._zygotes.close_pool(desired.pool)
        return ObservedPool(running, stopping, tuple(died))

    async def scale(self, desired: DesiredPool) -> None:
        """Start missing workers, or stop surplus workers: idle ones first, then the newest."""
        await self._record_starts(desired.pool)
        members = await self._members.list_members(desired.pool)
        staying = [
            each for each in members if self._is_alive(desired.pool, each) and not _is_leaving(each)
        ]
        if len(staying) < desired.count:
            taken = {member.name for member in members}
            await self._start(desired, desired.count - len(staying), taken)
        elif len(staying) > desired.count:
            staying.sort(key=lambda member: (member.busy > 0, member.age_s, -member.id))
            await self._ask_to_stop(staying[: len(staying) - desired.count])

    def keep_only(self, pools: Container[str]) -> None:
        """Close the zygotes of all other pools."""
        self._zygotes.keep_only(pools)

    async def close(self) -> None:
        """Close the zygotes. The workers continue to run."""
        self._zygotes.close()

    async def _start(self, desired: DesiredPool, missing: int, taken: set[str]) -> None:
        folder = self._folder / desired.pool
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ProviderFailed(f"The folder for the logs cannot be created: {error}") from None
        names = _free_names(desired.pool, missing, taken)
        paths = {name: folder / f"{name}.log" for name in names}
        reserved = await self._members.reserve(
            desired.pool, self._host, {name: str(path) for name, path in paths.items()}
        )
        addresses = ["--coordinator", ",".join(self._coordinators())]
        argvs = {name: [*desired.argv, *addresses, "--name", name] for name in reserved}
        try:
            await self._zygotes.start(desired).start(argvs, paths)
        except OSError as error:
            await self._members.delete(list(reserved.values()))
            raise ProviderFailed(f"The process could not be started: {error}") from None
        except ZygoteFailed as failure:
            await self._record_starts(desired.pool)
            started = {
                each.name for each in await self._members.list_members(desired.pool) if each.pid
            }
            not_started = [ident for name, ident in reserved.items() if name not in started]
            await self._members.delete(not_started)
            self._zygotes.close_pool(desired.pool)
            self._failed_starts.setdefault(desired.pool, []).append(
                DeadWorker(1, tail(str(failure)))
            )
            return
        await self._record_starts(desired.pool)

    async def _record_starts(self, pool: str) -> None:
        """Record the starts that the zygote has reported since the last call."""
        zygote = self._zygotes.find(pool)
        if zygote is None or not zygote.started:
            return
        started = list(zygote.started)
        by_name = {member.name: member for member in await self._members.list_members(pool)}
        await self._members.record_started(
            [
                StartedMember(by_name[each.name].id, each.pid, each.born)
                for each in started
                if each.name in by_name
            ]
        )
        # Removed after the write, so that a cancelled call is repeated the next time.
        del zygote.started[: len(started)]

    async def _ask_to_stop(self, surplus: Iterable[LocalMember]) -> None:
        """Ask workers to stop.

        The request is recorded before the signal is sent, because a worker must get the signal only
        once.
        """
        by_id = {member.id: member for member in surplus}
        for ident in await self._members.mark_stopping(list(by_id)):
            member = by_id[ident]
            if member.host == self._host and member.pid and member.born is not None:
                processes.send_signal(member.pid, member.born, signal.SIGTERM)
            elif member.worker_id is not None:
                await self._members.stop(member.worker_id)

    async def _enforce_stop(self, member: LocalMember, stop_limit_s: float) -> None:
        """Repeat the request to a worker that has not stopped, and kill it after the stop limit."""
        asked_s = member.asked_age_s
        if asked_s is None:
            return
        if asked_s > _SIGTERM_WAIT_S and member.worker_id is not None and not member.leaving:
            await self._members.stop(member.worker_id)
        ours = member.host == self._host and member.pid and member.born is not None
        if ours and asked_s > stop_limit_s + _KILL_S:
            assert member.pid is not None
            assert member.born is not None
            processes.send_signal(member.pid, member.born, signal.SIGKILL)

    def _is_alive(self, pool: str, member: LocalMember) -> bool:
        if member.host != self._host:
            return member.worker_id is not None or member.age_s < _START_LIMIT_S
        if member.pid is None:
            return member.age_s < _START_LIMIT_S
        if self._zygotes.is_child(pool, member.name, member.pid):
            # The process may be dead, but its end is not reported yet.
            return True
        return processes.start_time(member.pid) == member.born

    def _is_lost(self, member: LocalMember) -> bool:
        if member.worker_id is not None or member.pid is None or member.host != self._host:
            self._unregistered_since.pop(member.id, None)
            return False
        since = self._unregistered_since.setdefault(member.id, self._clock())
        return self._clock() - since > _UNREGISTERED_S

    def _adopted(self, member: LocalMember) -> StartedMember | None:
        """Return the process of a member whose pid was not recorded.

        The pid is taken from its worker, which has registered in the meantime.
        """
        if member.pid is not None or member.worker_pid is None or member.host != self._host:
            return None
        if not processes.runs_module(member.worker_pid, ZYGOTE):
            # The pid is a claim of a worker with a join token, and adopted processes are signalled.
            return None
        born = processes.start_time(member.worker_pid)
        return None if born is None else StartedMember(member.id, member.worker_pid, born)

    def _deaths(
        self, pool: str, gone: Iterable[LocalMember], by_operator: set[int]
    ) -> list[DeadWorker]:
        """Return the members that died without having been asked to stop."""
        died: list[DeadWorker] = []
        if (zygote := self._zygotes.find(pool)) is not None:
            self._exits.update({(each.name, each.pid): each.code for each in zygote.exited})
            zygote.exited.clear()
        for member in gone:
            code = self._exits.pop((member.name, member.pid or 0), None)
            self._unregistered_since.pop(member.id, None)
            expected = member.asked_age_s is not None or member.id in by_operator
            if expected or code == 0 or member.pid is None or member.host != self._host:
                continue
            died.append(DeadWorker(code, logs.read_end(Path(member.log_path)), member.age_s))
        return died


def require_posix() -> None:
    """Raise ProviderMissing on systems without `posix_spawn`."""
    if not hasattr(os, "posix_spawn"):
        raise ProviderMissing("The provider local requires Linux or macOS.")


def _is_leaving(member: LocalMember) -> bool:
    return member.leaving or member.asked_age_s is not None


def _free_names(pool: str, number: int, taken: set[str]) -> list[str]:
    """Return the lowest free names: default-1, default-2, …"""
    names = (f"{pool}-{index}" for index in count(1))
    free = (name for name in names if name not in taken)
    return [name for name, _ in zip(free, range(number), strict=False)]
