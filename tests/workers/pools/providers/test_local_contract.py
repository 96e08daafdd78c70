"""Test that the provider `local` keeps the contract of all providers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async

from taskmaster.workers.models import PoolMember
from taskmaster.workers.pools.provider import DeadWorker, DesiredPool, ObservedPool, Provider
from taskmaster.workers.pools.providers.local import LocalProvider
from tests.workers.pools.contract import Bench, Contract
from tests.workers.pools.local import desired_pool, end_all, pids, provider

pytestmark = pytest.mark.django_db(transaction=True)


class Machine(Bench):
    """Control local workers. They are frozen, because idle workers would stop immediately."""

    exit_code = -signal.SIGKILL

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch

    def provider(self) -> LocalProvider:
        return provider(self.folder)

    def elsewhere(self) -> LocalProvider:
        self.monkeypatch.delattr(os, "posix_spawn")
        return provider(self.folder)

    def desired(self, count: int) -> DesiredPool:
        return desired_pool(count)

    async def until(
        self, provider: Provider, desired: DesiredPool, holds: Callable[[ObservedPool], bool]
    ) -> tuple[DeadWorker, ...]:
        died = await super().until(provider, desired, holds)
        await self._signal(signal.SIGSTOP)
        return died

    async def release(self) -> None:
        await self._signal(signal.SIGCONT)

    async def crash(self) -> None:
        member = await PoolMember.objects.exclude(pid=None).afirst()
        assert member is not None
        assert member.pid is not None
        with Path(member.log_path).open("a") as log:
            log.write("it is over\n")
        os.kill(member.pid, signal.SIGKILL)

    async def _signal(self, number: signal.Signals) -> None:
        for pid in (await sync_to_async(pids)()).values():
            os.kill(pid, number)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    yield Machine(tmp_path, monkeypatch)
    end_all()


class TestContract(Contract):
    """Run the tests of the contract."""
