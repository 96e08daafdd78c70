"""Docker's command line: what the containers of a compose service do, and telling them to go.

DOCKER_HOST, DOCKER_CONTEXT and what else Docker reads from the environment hold here, too.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from workers.pools.commands import Finished, run
from workers.pools.provider import LOG_LINES, ProviderFailed, ProviderMissing

PROJECT = "com.docker.compose.project"
_SERVICE = "com.docker.compose.service"
_NUMBER = "com.docker.compose.container-number"
_ONE_OFF = "com.docker.compose.oneoff"
#: In the name of a container that was told to go: any coordinator can see it there.
_LEAVING = ".leaving."
#: One that Docker starts again and again is not: whoever scales replaces it, with its own pauses.
_ALIVE = ("running", "paused", "created")
#: `docker stop` tells 50 containers at a time, and the next when one of them has ended.
_STOP_BATCH = 40
#: Beyond the stop limit, until what does not end is killed.
_KILL_S = 30
_ERROR_MAX = 500
#: Renames and returns; stops and removes in the background, in a process that needs nobody.
_DISMISS = """\
limit=$1; shift
for each in "$@"; do docker rename "${each%%=*}" "${each#*=}" || exit; done
{ docker stop -t "$limit" "${@%%=*}"; docker rm "${@%%=*}"; } </dev/null >/dev/null 2>&1 &
"""


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a service, as the engine knows it."""

    id: str
    name: str
    project: str
    number: int
    status: str
    exit_code: int
    #: How often Docker itself has started it again.
    restarts: int
    finished_at: str
    lived_s: float

    @property
    def alive(self) -> bool:
        """Runs, or is about to."""
        return self.status in _ALIVE

    @property
    def leaving(self) -> bool:
        """Was told to go."""
        return _LEAVING in self.name

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Self:
        """From the JSON of `docker inspect`."""
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
    # Nanoseconds are more than a datetime knows; without a fraction the zone is at its place.
    return datetime.fromisoformat(text[:19] + "+00:00")


class Docker:
    """The command `docker`, with an environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    async def version(self) -> str:
        """The engine's. Raises ProviderMissing when none answers."""
        return await self.say("version", "--format", "{{.Server.Version}}")

    async def containers(self, project: str, service: str) -> list[Container]:
        """All of a service, also those that have ended."""
        labels = {PROJECT: project, _SERVICE: service, _ONE_OFF: "False"}
        filters = [f"--filter=label={name}={value}" for name, value in labels.items()]
        ids = await self.say("ps", "--all", "--quiet", "--no-trunc", *filters)
        return await self.inspect(ids.split())

    async def inspect(self, ids: Sequence[str]) -> list[Container]:
        """Those of them that are still there."""
        if not ids:
            return []
        done = await self._run("inspect", "--type", "container", *ids)
        if done.code and "No such" not in done.errors:
            raise _failure("docker inspect", done)
        return [Container.read(each) for each in json.loads(done.output or "[]")]

    async def last_log(self, container: Container) -> str:
        """Its last lines; empty when there are none to be had."""
        done = await self._run("logs", "--tail", str(LOG_LINES), container.id)
        return (done.output + done.errors) if not done.code else ""

    async def remove(self, containers: Iterable[Container]) -> None:
        """Removes what does not run; what is gone already is no error."""
        if ids := [each.id for each in containers]:
            # By force, since between two starts it counts as running.
            done = await self._run("rm", "--force", *ids)
            if done.code and "No such" not in done.errors and "in progress" not in done.errors:
                raise _failure("docker rm", done)

    async def dismiss(self, containers: Sequence[Container], limit_s: float) -> None:
        """Marks them as leaving and sends SIGTERM; what still runs after the limit is killed."""
        limit = str(math.ceil(limit_s) + _KILL_S)
        for at in range(0, len(containers), _STOP_BATCH):
            batch = containers[at : at + _STOP_BATCH]
            pairs = [f"{each.id}={each.name}{_LEAVING}{each.id[:8]}" for each in batch]
            done = await run(("bash", "-c", _DISMISS, "dismiss", limit, *pairs), self._environment)
            if done.code:
                raise _failure("docker rename", done)

    async def say(self, *arguments: str) -> str:
        """What the command prints. Raises ProviderMissing or ProviderFailed."""
        done = await self._run(*arguments)
        if done.code:
            raise _failure(f"docker {arguments[0]}", done)
        return done.output.strip()

    async def _run(self, *arguments: str) -> Finished:
        return await execute(("docker", *arguments), self._environment)


async def execute(argv: Sequence[str], environment: Mapping[str, str]) -> Finished:
    """Runs it. Raises ProviderMissing when the command is not installed or no engine answers."""
    if not hasattr(os, "posix_spawnp"):
        raise ProviderMissing("The provider compose needs POSIX: Linux or macOS.")
    try:
        done = await run(argv, environment)
    except FileNotFoundError:
        raise ProviderMissing(
            f"The command {argv[0]} is not installed where the coordinator runs; install Docker's "
            "command line with Compose, or choose another provider."
        ) from None
    if done.code and _no_engine(done.errors):
        raise ProviderMissing(
            f"No Docker engine answers the coordinator: {first_error(done.errors)} Start it, name "
            "it with DOCKER_HOST, and let the coordinator's user use it."
        )
    return done


def _no_engine(errors: str) -> bool:
    words = ("cannot connect to the docker", "couldn't connect to docker", "error during connect")
    lower = errors.lower()
    return any(each in lower for each in (*words, "permission denied", "is the docker daemon"))


def _failure(command: str, done: Finished) -> ProviderFailed:
    return ProviderFailed(f"{command}: {first_error(done.errors)}")


def first_error(errors: str) -> str:
    """The line that says what is wrong."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    said = next((each for each in lines if "error" in each.lower()), lines[-1] if lines else "")
    return said[:_ERROR_MAX] or "no word why"
