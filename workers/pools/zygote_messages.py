"""Define the messages between the provider `local` and the zygotes of its pools.

`taskmaster.workers.daemon.wire` encodes them.
"""

from __future__ import annotations

from typing import NamedTuple

from taskmaster.workers.daemon.messages import LoadFailed, ModulesLoaded
from taskmaster.workers.daemon.wire import MessageDecoder


class StartWorker(NamedTuple):
    """Ask a zygote to fork a worker. Its descriptor is a pipe with the secrets of the worker.

    The zygote does not read it, because every worker and task inherits the memory of the zygote.
    """

    name: str
    #: Options of `runworker`.
    argv: list[str]
    #: Path of its log.
    log: str
    kind: str = "start worker"


class ForkedWorker(NamedTuple):
    """Report that a worker was forked. `born` is its start time, see `processes.start_time`."""

    name: str
    pid: int
    born: int
    kind: str = "worker forked"


class ExitedWorker(NamedTuple):
    """Report that a worker has ended."""

    name: str
    pid: int
    code: int
    kind: str = "worker exited"


FromZygote = ModulesLoaded | LoadFailed | ForkedWorker | ExitedWorker


def zygote_requests() -> MessageDecoder[StartWorker]:
    """Return the decoder for a zygote."""
    return MessageDecoder(StartWorker)


def zygote_events() -> MessageDecoder[FromZygote]:
    """Return the decoder for the provider's end of a zygote's connection."""
    return MessageDecoder(ModulesLoaded, LoadFailed, ForkedWorker, ExitedWorker)
