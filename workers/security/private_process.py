"""Keep the secrets of TaskMaster's processes out of the reach of tasks.

Tasks run on the same host and often as the same user as these processes. They could read
`/proc/PID/environ`, which shows the variables that a process was started with even after it deleted
them, `/proc/PID/mem`, and descriptors. Therefore:

- A process that we start gets its secrets through a pipe. It reads and closes the pipe first.
- A process that an operator starts with secrets in its environment replaces itself by a process
  with the same pid and without them, see `restart` and `replace`.
- `hide` closes the files in /proc and the memory to other processes of the same user. Root can
  still read them.
- Processes that run tasks get only the secrets that Django's settings need. They are not forked
  from a process that holds others.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
from collections.abc import Mapping
from typing import ClassVar, NoReturn

from taskmaster.tasks.errors import ConfigurationError
from taskmaster.workers import python_process

#: Variables that shell commands do not get.
_SECRET = re.compile(
    r"DATABASE_URL"
    r"|TASKMASTER_(DATABASE_DIRECT_URL|SECRET_KEY|SHARDS|TLS_KEY|.*_(TOKEN|PASSWORD))"
)
#: The secrets that Django's settings need. Python tasks can read them.
_OF_SETTINGS = re.compile(r"DATABASE_URL|TASKMASTER_(SECRET_KEY|.*_PASSWORD)")
#: The variables with which a supervisor joins. Its tasks cannot read them.
OF_WORKERS = ("TASKMASTER_JOIN_TOKEN", "TASKMASTER_TLS_CERT", "TASKMASTER_TLS_KEY")
#: Number of the descriptor with the secrets of a started process.
_VARIABLE = "TASKMASTER_SECRETS_FD"
#: Size of a pipe. The secrets are written before they are read.
_SIZE_MAX = 65_536
_PR_SET_DUMPABLE = 4


def hide() -> None:
    """Close the memory, the environment and the descriptors of this process to its user.

    Forks inherit this. An executed program does not. It has no effect on other systems than Linux.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that every process of the host may see."""
    return {name: value for name, value in environ.items() if not _SECRET.fullmatch(name)}


def secrets_in(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets of a process that runs no tasks."""
    return {
        name: value
        for name, value in environ.items()
        if _SECRET.fullmatch(name) or name in OF_WORKERS
    }


def secrets_of_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets for a process that loads Django's settings and runs tasks."""
    return {name: value for name, value in environ.items() if _OF_SETTINGS.fullmatch(name)}


def secrets_of_workers(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets with which a worker joins."""
    given = {name: environ[name] for name in OF_WORKERS if name in environ}
    return {**given, **_State.kept}


def keep_for_workers(secrets: Mapping[str, str]) -> None:
    """Let `secrets_of_workers` return these values in place of those in the environment."""
    _State.kept = dict(secrets)


def write_pipe(secrets: Mapping[str, str]) -> int:
    """Return the reading end of a pipe that contains secrets. Raises ConfigurationError."""
    data = json.dumps(dict(secrets)).encode()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        written = os.write(writing, data)
    except BlockingIOError:
        written = 0
    finally:
        os.close(writing)
    if written < len(data):
        os.close(reading)
        names = ", ".join(secrets)
        raise ConfigurationError(
            f"The values of {names} are too long: {len(data):,} bytes in total; the limit is "
            f"{_SIZE_MAX:,}."
        )
    return reading


def read_pipe(fd: int) -> dict[str, str]:
    """Read the secrets from a pipe and close it."""
    with open(fd, "rb") as pipe:
        secrets: dict[str, str] = json.loads(pipe.read())
    return secrets


def pass_on(environ: Mapping[str, str], secrets: Mapping[str, str]) -> tuple[dict[str, str], int]:
    """Return the environment of a process that calls `enter`, and the pipe with its secrets.

    The process must inherit the pipe under the same number. The caller closes it.
    """
    fd = write_pipe(secrets)
    return {**without_secrets(environ), _VARIABLE: str(fd)}, fd


def enter() -> None:
    """Hide this process, and add the secrets from its pipe to `os.environ`.

    A process that was started with `pass_on` calls this first.
    """
    hide()
    fd = os.environ.pop(_VARIABLE, "")
    if fd:
        os.environ.update(read_pipe(int(fd)))
        _State.entered = True


def take_own() -> dict[str, str]:
    """Remove the secrets from `os.environ` that Django's settings do not need. Return them."""
    names = [each for each in secrets_in(os.environ) if not _OF_SETTINGS.fullmatch(each)]
    return {each: os.environ.pop(each) for each in names}


def replace(argv: list[str], environ: Mapping[str, str]) -> NoReturn:
    """Replace this process by a program that calls `enter`. It keeps the pid."""
    public, fd = pass_on(python_process.environment(environ), secrets_in(environ))
    os.set_inheritable(fd, True)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(argv[0], argv, public)


def restart() -> None:
    """Hide this process. If its environment shows secrets, start its command again without them.

    The pid stays. Nothing else may have happened yet: no thread, no descriptor, no child.
    """
    hide()
    if _State.entered or without_secrets(os.environ) == dict(os.environ):
        return
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    # `python -m package` or the path of a script.
    program = ["-m", spec.name.removesuffix(".__main__")] if spec else [sys.argv[0]]
    replace(command(*program, *sys.argv[1:]), os.environ)


def command(*program: str) -> list[str]:
    """Return the command line of a Python program that is started with `pass_on`.

    `program` begins with `-m` and a module, or with the path of a script.
    """
    return python_process.command("taskmaster.workers.security", *program)


class _State:
    """Hold how this process got its secrets, and those that are not in its environment."""

    entered = False
    kept: ClassVar[dict[str, str]] = {}
