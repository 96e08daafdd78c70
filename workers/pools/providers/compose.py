"""`compose`: workers as containers of a compose service that has the name of the pool.

COMPOSE_FILE, COMPOSE_PROJECT_NAME and DOCKER_HOST name file, project and engine, as for Compose
itself. More workers come from `docker compose up --scale` (or `docker-compose`, which is older).
Fewer do not: Compose would wait for all that go, and count them until then. They are renamed to
`….leaving.…` and told by `docker stop`, the newest first.

The pool's options and environment reach new containers where the file asks for them:
TASKMASTER_POOL_OPTIONS, TASKMASTER_POOL_STOP_S, and the variables of the pool, for interpolation.
"""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping
from typing import ClassVar

from workers.pools.provider import Died, Observed, ProviderFailed, ProviderMissing, Wanted, tail
from workers.pools.providers.containers import exit_code
from workers.pools.providers.docker import Container, Docker, execute, first_error

_COMMANDS = (("docker", "compose"), ("docker-compose",))


class ComposeProvider:
    """Of one coordinator."""

    name: ClassVar[str] = "compose"

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = dict(os.environ if environment is None else environment)
        self._docker = Docker(self._environment)
        self._command: tuple[str, ...] | None = None
        #: As the labels of its containers say it.
        self._project: str | None = None
        #: What was last seen of each container, by pool: restarts, and when it ended.
        self._seen: dict[str, dict[str, tuple[int, str]]] = {}
        #: Deaths that nobody was told of yet, by pool.
        self._died: dict[str, list[Died]] = {}

    async def check(self, wanted: Wanted) -> None:
        """Raises ProviderMissing without engine, command, file or service."""
        await self._docker.version()
        try:
            services = (await self._compose(wanted, "config", "--services")).split()
        except ProviderFailed as failure:
            raise ProviderMissing(
                f"Compose cannot read its file: {failure} COMPOSE_FILE names it."
            ) from None
        if wanted.pool not in services:
            raise ProviderMissing(
                f"The compose file has no service {wanted.pool!r} for the pool of that name; it "
                f"has {', '.join(sorted(services)) or 'none'}."
            )

    async def observe(self, wanted: Wanted) -> Observed:
        """What the engine says of the service's containers."""
        containers = await self._containers(wanted)
        await self._note_deaths(wanted.pool, containers)
        await self._docker.remove(each for each in containers if each.leaving and not each.alive)
        staying = [each for each in containers if not each.leaving]
        return Observed(
            running=sum(each.status == "running" for each in staying),
            stopping=sum(each.leaving and each.alive for each in containers),
            died=tuple(self._died.pop(wanted.pool, ())),
        )

    async def scale(self, wanted: Wanted) -> None:
        """Starts what is missing; tells what is too much to go, the newest first."""
        containers = await self._containers(wanted)
        await self._note_deaths(wanted.pool, containers)
        # Compose would start them again, also those that left, or count them.
        await self._docker.remove(each for each in containers if not each.alive)
        alive = [each for each in containers if each.alive]
        staying = [each for each in alive if not each.leaving]
        if len(staying) > wanted.count:
            staying.sort(key=lambda each: (each.status == "running", -each.number))
            surplus = staying[: len(staying) - wanted.count]
            await self._docker.dismiss(surplus, wanted.stop_limit_s)
        elif len(staying) < wanted.count:
            total = wanted.count + len(alive) - len(staying)
            options = (
                "--detach",
                "--no-recreate",
                "--no-deps",
                "--scale",
                f"{wanted.pool}={total}",
            )
            await self._compose(wanted, "up", *options, wanted.pool)

    async def close(self) -> None:
        """Holds nothing; the containers run on."""

    # ---- what there is ----------------------------------------------------------------------

    async def _containers(self, wanted: Wanted) -> list[Container]:
        if self._project is not None:
            return await self._docker.containers(self._project, wanted.pool)
        # Asking Compose takes long; the first container knows which project it is of.
        ids = (await self._compose(wanted, "ps", "--all", "--quiet", wanted.pool)).split()
        known = await self._docker.inspect(ids[:1])
        if not known:
            return []
        self._project = known[0].project
        return await self._docker.containers(self._project, wanted.pool)

    async def _note_deaths(self, pool: str, containers: list[Container]) -> None:
        """Of those that were not told to go, and did not end with code 0."""
        before = self._seen.get(pool, {})
        self._seen[pool] = {each.id: (each.restarts, each.finished_at) for each in containers}
        for each in containers:
            now = (each.restarts, each.finished_at)
            ended = each.status != "running" and each.exit_code != 0
            restarted = each.restarts > before.get(each.id, now)[0]
            if each.leaving or before.get(each.id) == now or not (ended or restarted):
                continue
            log = tail(await self._docker.last_log(each))
            code = exit_code(each.exit_code) if ended else None
            lived_s = each.lived_s if ended else 0.0
            self._died.setdefault(pool, []).append(Died(code, log, lived_s))

    # ---- the command ------------------------------------------------------------------------

    async def _compose(self, wanted: Wanted, *arguments: str) -> str:
        """What the command prints. Raises ProviderMissing or ProviderFailed."""
        command = self._command or await self._find_command()
        environment = {
            **self._environment,
            **wanted.environment,
            "TASKMASTER_POOL_OPTIONS": shlex.join(wanted.argv),
            "TASKMASTER_POOL_STOP_S": str(math.ceil(wanted.stop_limit_s)),
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
            "Docker Compose is not installed where the coordinator runs; install its plugin "
            "(docker compose) or docker-compose."
        )
