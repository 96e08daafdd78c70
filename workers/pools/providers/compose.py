"""Run workers as containers of a compose service that has the name of the pool.

COMPOSE_FILE, COMPOSE_PROJECT_NAME and DOCKER_HOST select the file, the project and the engine, as
for Compose itself. Workers are added with `docker compose up --scale`, or with the older
`docker-compose`. They are not removed with it, because Compose would wait until they have ended and
count them until then. Surplus containers are renamed to `….leaving.…` and stopped by `docker stop`,
newest first.

The options and environment of the pool reach new containers through interpolation in the file:
TASKMASTER_POOL_OPTIONS, TASKMASTER_POOL_STOP_S and the variables of the pool.
"""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping
from typing import ClassVar

from taskmaster.workers.pools.provider import (
    DeadWorker,
    DesiredPool,
    ObservedPool,
    ProviderFailed,
    ProviderMissing,
    signal_of_shell_code,
    tail,
)
from taskmaster.workers.pools.providers.docker import Container, Docker, execute, first_error

_COMMANDS = (("docker", "compose"), ("docker-compose",))


class ComposeProvider:
    """Run pools with Compose, for one coordinator."""

    name: ClassVar[str] = "compose"

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = dict(os.environ if environment is None else environment)
        self._docker = Docker(self._environment)
        self._command: tuple[str, ...] | None = None
        #: Project name, from the labels of the containers.
        self._project: str | None = None
        #: Restart count and end time of each container at the last observation, by pool.
        self._seen: dict[str, dict[str, tuple[int, str]]] = {}
        #: Deaths that are not reported yet, by pool.
        self._died: dict[str, list[DeadWorker]] = {}

    async def check(self, desired: DesiredPool) -> None:
        """Raise ProviderMissing if the engine, the command, the file or the service is missing."""
        await self._docker.version()
        try:
            services = (await self._compose(desired, "config", "--services")).split()
        except ProviderFailed as failure:
            raise ProviderMissing(
                f"Compose cannot read its file: {failure} Set COMPOSE_FILE to its path."
            ) from None
        if desired.pool not in services:
            raise ProviderMissing(
                f"The compose file has no service {desired.pool!r}, which the pool of that name "
                f"needs; its services: {', '.join(sorted(services)) or 'none'}."
            )

    async def observe(self, desired: DesiredPool) -> ObservedPool:
        """Return the state of the service's containers, as reported by the engine."""
        containers = await self._containers(desired)
        await self._record_deaths(desired.pool, containers)
        await self._docker.remove(each for each in containers if each.leaving and not each.alive)
        staying = [each for each in containers if not each.leaving]
        return ObservedPool(
            running=sum(each.status == "running" for each in staying),
            stopping=sum(each.leaving and each.alive for each in containers),
            died=tuple(self._died.pop(desired.pool, ())),
        )

    async def scale(self, desired: DesiredPool) -> None:
        """Start missing workers, or stop surplus workers, newest first."""
        containers = await self._containers(desired)
        await self._record_deaths(desired.pool, containers)
        # Compose would restart or count these containers, including those that have left.
        await self._docker.remove(each for each in containers if not each.alive)
        alive = [each for each in containers if each.alive]
        staying = [each for each in alive if not each.leaving]
        if len(staying) > desired.count:
            staying.sort(key=lambda each: (each.status == "running", -each.number))
            surplus = staying[: len(staying) - desired.count]
            await self._docker.stop(surplus, desired.stop_limit_s)
        elif len(staying) < desired.count:
            total = desired.count + len(alive) - len(staying)
            options = (
                "--detach",
                "--no-recreate",
                "--no-deps",
                "--scale",
                f"{desired.pool}={total}",
            )
            await self._compose(desired, "up", *options, desired.pool)

    async def close(self) -> None:
        """Do nothing: no resources are held. The containers continue to run."""

    # ---- observing --------------------------------------------------------------------------

    async def _containers(self, desired: DesiredPool) -> list[Container]:
        if self._project is not None:
            return await self._docker.containers(self._project, desired.pool)
        # Asking Compose is slow. The labels of the first container name the project.
        ids = (await self._compose(desired, "ps", "--all", "--quiet", desired.pool)).split()
        known = await self._docker.inspect(ids[:1])
        if not known:
            return []
        self._project = known[0].project
        return await self._docker.containers(self._project, desired.pool)

    async def _record_deaths(self, pool: str, containers: list[Container]) -> None:
        """Record containers that restarted, or ended with a code other than 0.

        Containers that were asked to stop are left out.
        """
        before = self._seen.get(pool, {})
        self._seen[pool] = {each.id: (each.restarts, each.finished_at) for each in containers}
        for each in containers:
            now = (each.restarts, each.finished_at)
            ended = each.status != "running" and each.exit_code != 0
            restarted = each.restarts > before.get(each.id, now)[0]
            if each.leaving or before.get(each.id) == now or not (ended or restarted):
                continue
            log = tail(await self._docker.last_log(each))
            code = signal_of_shell_code(each.exit_code) if ended else None
            lived_s = each.lived_s if ended else 0.0
            self._died.setdefault(pool, []).append(DeadWorker(code, log, lived_s))

    # ---- command ----------------------------------------------------------------------------

    async def _compose(self, desired: DesiredPool, *arguments: str) -> str:
        """Return the output of the command. Raises ProviderMissing or ProviderFailed."""
        command = self._command or await self._find_command()
        environment = {
            **self._environment,
            **desired.environment,
            "TASKMASTER_POOL_OPTIONS": shlex.join(desired.argv),
            "TASKMASTER_POOL_STOP_S": str(math.ceil(desired.stop_limit_s)),
        }
        done = await execute((*command, *arguments), environment)
        if done.code:
            raise ProviderFailed(f"{' '.join(command)}: {first_error(done.errors)}")
        return done.output

    async def _find_command(self) -> tuple[str, ...]:
        for command in _COMMANDS:
            try:
                done = await execute((*command, "version"), self._environment)
            except ProviderMissing:
                continue
            if done.code == 0:
                self._command = command
                return command
        raise ProviderMissing(
            "Docker Compose is not installed on the coordinator's host; install its plugin "
            "(docker compose) or docker-compose."
        )
