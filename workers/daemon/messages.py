"""Define the messages between supervisor, fork server, launchers and children.

Both ends of a connection use the types of this module. `taskmaster.workers.daemon.wire` encodes
them. `kind` identifies the type of a message there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from taskmaster.workers.daemon.wire import MessageDecoder

# Supervisor to child. `id` is the supervisor's number of the attempt.


class RunTask(NamedTuple):
    """Ask a child to run a task."""

    id: int
    name: str
    #: JSON text, empty for [] and {}.
    args: str
    kwargs: str
    task_id: int
    #: Number of the attempt, counted from 1.
    number: int
    created_at_us: int
    queue: str
    priority: int
    #: Due time of the schedule that submitted the task, in Unix microseconds. 0: none did.
    scheduled_for_us: int = 0
    kind: str = "run"


class CancelTask(NamedTuple):
    """Ask a child of the executor `async` to cancel a coroutine."""

    id: int
    kind: str = "cancel"


# Child to supervisor.


class Succeeded(NamedTuple):
    """Report that an attempt returned.

    `result` is JSON text, empty for null. Times are Unix microseconds.
    """

    id: int
    started_at_us: int
    finished_at_us: int
    result: str
    #: True: the attempt has left processes. They must end with the child.
    has_leftovers: bool = False
    kind: str = "succeeded"


class Raised(NamedTuple):
    """Report that the task raised an exception, or could not be called."""

    id: int
    started_at_us: int
    finished_at_us: int
    #: Path of the exception's class.
    exception: str
    message: str
    traceback: str
    #: True: the task must not be attempted again.
    final: bool
    #: Retry delay that the task requested, in seconds. None: the delay of its retry policy.
    retry_after_s: float | None
    #: True: the attempt has left processes. They must end with the child.
    has_leftovers: bool = False
    kind: str = "raised"


class PrintedText(NamedTuple):
    """Carry text that an attempt wrote to `stdout`, `stderr` or `log`."""

    id: int
    stream: str
    text: str
    kind: str = "output"


class StateChanged(NamedTuple):
    """Report that a task has changed what all tasks of a child share, while others run."""

    #: Names of the changed parts.
    what: str
    kind: str = "state changed"


# Supervisor to fork server. `id` is the supervisor's number of the process. File descriptors travel
# beside the first byte of their request.


class ForkChild(NamedTuple):
    """Ask for a child. Its descriptors are the connection, stdout and stderr."""

    id: int
    executor: str
    slots: int
    worker: str
    kind: str = "fork"


class StartLauncher(NamedTuple):
    """Ask for a launcher of commands. Its descriptor is the connection."""

    id: int
    kind: str = "launcher"


class KillProcess(NamedTuple):
    """Ask to end a process and its descendants: SIGTERM, then SIGKILL after the grace."""

    id: int
    grace_s: float
    kind: str = "kill"


# Fork server to supervisor.


class ModulesLoaded(NamedTuple):
    """Report that Django and the task modules are loaded. A fork server lists the task names."""

    names: Sequence[str] = ()
    kind: str = "loaded"


class LoadFailed(NamedTuple):
    """Report that Django or the task modules could not be loaded."""

    message: str
    kind: str = "load failed"


class ProcessStarted(NamedTuple):
    """Report the pid of a process."""

    id: int
    pid: int
    kind: str = "started"


class StartRefused(NamedTuple):
    """Report why a process could not be started. `code` is the exit code a shell would use."""

    id: int
    message: str
    code: int
    kind: str = "refused"


class ProcessExit(NamedTuple):
    """Report how a process ended: an exit code, or the negative number of a signal.

    Everything that the process left has ended, too.
    """

    id: int
    code: int
    #: True: the kernel killed the process because memory ran out. The supervisor finds that out.
    oom: bool = False
    kind: str = "exited"


# Supervisor to launcher: SpawnCommand and KillProcess. `id` is the supervisor's number of the
# attempt. Launcher to supervisor: CommandExit and CommandRefused.


class SpawnCommand(NamedTuple):
    """Ask for a command. Its descriptors are stdout and stderr."""

    id: int
    argv: list[str]
    cwd: str | None
    env: dict[str, str]
    kind: str = "spawn"


class CommandExit(NamedTuple):
    """Report how a command ended: an exit code, or the negative number of a signal."""

    id: int
    code: int
    #: True: processes that the command left cannot be killed, and the launcher exits.
    has_leftovers: bool
    kind: str = "ended"


class CommandRefused(NamedTuple):
    """Report why a command could not be started. `code` is the exit code a shell would use."""

    id: int
    message: str
    code: int
    #: Whether no other attempt can start it: the command itself is too large.
    final: bool
    kind: str = "command refused"


ToChild = RunTask | CancelTask
FromChild = Succeeded | Raised | PrintedText | StateChanged
ToForkServer = ForkChild | StartLauncher | KillProcess
FromForkServer = ModulesLoaded | LoadFailed | ProcessStarted | StartRefused | ProcessExit
ToLauncher = SpawnCommand | KillProcess
FromLauncher = CommandExit | CommandRefused
#: Number of file descriptors that travel beside a request to the fork server, by its type.
DESCRIPTORS = {ForkChild: 3, StartLauncher: 1, KillProcess: 0}
#: How a process ended, or why it never started.
ProcessEnd = ProcessExit | StartRefused


def child_requests() -> MessageDecoder[ToChild]:
    """Return the decoder for a child."""
    return MessageDecoder(RunTask, CancelTask)


def child_reports() -> MessageDecoder[FromChild]:
    """Return the decoder for the supervisor's end of a child's connection."""
    return MessageDecoder(Succeeded, Raised, PrintedText, StateChanged)


def fork_server_requests() -> MessageDecoder[ToForkServer]:
    """Return the decoder for a fork server."""
    return MessageDecoder(ForkChild, StartLauncher, KillProcess)


def fork_server_events() -> MessageDecoder[FromForkServer]:
    """Return the decoder for the supervisor's end of the fork server's connection."""
    return MessageDecoder(ModulesLoaded, LoadFailed, ProcessStarted, StartRefused, ProcessExit)


def launcher_events() -> MessageDecoder[FromLauncher]:
    """Return the decoder for the supervisor's end of a launcher's connection."""
    return MessageDecoder(CommandExit, CommandRefused)
