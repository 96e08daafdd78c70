"""Run shell commands, each as a process in its own session.

Commands run beside Python tasks, whatever the executor is. A command ends with everything that it
started: processes that it left in the background are killed, even if they have left its session.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from typing import NamedTuple

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.workers.daemon.attempt import Attempt, Ending, Failed, now_us
from taskmaster.workers.daemon.fork_server.client import ForkServerClient
from taskmaster.workers.daemon.messages import (
    CommandExit,
    CommandRefused,
    ProcessExit,
    SpawnCommand,
    Succeeded,
)
from taskmaster.workers.daemon.slots import OnEnd, OnOutput
from taskmaster.workers.daemon.slots.child import ending_of_exit
from taskmaster.workers.daemon.slots.launcher import CommandEnd, LauncherConnection
from taskmaster.workers.daemon.slots.output_pipe import OutputPipe
from taskmaster.workers.security.private_process import without_secrets

#: An idle launcher, a process of some 10 MB, is closed after this time.
_IDLE_S = 60.0


class ShellCommand(NamedTuple):
    """Hold the checked fields of a shell task."""

    argv: list[str]
    cwd: str | None
    env: dict[str, str]


class InvalidShellCommand(Exception):
    """Raised when the kwargs of a shell task break a rule."""


def parse(kwargs: str, environ: Mapping[str, str]) -> ShellCommand:
    """Parse and check the kwargs (JSON text) of a shell task. Its variables extend `environ`.

    Raises InvalidShellCommand.
    """
    try:
        fields = json.loads(kwargs or "{}")
    except (ValueError, RecursionError) as error:
        raise InvalidShellCommand(f"kwargs: is not valid JSON: {error}.") from None
    if not isinstance(fields, dict):
        raise InvalidShellCommand("kwargs: must be an object.")
    command, cwd, env = fields.get("command"), fields.get("cwd"), fields.get("env") or {}
    if isinstance(command, str) and command:
        argv = ["/bin/sh", "-c", command]
    elif isinstance(command, list) and command and all(isinstance(a, str) for a in command):
        argv = command
    else:
        raise InvalidShellCommand("command: must be a shell script or a non-empty list of strings.")
    if not (cwd is None or isinstance(cwd, str)):
        raise InvalidShellCommand("cwd: must be the path of a folder, as text.")
    if not (isinstance(env, dict) and all(isinstance(value, str) for value in env.values())):
        raise InvalidShellCommand("env: must be an object whose values are strings.")
    if any("\0" in text for text in (*argv, cwd or "", *env, *env.values())):
        raise InvalidShellCommand("command, cwd and env: must not contain U+0000.")
    if any(not name or "=" in name for name in env):
        raise InvalidShellCommand("env: a name must not be empty or contain '='.")
    return ShellCommand(argv, cwd or None, {**environ, **env})


class _Running:
    """Run one command."""

    def __init__(self, slots: ShellSlots, attempt: Attempt, command: ShellCommand) -> None:
        self._slots = slots
        self._attempt = attempt
        self._started_at_us = now_us()
        self._stopped = False
        output = slots.on_output
        self._pipes = [
            OutputPipe(lambda data: output(attempt, "stdout", data)),
            OutputPipe(lambda data: output(attempt, "stderr", data)),
        ]
        stdout, stderr = (pipe.writing_end for pipe in self._pipes)
        self._launcher = slots.take_launcher()
        request = SpawnCommand(attempt.id, command.argv, command.cwd, command.env)
        self._launcher.run(request, stdout, stderr, self._ended)

    def stop(self, grace_s: float) -> None:
        """Kill the command and its descendants after the grace."""
        self._stopped = True
        self._launcher.kill(self._attempt.id, grace_s)

    def _ended(self, end: CommandEnd) -> None:
        """Report the end of the command.

        Everything that it started has ended, so its output is complete in the pipes.
        """
        for pipe in self._pipes:
            pipe.read_available()
            pipe.close()
        del self._slots.running[self._attempt.id]
        self._slots.put_launcher(self._launcher)
        self._slots.on_end(self._attempt, self._ending(end))

    def _ending(self, end: CommandEnd) -> Ending:
        if isinstance(end, CommandRefused):
            return Failed(pb.EXIT_CLASS_EXIT_CODE, end.message, code=end.code, final=end.final)
        if not isinstance(end, CommandExit):
            return ending_of_exit(end)
        if end.code == 0:
            return Succeeded(self._attempt.id, self._started_at_us, now_us(), '{"exit_code":0}')
        if end.code > 0:
            return Failed(pb.EXIT_CLASS_EXIT_CODE, f"exit code {end.code}", code=end.code)
        killed = end.code == -signal.SIGKILL and not self._stopped
        oom = killed and self._slots.fork_server.oom_kills.happened()
        return ending_of_exit(ProcessExit(end.id, end.code, oom))


class ShellSlots:
    """Start and stop the commands, each with a launcher of its own."""

    def __init__(self, fork_server: ForkServerClient, on_end: OnEnd, on_output: OnOutput) -> None:
        self.fork_server = fork_server
        self.on_end = on_end
        self.on_output = on_output
        self.running: dict[int, _Running] = {}
        #: Computed once, because it costs as much as the rest of a start.
        self._environ = without_secrets(os.environ)
        #: Launchers without a command. The last one was used last.
        self._idle: list[LauncherConnection] = []

    def open(self) -> None:
        """Do nothing: the first commands start the launchers."""

    def begin(self, attempt: Attempt) -> None:
        """Start the command of an attempt."""
        try:
            command = parse(attempt.run.kwargs, self._environ)
        except InvalidShellCommand as error:
            self.on_end(attempt, Failed(pb.EXIT_CLASS_RAISED, str(error), final=True))
            return
        self.running[attempt.id] = _Running(self, attempt, command)

    def flush(self) -> None:
        """Do nothing: `begin` starts each command immediately."""

    def stop(self, attempt: Attempt, grace_s: float) -> None:
        """Kill the command and its descendants after the grace."""
        if attempt.id in self.running:
            self.running[attempt.id].stop(grace_s)

    def close(self) -> None:
        """Do nothing: idle launchers end with the fork server."""

    def take_launcher(self) -> LauncherConnection:
        """Return an idle launcher, or a new one."""
        while self._idle:
            launcher = self._idle.pop()
            if launcher.usable:
                return launcher
        return LauncherConnection(self.fork_server, self._launcher_exited)

    def put_launcher(self, launcher: LauncherConnection) -> None:
        """Keep a launcher for the next command, for some time."""
        if launcher.usable:
            launcher.close_after(_IDLE_S)
            self._idle.append(launcher)

    def _launcher_exited(self, launcher: LauncherConnection) -> None:
        if launcher in self._idle:
            self._idle.remove(launcher)
