"""Keep one zygote for each pool of the provider `local`."""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from pathlib import Path

from taskmaster.workers.pools.provider import DesiredPool
from taskmaster.workers.pools.zygote_client import ZygoteClient


class PoolZygotes:
    """Start, replace and close the zygotes. Their workers outlive them."""

    def __init__(self, folder: Path, on_exit: Callable[[], None]) -> None:
        #: Folder of the logs, with a subfolder for each pool.
        self._folder = folder
        self._on_exit = on_exit
        #: Environment and zygote of each pool.
        self._zygotes: dict[str, tuple[dict[str, str], ZygoteClient]] = {}

    def find(self, pool: str) -> ZygoteClient | None:
        """Return the zygote of a pool, if there is one. It may have exited."""
        known = self._zygotes.get(pool)
        return None if known is None else known[1]

    def start(self, desired: DesiredPool) -> ZygoteClient:
        """Return a living zygote with the environment of the pool. Raises OSError."""
        environment = {
            **os.environ,
            **desired.environment,
            "TASKMASTER_SHUTDOWN_GRACE_S": str(desired.stop_limit_s),
        }
        known = self._zygotes.get(desired.pool)
        if known is not None:
            if known[0] == environment and known[1].alive:
                return known[1]
            self.close_pool(desired.pool)
        log = self._folder / desired.pool / "zygote.log"
        zygote = ZygoteClient(environment, log, self._on_exit)
        self._zygotes[desired.pool] = environment, zygote
        return zygote

    def is_child(self, pool: str, name: str, pid: int) -> bool:
        """Return whether a worker is a child of the pool's zygote whose end is not reported."""
        zygote = self.find(pool)
        return zygote is not None and zygote.alive and (name, pid) in zygote.children

    def close_pool(self, pool: str) -> None:
        """Close the zygote of a pool."""
        if (known := self._zygotes.pop(pool, None)) is not None:
            known[1].close()

    def keep_only(self, pools: Container[str]) -> None:
        """Close the zygotes of all other pools."""
        for pool in [each for each in self._zygotes if each not in pools]:
            self.close_pool(pool)

    def close(self) -> None:
        """Close all zygotes."""
        self.keep_only(())
