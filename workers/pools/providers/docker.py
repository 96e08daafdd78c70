"""Inspect and stop the containers of a compose service with Docker's command line.

DOCKER_HOST, DOCKER_CONTEXT and other variables that Docker reads apply here, too.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from taskmaster.workers.pools.commands import CommandResult, run
from taskmaster.workers.pools.provider import LOG_LINES, ProviderFailed, ProviderMissing

PROJECT = "com.docker.compose.project"
_SERVICE = "com.docker.compose.service"
_NUMBER = "com.docker.compose.container-number"
_ONE_OFF = "com.docker.compose.oneoff"
#: Part of the name of a container that was asked to stop. Every coordinator can see it there.
_LEAVING = ".leaving."
#: A container that Docker keeps restarting does not count as alive. The reconciler replaces it with
#: its own pauses.
_ALIVE = ("running", "paused", "created")
#: `docker stop` signals 50 containers concurrently and the next one when one of them has ended.
_STOP_BATCH = 40
#: Seconds beyond the stop limit until a container that does not end is killed.
_KILL_S = 30
_ERROR_MAX = 500
#: Renames the containers and returns. Stops and removes them in a background process that survives
#: the coordinator.
_STOP = """\
limit=$1; shift
for each in "$@"; do docker rename "${each%%=*}" "${each#*=}" || exit; done
{ docker stop -t "$limit" "${@%%=*}"; docker rm "${@%%=*}"; } </dev/null >/dev/null 2>&1 &
"""


@dataclass(frozen=True, slots=True)
class Container:
    """Hold the state of a container, as reported by the engine."""

    id: str
    name: str
    project: str
    number: int
    status: str
    exit_code: int
    #: Number of restarts by Docker itself.
    restarts: int
    finished_at: str
    lived_s: float

    @property
    def alive(self) -> bool:
        """Return whether the container runs or is about to run."""
        return self.status in _ALIVE

    @property
    def leaving(self) -> bool:
        """Return whether the container was asked to stop."""
        return _LEAVING in self.name

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Self:
        """Build a container from the JSON of `docker inspect`."""
        state, labels = found["State"], found["Config"]["Labels"]
        started, finished = _moment(state["StartedAt"]), _moment(state["FinishedAt"])
        return cls(
            id=found["Id"],
            name=found["Name"].lstrip("/"),
            project=labels[PROJECT],
            number=int(labels.get(_NUMBER, 0)),
            status=state["Status"],
            exit_code=state["ExitCode"],
            restarts=found["RestartCount"],
            finished_at=state["FinishedAt"],
            lived_s=max(0.0, (finished - started).total_seconds()),
        )


def _moment(text: str) -> datetime:
    # A datetime cannot hold nanoseconds. The fraction and the zone, which is UTC, are cut off.
    return datetime.fromisoformat(text[:19] + "+00:00")


class Docker:
    """Run the command `docker` with an environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    async def version(self) -> str:
        """Return the version of the engine. Raises ProviderMissing when no engine answers."""
        return await self.output("version", "--format", "{{.Server.Version}}")

    async def containers(self, project: str, service: str) -> list[Container]:
        """Return all containers of a service, including those that have ended."""
        labels = {PROJECT: project, _SERVICE: service, _ONE_OFF: "False"}
        filters = [f"--filter=label={name}={value}" for name, value in labels.items()]
        ids = await self.output("ps", "--all", "--quiet", "--no-trunc", *filters)
        return await self.inspect(ids.split())

    async def inspect(self, ids: Sequence[str]) -> list[Container]:
        """Return those containers that still exist."""
        if not ids:
            return []
        done = await self._run("inspect", "--type", "container", *ids)
        if done.code and "No such" not in done.errors:
            raise _failure("docker inspect", done)
        return [Container.read(each) for each in json.loads(done.output or "[]")]

    async def last_log(self, container: Container) -> str:
        """Return the last lines of a container's log, or "" if there are none."""
        done = await self._run("logs", "--tail", str(LOG_LINES), container.id)
        return (done.output + done.errors) if not done.code else ""

    async def remove(self, containers: Iterable[Container]) -> None:
        """Remove containers that do not run. A container that is already gone is not an error."""
        if ids := [each.id for each in containers]:
            # Forced, because a container between two restarts counts as running.
            done = await self._run("rm", "--force", *ids)
            if done.code and "No such" not in done.errors and "in progress" not in done.errors:
                raise _failure("docker rm", done)

    async def stop(self, containers: Sequence[Container], limit_s: float) -> None:
        """Mark containers as leaving and send SIGTERM. They are killed after the limit."""
        limit = str(math.ceil(limit_s) + _KILL_S)
        for at in range(0, len(containers), _STOP_BATCH):
            batch = containers[at : at + _STOP_BATCH]
            pairs = [f"{each.id}={each.name}{_LEAVING}{each.id[:8]}" for each in batch]
            done = await run(("bash", "-c", _STOP, "stop", limit, *pairs), self._environment)
            if done.code:
                raise _failure("docker rename", done)

    async def output(self, *arguments: str) -> str:
        """Return the output of the command. Raises ProviderMissing or ProviderFailed."""
        done = await self._run(*arguments)
        if done.code:
            raise _failure(f"docker {arguments[0]}", done)
        return done.output.strip()

    async def _run(self, *arguments: str) -> CommandResult:
        return await execute(("docker", *arguments), self._environment)


async def execute(argv: Sequence[str], environment: Mapping[str, str]) -> CommandResult:
    """Run a command.

    Raises ProviderMissing when the command is not installed or no engine answers.
    """
    if not hasattr(os, "posix_spawnp"):
        raise ProviderMissing("The provider compose requires Linux or macOS.")
    try:
        done = await run(argv, environment)
    except FileNotFoundError:
        raise ProviderMissing(
            f"The command {argv[0]} is not installed on the coordinator's host; install Docker's "
            "command line with Compose, or choose another provider."
        ) from None
    if done.code and _no_engine(done.errors):
        raise ProviderMissing(
            f"The coordinator cannot reach a Docker engine: {first_error(done.errors)} Start it, "
            "set DOCKER_HOST, and give the coordinator's user access to it."
        )
    return done


def _no_engine(errors: str) -> bool:
    phrases = ("cannot connect to the docker", "couldn't connect to docker", "error during connect")
    lower = errors.lower()
    return any(each in lower for each in (*phrases, "permission denied", "is the docker daemon"))


def _failure(command: str, done: CommandResult) -> ProviderFailed:
    return ProviderFailed(f"{command}: {first_error(done.errors)}")


def first_error(errors: str) -> str:
    """Return the line that describes the error."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    chosen = next((each for each in lines if "error" in each.lower()), lines[-1] if lines else "")
    return chosen[:_ERROR_MAX] or "no error message"
