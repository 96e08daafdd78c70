"""Shell commands: a process each, in its own group, beside whatever the pool is.

A command ends with its whole group: what it left in the background is killed with it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from proto import taskmaster_pb2 as pb
from workers.daemon.attempt import Attempt, Broken, Returned, now_us
from workers.daemon.forkserver import Exit, ForkServer, Refusal
from workers.daemon.pipes import Pipe
from workers.daemon.slots import OnEnd, OnOutput
from workers.daemon.slots.child import death

#: What belongs to TaskMaster and not to a command.
_SECRET = re.compile(r"DATABASE_(DIRECT_)?URL|TASKMASTER_(SECRET_KEY|SHARDS|.*_(TOKEN|PASSWORD))")


class Command(NamedTuple):
    """A checked shell task."""

    argv: list[str]
    cwd: str | None
    env: dict[str, str]


class WrongCommand(Exception):
    """The kwargs of a shell task break a rule."""


def parse(kwargs: str, environ: Mapping[str, str]) -> Command:
    """The command of a shell task's kwargs (JSON text). Raises WrongCommand."""
    fields = json.loads(kwargs or "{}")
    command, cwd, env = fields.get("command"), fields.get("cwd"), fields.get("env") or {}
    if isinstance(command, str) and command:
        argv = ["/bin/sh", "-c", command]
    elif isinstance(command, list) and command and all(isinstance(a, str) for a in command):
        argv = command
    else:
        raise WrongCommand("command: must be a script or a list of strings.")
    if not (cwd is None or isinstance(cwd, str)):
        raise WrongCommand("cwd: must be a folder.")
    if not (isinstance(env, dict) and all(isinstance(value, str) for value in env.values())):
        raise WrongCommand("env: must be an object of strings.")
    if any("\0" in text for text in (*argv, cwd or "", *env, *env.values())):
        raise WrongCommand("command, cwd and env: must not hold U+0000.")
    if any(not name or "=" in name for name in env):
        raise WrongCommand("env: a name must not be empty nor hold '='.")
    own = {name: value for name, value in environ.items() if not _SECRET.fullmatch(name)}
    return Command(argv, cwd or None, {**own, **env})


class _Running:
    """One command."""

    def __init__(self, slots: ShellSlots, attempt: Attempt, command: Command) -> None:
        self._slots = slots
        self._attempt = attempt
        self._started_at_us = now_us()
        output = slots.on_output
        self._pipes = [
            Pipe(lambda data: output(attempt, "stdout", data)),
            Pipe(lambda data: output(attempt, "stderr", data)),
        ]
        stdout, stderr = (pipe.writing_end for pipe in self._pipes)
        self.id = slots.server.spawn(self, command.argv, command.cwd, command.env, stdout, stderr)

    def exited(self, how: Exit | Refusal) -> None:
        """Its whole group is gone: what it wrote is in the pipes."""
        for pipe in self._pipes:
            pipe.drain()
            pipe.close()
        del self._slots.running[self._attempt.id]
        self._slots.on_end(self._attempt, self._ending(how))

    def _ending(self, how: Exit | Refusal) -> Returned | Broken:
        if how.code == 0:
            return Returned(self._started_at_us, now_us(), '{"exit_code":0}')
        if isinstance(how, Exit) and how.code > 0:
            return Broken(pb.EXIT_CLASS_EXIT_CODE, f"exit code {how.code}", code=how.code)
        return death(how)


class ShellSlots:
    """The commands that run."""

    def __init__(self, server: ForkServer, on_end: OnEnd, on_output: OnOutput) -> None:
        self.server = server
        self.on_end = on_end
        self.on_output = on_output
        self.running: dict[int, _Running] = {}

    def open(self) -> None:
        """A command has no child before it runs."""

    def begin(self, attempt: Attempt) -> None:
        """Starts the command."""
        try:
            command = parse(attempt.kwargs, os.environ)
        except (WrongCommand, ValueError) as error:
            self.on_end(attempt, Broken(pb.EXIT_CLASS_RAISED, str(error), final=True))
            return
        self.running[attempt.id] = _Running(self, attempt, command)

    def flush(self) -> None:
        """Each command has been started at once."""

    def stop(self, attempt: Attempt, grace_s: float) -> None:
        """Kills the command's tree."""
        if attempt.id in self.running:
            self.server.kill(self.running[attempt.id].id, grace_s)

    def close(self) -> None:
        """Nothing is kept ready."""
